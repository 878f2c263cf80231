import { columns } from '../../src/ops/columns.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 22 }, (_, i) => {
  const c = [1, 3, 4, 8, 48, 65][i % 6]!;
  const offset = [0, 1, 5, 32][i % 4]!;
  return { m: 1 + ((i * 7) % 20), c, offset, s: c + offset + (i % 3) * 16 };
});

export default [
  { entry: columns.forward, cases },
  { entry: columns.backward, cases },
] satisfies OpCases[];

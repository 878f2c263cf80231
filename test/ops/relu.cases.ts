import { relu } from '../../src/ops/relu.js';
import type { Refusal } from './all_cases.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 24 }, (_, i) => {
  const n = [1, 3, 4, 8, 48, 65][i % 6]!;
  const offset = [0, 1, 5, 32][i % 4]!;
  return { m: 1 + ((i * 7) % 20), n, offset, s: n + offset + (i % 3) * 16 };
});

export default [{ entry: relu.forward, cases }] satisfies OpCases[];

export const refused: Refusal[] = [[relu.forward, { m: 2, n: 4, s: 6, offset: 3 }, /columns 3 to 7 of 6/]];

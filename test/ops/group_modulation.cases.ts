import { groupModulation } from '../../src/ops/group_modulation.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 24 }, (_, i) => {
  const g = 1 + (i % 5);
  return { m: 1 + (i % 8), g, d: [1, 4, 3, 8, 64, 7, 12, 129, 2][i % 9]!, group: (i * 7) % g };
});

export default [
  { entry: groupModulation.forward, cases },
  { entry: groupModulation.backward, cases },
] satisfies OpCases[];

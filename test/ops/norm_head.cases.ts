import { normHead } from '../../src/ops/norm_head.js';
import type { OpCases } from './harness.js';

// One position of up to 4 rows is fused on WebGPU; other cases run the parts one by one.
const cases = Array.from({ length: 24 }, (_, i) => {
  const b = [1, 2, 3, 4, 5, 1][i % 6]!;
  const d = [8, 16, 264, 12, 64, 300, 7, 520][i % 8]!;
  const omit = [[], ['gate'], ['res'], ['res', 'gate']][i % 4]!;
  return {
    m: i % 3 ? 2 * b : b,
    l: i % 7 === 6 ? 2 : 1,
    b,
    d,
    n: [40, 1, 33, 130][i % 4]!,
    eps: i % 2 ? 1e-5 : 0.1,
    scale: i % 5,
    omit,
  };
});

export default [
  { entry: normHead.forward, cases: [...cases, ...cases.slice(0, 8).map((c) => ({ ...c, half: ['w'] }))] },
] satisfies OpCases[];

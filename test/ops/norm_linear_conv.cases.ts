import { normLinearConv } from '../../src/ops/norm_linear_conv.js';
import type { OpCases } from './harness.js';

// One position of up to 4 rows is fused on WebGPU; more positions, or partial chunks of the width, run the parts one by one.
const cases = Array.from({ length: 26 }, (_, i) => {
  const d = [8, 16, 264, 12, 64, 300, 7, 520][i % 8]!;
  const offset = [0, 5, 16][i % 3]!;
  const c = [1, 33, 70, 24][i % 4]!;
  const k = [4, 1, 2, 3][i % 4]!;
  const l = i % 6 === 5 ? 3 : 1;
  const absent = [['gate'], ['res'], ['res', 'gate'], ['modulation'], [], [], ['sum']][i % 7]!;
  const omit = [...absent, ...(k === 1 || i % 5 === 4 ? ['state'] : []), ...(i % 9 === 8 ? [] : ['u'])];
  const eps = i % 2 ? 1e-5 : 0.1;
  return { m: [1, 2, 3, 5, 4, 9, 2][i % 7]!, l, d, n: offset + c + (i % 3), c, k, q: k - 1, offset, eps, omit };
});

export default [
  { entry: normLinearConv.forward, cases: [...cases, ...cases.slice(0, 8).map((c) => ({ ...c, half: ['w'] }))] },
] satisfies OpCases[];

import { gatedNormLinear } from '../../src/ops/gated_norm_linear.js';
import type { OpCases } from './harness.js';

// One position of up to 4 rows in one group is fused on WebGPU; other cases run the parts one by one.
const cases = Array.from({ length: 24 }, (_, i) => {
  const groups = i % 5 === 4 ? 2 : 1;
  const e = groups * [8, 16, 264, 12, 64, 300, 7, 520][i % 8]!;
  const z_offset = [0, 4, 8, 3][i % 4]!;
  const l = i % 6 === 5 ? 3 : 1;
  const s = z_offset + e + [0, 4, 8, 1][i % 4]!;
  const omit = i % 9 === 8 ? [] : ['g'];
  return {
    m: [1, 2, 3, 5, 4, 9, 2][i % 7]!,
    l,
    e,
    s,
    n: [1, 8, 33, 70][i % 4]!,
    groups,
    z_offset,
    eps: i % 2 ? 1e-5 : 0.1,
    omit,
  };
});

export default [
  { entry: gatedNormLinear.forward, cases: [...cases, ...cases.slice(0, 8).map((c) => ({ ...c, half: ['w'] }))] },
] satisfies OpCases[];

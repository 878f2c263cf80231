import { rmsNormGated } from '../../src/ops/rms_norm_gated.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 24 }, (_, i) => {
  const groups = [1, 2, 1, 4, 3][i % 5]!;
  const e = groups * [1, 4, 3, 16, 64, 7, 257, 130][i % 8]!;
  const z_offset = i % 3 ? 0 : 1 + (i % 5);
  return { m: 1 + (i % 8), l: [1, 2, 5][i % 3]!, e, s: z_offset + e + (i % 4), groups, z_offset, eps: i % 2 ? 1e-5 : 0.1 };
});

const backward = cases.map((c, i) => ({ ...c, w: Math.min(c.m * c.l, [1, 3, 4, 40][i % 4]!) }));

export default [
  { entry: rmsNormGated.forward, cases },
  { entry: rmsNormGated.backward, cases: backward },
] satisfies OpCases[];

import { linearConv } from '../../src/ops/linear_conv.js';
import type { OpCases } from './harness.js';

// One position is fused on WebGPU; more positions, or partial chunks of the width, run the parts one by one.
const cases = Array.from({ length: 24 }, (_, i) => {
  const d = [8, 16, 264, 12, 64, 300, 7, 520][i % 8]!;
  const offset = [0, 5, 16][i % 3]!;
  const c = [1, 33, 70, 24][i % 4]!;
  const k = [4, 1, 2, 3][i % 4]!;
  const l = i % 6 === 5 ? 3 : 1;
  const omit = k === 1 || i % 5 === 4 ? ['state'] : [];
  return { m: [1, 2, 3, 5, 8, 9, 20][i % 7]!, l, d, n: offset + c + (i % 3), c, k, q: k - 1, offset, omit };
});

export default [
  { entry: linearConv.forward, cases: [...cases, ...cases.slice(0, 8).map((c) => ({ ...c, half: ['w'] }))] },
] satisfies OpCases[];

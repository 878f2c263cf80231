import { addRmsNorm } from '../../src/ops/add_rms_norm.js';
import type { Case, OpCases } from './harness.js';

const OPTIONAL = ['res', 'gate', 'modulation', 'sum'];
const widths = [64, 1, 3, 4, 8, 129, 255, 256, 257, 12, 520, 7];

// Every subset of the optional tensors, then the ones a model calls.
const cases: Case[] = Array.from({ length: 16 }, (_, i) => ({
  m: 1 + (i % 8),
  l: [1, 2, 1, 5][i % 4]!,
  d: widths[i % widths.length]!,
  g: 3,
  c: 2 + (i % 2),
  eps: 1e-5,
  omit: OPTIONAL.filter((_, q) => (i >> q) & 1),
}));
for (const [i, d] of widths.entries())
  cases.push({ m: 1 + ((3 * i) % 8), l: 1 + (i % 3), d, g: 3, c: 3, eps: i % 2 ? 1e-5 : 0.1, omit: i % 4 === 3 ? ['gate'] : [] });

const backward: Case[] = Array.from({ length: 24 }, (_, i) => {
  const l = [1, 2, 5, 9, 17][i % 5]!;
  return {
    m: 1 + (i % 8),
    l,
    d: widths[i % widths.length]!,
    c: 2 + (i % 2),
    w: Math.min(l, [1, 2, 4, 17][i % 4]!),
    eps: i % 3 ? 1e-5 : 0.1,
    omit: ['modulation', 'dsum', 'dmodulation'].filter((_, q) => (i >> q) & 1),
  };
});

export default [
  { entry: addRmsNorm.forward, cases },
  { entry: addRmsNorm.backward, cases: backward },
  { entry: addRmsNorm.backward_params, cases: backward },
  { entry: addRmsNorm.backward_gate, cases: backward },
] satisfies OpCases[];

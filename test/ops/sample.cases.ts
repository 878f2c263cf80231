import { NO_MIN_P, sample } from '../../src/ops/sample.js';
import { normal, type OpCases } from './harness.js';

const cases = Array.from({ length: 40 }, (_, i) => {
  const v = [1, 2, 3, 16, 37, 255, 256, 257, 1000, 2049, 5000][i % 11]!;
  return {
    b: 1 + (i % 8),
    v,
    t: 1 + (i % 5),
    temperature: [1, 0.7, 0.1, 3][i % 4]!,
    top_k: [0, 1, 5, v, 300, v + 3][(i >> 1) % 6]!,
    top_p: [1, 0.98, 0.5, 1, 1e-6, 0.9][(i * 5) % 6]!,
    omit: [['kept', 'noise'], ['noise'], [], ['kept']][(i >> 1) % 4]!,
    log_min_p: [NO_MIN_P, Math.log(0.1), NO_MIN_P, 0, Math.log(0.02)][i % 5]!,
  };
});

// Every third vocabulary has many ties; some images are complete (step = t).
export default [
  {
    entry: sample.forward,
    cases,
    fill: {
      logits: (random, { v }) => (v! % 3 ? 3 * normal(random) : Math.round(2 * normal(random)) / 2),
      seed: (random) => Math.floor(random() * 2 ** 32),
      step: (random, { t }) => Math.floor(random() * (t! + 1)),
      kept: (random, { t }) => Math.floor(random() * (t! + 2)),
      noise: (random) => Math.floor(random() * 2 ** 32),
      tokens: (random) => Math.floor(random() * 2 ** 32),
    },
  },
] satisfies OpCases[];

import { ema } from '../../src/ops/ema.js';
import type { OpCases } from './harness.js';

const cases = Array.from({ length: 22 }, (_, i) => ({
  n: [1, 2, 3, 4, 5, 8, 255, 256, 257, 1024, 2000][i % 11]!,
  decay: [0.9999, 0.5, 0, 0.99][i % 4]!,
}));

export default [{ entry: ema.forward, cases }] satisfies OpCases[];

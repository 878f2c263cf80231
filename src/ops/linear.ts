/** y[m,n] = Σₖ x[m,k]·w[n,k] (+ bias[n]) (+ residual[m,n]). Weights are [out, in], as in the checkpoints. */
import shader from '../../shaders/linear.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

/** Rows up to which the matrix × vector kernel, bound by reading w once, is taken. */
const GEMV_ROWS = 8;

export const linear = {
  forward: entry('linear', 'forward', shader, {
    tensors: {
      x: { shape: 'm k', io: 'in' },
      w: { shape: 'n k', io: 'in' },
      bias: { shape: 'n', io: 'in', optional: true },
      residual: { shape: 'm n', io: 'in', optional: true },
      y: { shape: 'm n', io: 'out' },
    },
    reference({ x, w, bias, residual, y }, { m, n, k }) {
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let sum = bias?.[j] ?? 0;
          for (let q = 0; q < k; q++) sum += x[i * k + q]! * w[j * k + q]!;
          y[i * n + j] = sum + (residual?.[i * n + j] ?? 0);
        }
      }
    },
    webgpu({ m, n, k }) {
      if (m <= GEMV_ROWS && k % 4 === 0) {
        const [wg, lanes] = [64, 16];
        return {
          entry: 'forward_gemv',
          constants: { WG: wg, LANES: lanes, M: m },
          vec4: ['x', 'w'],
          workgroups: grid(ceilDiv(n, wg / lanes)),
        };
      }
      const [bm, bn] = [64, 64];
      return { constants: { BM: bm, BN: bn, BK: 16 }, workgroups: [ceilDiv(n, bn), ...grid(ceilDiv(m, bm))] };
    },
    flops: ({ m, n, k }) => 2 * m * n * k,
    tolerance: { f32: 2e-6, reason: 'k products summed in f32, in another order' },
  }),
};

/** y[m,n] = Σₖ x[m,k]·w[n,k] (+ bias[n]) (+ residual[m,n]). Weights are [out, in], as in the checkpoints. */
import shader from '../../shaders/linear.wgsl';
import { gemvPlan } from './gemv.js';
import { ceilDiv, entry, grid } from './spec.js';

/** Bytes of the panel of w that assembly/linear.ts packs. */
const PANEL = 16384;

/** Scratch memory for a weight's gradient: a panel, and the rows of dy that assembly/linear.ts turns at once. */
export const gradientScratch = (n: number) => PANEL + 4 * 256 * n;

export const linear = {
  forward: entry('linear', 'forward', shader, {
    tensors: {
      x: { shape: 'm k', io: 'in' },
      w: { shape: 'n k', io: 'in', half: true },
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
    webgpu({ m, n, k }, caps, half) {
      const few = gemvPlan({ m, n, k }, caps, half.has('w'));
      if (few) return { ...few, entry: 'forward_gemv' };
      return {
        entry: k % 4 === 0 ? 'forward_vec4' : 'forward',
        constants: { A_ALONG_K: 1, B_ALONG_K: 1 },
        vec4: k % 4 === 0 ? ['x', 'w'] : [],
        workgroups: [ceilDiv(n, 64), ...grid(ceilDiv(m, 64))],
      };
    },
    flops: ({ m, n, k }) => 2 * m * n * k,
    wasmScratch: () => PANEL,
    wasmParts: true,
    tolerance: { f32: 2e-6, reason: 'k products summed in f32, in another order' },
  }),

  backward_input: entry('linear', 'backward_input', shader, {
    tensors: {
      w: { shape: 'n k', io: 'in', half: true },
      dy: { shape: 'm n', io: 'in' },
      dx: { shape: 'm k', io: 'out' },
    },
    reference({ w, dy, dx }, { m, n, k }) {
      dx.fill(0, 0, m * k);
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++)
          // forward: y[m,n] += x[m,k]·w[n,k]  ⇒  dx[m,k] += dy[m,n]·w[n,k]
          for (let q = 0; q < k; q++) dx[i * k + q]! += dy[i * n + j]! * w[j * k + q]!;
    },
    webgpu: ({ m, k }) => ({
      constants: { A_ALONG_K: 1, B_ALONG_K: 0 },
      workgroups: [ceilDiv(k, 64), ...grid(ceilDiv(m, 64))],
    }),
    flops: ({ m, n, k }) => 2 * m * n * k,
    wasmScratch: () => PANEL,
    wasmParts: true,
    tolerance: { f32: 3e-6, reason: 'n products summed in f32, in another order' },
  }),

  /** dw and dbias are p partial sums over chunks of rows; p = 1 are the gradients themselves, more go through `sum_rows`. */
  backward_weight: entry('linear', 'backward_weight', shader, {
    tensors: {
      x: { shape: 'm k', io: 'in' },
      dy: { shape: 'm n', io: 'in' },
      dw: { shape: 'p n k', io: 'inout' },
      dbias: { shape: 'p n', io: 'inout', optional: true },
    },
    reference({ x, dy, dw, dbias }, { m, n, k, p }) {
      const chunk = ceilDiv(m, p);
      for (let i = 0; i < m; i++) {
        const part = Math.floor(i / chunk);
        for (let j = 0; j < n; j++) {
          const d = dy[i * n + j]!;
          // forward: y[m,n] = bias[n] + …  ⇒  dbias[n] += dy[m,n]
          if (dbias) dbias[part * n + j]! += d;
          // forward: y[m,n] += x[m,k]·w[n,k]  ⇒  dw[n,k] += dy[m,n]·x[m,k]
          for (let q = 0; q < k; q++) dw[(part * n + j) * k + q]! += d * x[i * k + q]!;
        }
      }
    },
    webgpu: ({ n, k, p }) => ({
      constants: { A_ALONG_K: 0, B_ALONG_K: 0 },
      workgroups: [ceilDiv(k, 64), ceilDiv(n, 64), p],
    }),
    flops: ({ m, n, k }) => 2 * m * n * k,
    wasmScratch: ({ n }) => gradientScratch(n),
    wasmParts: true,
    tolerance: { f32: 3e-6, reason: 'm products summed in f32, in another order' },
  }),
};

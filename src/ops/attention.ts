/** y[i] = Σⱼ softmaxⱼ(q[i]·k[j]·c^-½)·v[j]: one head over all s positions, as in the tokenizer's AttnBlock. */
import shader from '../../shaders/attention.wgsl';
import { ceilDiv, entry, grid, type RefArray } from './spec.js';

/** Rows of a workgroup, and of a block of assembly/attention.ts. */
const GPU_ROWS = 16;
const WASM_ROWS = 32;
const pad4 = (n: number) => ceilDiv(n, 4) * 4;

const plan = ({ b, s, c }: { b: number; s: number; c: number }) => ({
  constants: { CHANNELS: ceilDiv(c, 256) },
  workgroups: [ceilDiv(s, GPU_ROWS), ...grid(b)] as [number, number, number],
});

const dot = (x: RefArray, i: number, y: RefArray, j: number, c: number) => {
  let sum = 0;
  for (let e = 0; e < c; e++) sum += x[i * c + e]! * y[j * c + e]!;
  return sum;
};

/** y row i += f·(x row j) */
const addRow = (y: RefArray, i: number, f: number, x: RefArray, j: number, c: number) => {
  for (let e = 0; e < c; e++) y[i * c + e]! += f * x[j * c + e]!;
};

/** Scores of query row i with the keys of rows j0 to j0 + s, and the logarithm of the sum of their exponentials. */
function scoresOf(q: RefArray, k: RefArray, i: number, j0: number, s: number, c: number) {
  const scores = Array.from({ length: s }, (_, j) => dot(q, i, k, j0 + j, c) / Math.sqrt(c));
  const most = scores.reduce((a, b) => Math.max(a, b));
  return { scores, total: most + Math.log(scores.reduce((sum, v) => sum + Math.exp(v - most), 0)) };
}

export const attention = {
  forward: entry('attention', 'forward', shader, {
    tensors: {
      q: { shape: 'b s c', io: 'in' },
      k: { shape: 'b s c', io: 'in' },
      v: { shape: 'b s c', io: 'in' },
      y: { shape: 'b s c', io: 'out' },
    },
    reference({ q, k, v, y }, { b, s, c }) {
      y.fill(0, 0, b * s * c);
      for (let i = 0; i < b * s; i++) {
        const j0 = i - (i % s);
        const { scores, total } = scoresOf(q, k, i, j0, s, c);
        scores.forEach((score, j) => {
          addRow(y, i, Math.exp(score - total), v, j0 + j, c);
        });
      }
    },
    webgpu: plan,
    flops: ({ b, s, c }) => 4 * b * s * s * c,
    wasmScratch: ({ s, c }) => 4 * (pad4(s) * c + s * pad4(c) + WASM_ROWS * s),
    wasmParts: true,
    tolerance: { f32: 5e-6, reason: 'scores of c products in f32 pass an exp, then s products are summed' },
  }),

  /** First of two: dq, and for each query log Σⱼ exp(score) and dy·y, which `backward_key` needs. */
  backward_query: entry('attention', 'backward_query', shader, {
    tensors: {
      q: { shape: 'b s c', io: 'in' },
      k: { shape: 'b s c', io: 'in' },
      v: { shape: 'b s c', io: 'in' },
      y: { shape: 'b s c', io: 'in' },
      dy: { shape: 'b s c', io: 'in' },
      dq: { shape: 'b s c', io: 'out' },
      stats: { shape: 'b 2 s', io: 'out' },
    },
    reference({ q, k, v, y, dy, dq, stats }, { b, s, c }) {
      dq.fill(0, 0, b * s * c);
      for (let i = 0; i < b * s; i++) {
        const j0 = i - (i % s);
        const { scores, total } = scoresOf(q, k, i, j0, s, c);
        const outer = dot(dy, i, y, i, c);
        stats[j0 + i] = total;
        stats[j0 + i + s] = outer;
        scores.forEach((score, j) => {
          // forward: y[i] += p·v[j]  ⇒  dp = dy[i]·v[j]
          const dp = dot(dy, i, v, j0 + j, c);
          // forward: p = exp(score - total)  ⇒  dscore = p·(dp - dy[i]·y[i])
          const dscore = Math.exp(score - total) * (dp - outer);
          // forward: score = q[i]·k[j]·c^-½  ⇒  dq[i] += dscore·k[j]·c^-½
          addRow(dq, i, dscore / Math.sqrt(c), k, j0 + j, c);
        });
      }
    },
    webgpu: plan,
    flops: ({ b, s, c }) => 6 * b * s * s * c,
    wasmScratch: ({ s, c }) => 4 * (2 * pad4(s) * c + s * pad4(c) + 2 * WASM_ROWS * s),
    wasmParts: true,
    tolerance: { f32: 1e-5, reason: 'products of c and of s summands in f32 with an exp between, differences of them' },
  }),

  /** Second of two: dk and dv. */
  backward_key: entry('attention', 'backward_key', shader, {
    tensors: {
      q: { shape: 'b s c', io: 'in' },
      k: { shape: 'b s c', io: 'in' },
      v: { shape: 'b s c', io: 'in' },
      dy: { shape: 'b s c', io: 'in' },
      stats: { shape: 'b 2 s', io: 'in' },
      dk: { shape: 'b s c', io: 'out' },
      dv: { shape: 'b s c', io: 'out' },
    },
    reference({ q, k, v, dy, stats, dk, dv }, { b, s, c }) {
      dk.fill(0, 0, b * s * c);
      dv.fill(0, 0, b * s * c);
      for (let i = 0; i < b * s; i++) {
        const j0 = i - (i % s);
        for (let j = j0; j < j0 + s; j++) {
          const p = Math.exp(dot(q, i, k, j, c) / Math.sqrt(c) - stats[j0 + i]!);
          // forward: y[i] += p·v[j]  ⇒  dv[j] += p·dy[i], dp = dy[i]·v[j]
          addRow(dv, j, p, dy, i, c);
          const dscore = p * (dot(dy, i, v, j, c) - stats[j0 + i + s]!);
          // forward: score = q[i]·k[j]·c^-½  ⇒  dk[j] += dscore·q[i]·c^-½
          addRow(dk, j, dscore / Math.sqrt(c), q, i, c);
        }
      }
    },
    webgpu: plan,
    flops: ({ b, s, c }) => 8 * b * s * s * c,
    wasmScratch: ({ s, c }) => 4 * (2 * pad4(s) * c + 2 * s * pad4(c) + 2 * WASM_ROWS * s),
    wasmParts: true,
    tolerance: { f32: 1e-5, reason: 'products of c and of s summands in f32 with an exp between, differences of them' },
  }),
};

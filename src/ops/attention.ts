/** y[i] = Σⱼ softmaxⱼ(q[i]·k[j]·c^-½)·v[j]. Attention with one head over all s positions, as in the tokenizer's AttnBlock. */
import shader from '../../shaders/attention.wgsl';
import { ceilDiv, entry, type GpuPass, type GpuPlan, grid } from './spec.js';
import { TILE_SIZE as TILE } from './tile.js';

/** Rows of q that a workgroup computes. */
const GPU_ROWS = 16;
/** Largest number of scores in a workspace: a binding has at most 2^27 bytes by WebGPU's default limits. */
const SCORES = 2 ** 25;

const plan = ({ b, s, c }: { b: number; s: number; c: number }) => ({
  constants: { CHANNELS: ceilDiv(c, 256) },
  workgroups: [ceilDiv(s, GPU_ROWS), ...grid(b)] as [number, number, number],
});

function forwardPlan({ b, s, c }: { b: number; s: number; c: number }): GpuPlan {
  if (s % 4 || c % 4 || b * s * s > SCORES) return plan({ b, s, c });
  const along = { A_ALONG_K: 1, B_ALONG_K: 1, TILE };
  const passes: GpuPass[] = [
    {
      entry: 'scores',
      constants: along,
      reads: ['q', 'k'],
      writes: ['table'],
      vec4: ['q', 'k'],
      workgroups: [ceilDiv(s, TILE), ceilDiv(s, TILE), b],
    },
    { entry: 'softmax', writes: ['table'], vec4: ['table'], workgroups: grid(b * s) },
    {
      entry: 'mix',
      constants: { ...along, B_ALONG_K: 0 },
      reads: ['table', 'v'],
      writes: ['y'],
      vec4: ['table'],
      workgroups: [ceilDiv(c, TILE), ceilDiv(s, TILE), b],
    },
  ];
  return { passes, workspaces: { table: b * s * s } };
}

export const attention = {
  forward: entry('attention', 'forward', shader, {
    tensors: {
      q: { shape: 'b s c', io: 'in' },
      k: { shape: 'b s c', io: 'in' },
      v: { shape: 'b s c', io: 'in' },
      y: { shape: 'b s c', io: 'out' },
    },
    batch: 'b',
    webgpu: forwardPlan,
    flops: ({ b, s, c }) => 4 * b * s * s * c,
    wasmParts: true,
    tolerance: { f32: 5e-6, reason: 'scores of c products in f32 pass an exp, then s products are summed' },
  }),

  /** The first of two launches. Computes dq and, for each query, log Σⱼ exp(score) and dy·y, which `backward_key` needs. */
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
    webgpu: plan,
    flops: ({ b, s, c }) => 6 * b * s * s * c,
    wasmParts: true,
    tolerance: { f32: 1e-5, reason: 'products of c and of s summands in f32 with an exp between, differences of them' },
  }),

  /** The second of two launches. Computes dk and dv. */
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
    webgpu: plan,
    flops: ({ b, s, c }) => 8 * b * s * s * c,
    wasmParts: true,
    tolerance: { f32: 1e-5, reason: 'products of c and of s summands in f32 with an exp between, differences of them' },
  }),
};

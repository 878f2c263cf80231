/**
 * loss[r] = lse[r] - logits[r, targets[r]] with lse = log Σ exp(logits), which is -log softmax of the target. A target past the
 * end reads the last logit.
 */
import shader from '../../shaders/cross_entropy.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export const crossEntropy = {
  forward: entry('cross_entropy', 'forward', shader, {
    tensors: {
      logits: { shape: 'r v', io: 'in' },
      targets: { shape: 'r', io: 'in', dtype: 'u32' },
      loss: { shape: 'r', io: 'out' },
      lse: { shape: 'r', io: 'out' },
    },
    webgpu: ({ r, v }) =>
      v % 4 === 0 ? { entry: 'forward_vec4', vec4: ['logits'], workgroups: grid(r) } : { workgroups: grid(r) },
    flops: ({ r, v }) => 20 * r * v,
    wasmParts: true,
    tolerance: { f32: 2e-6, reason: 'v exponentials summed in f32, in another order, and a log' },
  }),
  /** For a mean over all rows of a batch, scale is 1 over the number of rows. It is multiplied by loss_scale[0] (see clip). */
  backward: entry('cross_entropy', 'backward', shader, {
    tensors: {
      logits: { shape: 'r v', io: 'in' },
      targets: { shape: 'r', io: 'in', dtype: 'u32' },
      lse: { shape: 'r', io: 'in' },
      loss_scale: { shape: '2', io: 'in', optional: true },
      dlogits: { shape: 'r v', io: 'out' },
    },
    attrs: { scale: 'f32' },
    webgpu({ r, v }) {
      const vec = v % 4 === 0 ? 4 : 1;
      return {
        entry: vec === 4 ? 'backward_vec4' : 'backward',
        constants: { WG: 256 },
        vec4: vec === 4 ? ['logits', 'dlogits'] : [],
        workgroups: grid(ceilDiv((r * v) / vec, 256)),
      };
    },
    flops: ({ r, v }) => 20 * r * v,
    wasmParts: true,
    tolerance: { f32: 2e-6, reason: 'an exp' },
  }),
};

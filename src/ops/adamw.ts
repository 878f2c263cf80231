/**
 * One step of AdamW (Loshchilov and Hutter 2019), with the equations of torch.optim.AdamW. With g = grad·grad_scale:
 *   param -= lr·decay·param;  m = beta1·m + (1 - beta1)·g;  v = beta2·v + (1 - beta2)·g²;
 *   param -= lr·(m / bias1) / (√(v / bias2) + eps),  bias1 = 1 - beta1^t, bias2 = 1 - beta2^t at step t = 1, 2, …
 * Values that change from step to step are in `hyper` on the device, so that a recorded step can be replayed. HYPER names them.
 * If `skip` is not 0, nothing changes.
 */
import shader from '../../shaders/adamw.wgsl';
import { BETA1, BETA2, BIAS1, BIAS2, EPS, GRAD_SCALE, LR, SKIP } from './shared.js';
import { ceilDiv, entry, grid } from './spec.js';

/** Indices into `hyper`. */
export const HYPER = {
  ...{ lr: LR, beta1: BETA1, beta2: BETA2, eps: EPS, bias1: BIAS1, bias2: BIAS2 },
  grad_scale: GRAD_SCALE,
  skip: SKIP,
} as const;

export const adamw = {
  forward: entry('adamw', 'forward', shader, {
    tensors: {
      param: { shape: 'n', io: 'inout' },
      grad: { shape: 'n', io: 'in' },
      m: { shape: 'n', io: 'inout' },
      v: { shape: 'n', io: 'inout' },
      hyper: { shape: '8', io: 'in' },
    },
    attrs: { decay: 'f32' },
    webgpu({ n }) {
      const vec = n % 4 === 0 ? 4 : 1;
      return {
        constants: { WG: 256, VEC: vec, LR, BETA1, BETA2, EPS, BIAS1, BIAS2, GRAD_SCALE, SKIP },
        vec4: vec === 4 ? ['param', 'grad', 'm', 'v'] : [],
        workgroups: grid(ceilDiv(n / vec, 256)),
      };
    },
    flops: ({ n }) => 16 * n,
    wasmParts: true,
    tolerance: { f32: 2e-6, reason: 'a few roundings, a root and a quotient' },
  }),
};

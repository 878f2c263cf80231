/**
 * n = RMSNorm(res + gate·x)·weight;  u = RMSNorm(n)·outer·(1 + scale) + shift (add_rms_norm twice);  logits = u·wᵀ.
 * y is the logits or, for m = 2b rows, the guided logits (guide). This is the end of a token's step. Few rows are a single launch
 * on WebGPU.
 */
import shader from '../../shaders/norm_head.wgsl';
import type { Tensor } from '../core/tensor.js';
import { addRmsNorm } from './add_rms_norm.js';
import { normGemvPlan } from './gemv.js';
import { guide } from './guide.js';
import { productOf } from './linear.js';
import { composite, type Runner } from './spec.js';

/** Tensors of `headNorms`, with the shapes that are given below. */
type HeadNorms = Record<'x' | 'weight' | 'outer' | 'modulation' | 'once' | 'y', Tensor> &
  Partial<Record<'res' | 'gate' | 'sum', Tensor | undefined>>;

/**
 * once = RMSNorm(res + gate·x)·weight;  y = RMSNorm(once)·outer·(1 + scale) + shift. If `sum` is given, it gets res + gate·x.
 */
export function headNorms(be: Runner, { x, res, gate, weight, outer, modulation, sum, once, y }: HeadNorms, eps: number): void {
  be.run(addRmsNorm.forward, { x, res, gate, weight, sum, y: once }, { eps });
  be.run(addRmsNorm.forward, { x: once, weight: outer, modulation, y }, { eps });
}

export const normHead = {
  forward: composite('norm_head', 'forward', shader, {
    tensors: {
      x: { shape: 'm l d', io: 'in' },
      res: { shape: 'm l d', io: 'in', optional: true },
      gate: { shape: 'm 3 d', io: 'in', optional: true },
      weight: { shape: 'd', io: 'in' },
      outer: { shape: 'd', io: 'in' },
      modulation: { shape: 'm 2 d', io: 'in' },
      w: { shape: 'n d', io: 'in', half: true },
      y: { shape: 'b l n', io: 'out' },
    },
    batch: 'm b',
    attrs: { eps: 'f32', scale: 'f32' },
    check: ({ m, b }) =>
      m === b || m === 2 * b ? undefined : `x has ${m} rows for ${b} of y; pass as many, or twice as many to guide them.`,
    parts(be, { x, res, gate, weight, outer, modulation, w, y }, { m, l, b, d, n, eps, scale }) {
      const [once, twice] = [be.tensor(x.shape), be.tensor(x.shape)];
      headNorms(be, { x, res, gate, weight, outer, modulation, once, y: twice }, eps);
      be.free(once);
      const logits = b === m ? y : be.tensor([m, l, n]);
      be.run(productOf(l), { x: be.reshape(twice, [m * l, d]), w, y: be.reshape(logits, [m * l, n]) });
      be.free(twice);
      if (b === m) return;
      be.run(guide.forward, { logits: be.reshape(logits, [m, l * n]), y: be.reshape(y, [b, l * n]) }, { scale });
      be.free(logits);
    },
    webgpu({ m, l, n, d }, caps, half) {
      if (l !== 1) return undefined;
      const vec4 = ['x', 'res', 'gate', 'weight', 'outer', 'modulation'];
      return normGemvPlan({ m, n, k: d }, caps, half.has('w'), 4, { vec4 });
    },
    flops: ({ m, l, n, d }) => 2 * m * l * n * d,
    tolerance: { f32: 8e-6, reason: 'd squares twice and d products in f32, in another order' },
  }),
};

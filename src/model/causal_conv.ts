/** The causal convolution after the first projection of every Mamba mixer. */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { causalConv1d, convParts } from '../ops/causal_conv1d.js';
import { normLinearConv } from '../ops/norm_linear_conv.js';
import type { Acts } from './acts.js';
import type { Fields } from './fields.js';
import { addSumTo, NORM_EPS } from './layers.js';
import { inputDone, type LayerInput } from './mixer.js';
import { init, param } from './params.js';

/** Reads `d_conv`, the width of the convolution. 1 is not allowed: it would have no state, and the authors' kernels refuse it. */
export const parseConvWidth = (ssm: Fields) => ssm.int('d_conv', { fallback: 4, least: 2, most: 8 });

/** Depthwise weight [channels, 1, d_conv] and bias [channels], both initialised from U(±1/√d_conv). */
export const causalConvParams = (channels: number, d_conv: number) => ({
  weight: param([channels, 1, d_conv], init.fanIn()),
  bias: param([channels], init.uniform(1 / Math.sqrt(d_conv))),
});

interface WeightBias {
  weight: Tensor;
  bias: Tensor;
}

/**
 * The start of a Mamba layer: u·in_projᵀ → `proj` [m, l, n], then SiLU(conv(columns offset, … of proj)) → `y` [m, l, channels].
 * Frees the layer's x and res. `state` [m, channels, d_conv − 1] holds the inputs of the preceding positions and is updated.
 */
export function convInputForward(
  be: Backend,
  p: { in_proj: { weight: Tensor }; conv1d: WeightBias },
  input: LayerInput,
  { proj, y, state }: { proj: Tensor; y: Tensor; state: Tensor | undefined },
  offset: number,
  a: Acts,
): void {
  const weights = { w: p.in_proj.weight, taps: p.conv1d.weight, conv_bias: p.conv1d.bias };
  be.run(normLinearConv.forward, { ...input, ...weights, state, proj, y }, { offset, eps: NORM_EPS });
  inputDone(input, a);
}

/**
 * Gradient of y = SiLU(conv(x)). x [m, l, n] is the projection, of which the convolution reads the columns offset, …; dy is
 * [m, l, channels]. Overwrites these columns of dx [m, l, n] and adds the gradients of weight and bias to `g`.
 */
export function causalConvBackward(
  be: Backend,
  p: WeightBias,
  g: WeightBias,
  { x, dy, dx }: { x: Tensor; dy: Tensor; dx: Tensor },
  offset: number,
): void {
  const [m, l] = x.shape as [number, number];
  const partials = convParts(m, l);
  const [channels, , k] = p.weight.shape as [number, number, number];
  const dweight_rows = be.tensor([partials, channels, k]);
  const dbias_rows = be.tensor([partials, channels]);
  be.run(causalConv1d.backward, { x, weight: p.weight, bias: p.bias, dy, dx, dweight_rows, dbias_rows }, { offset });
  addSumTo(be, g.weight, dweight_rows);
  addSumTo(be, g.bias, dbias_rows);
  be.free(dweight_rows, dbias_rows);
}

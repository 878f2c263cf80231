/** The causal convolution that every Mamba mixer has after its first projection. */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { causalConv1d, convParts } from '../ops/causal_conv1d.js';
import { normLinearConv } from '../ops/norm_linear_conv.js';
import type { Acts } from './acts.js';
import type { Fields } from './fields.js';
import { addSumTo, NORM_EPS } from './layers.js';
import { inputDone, type LayerInput } from './mixer.js';
import { init, param } from './params.js';

/** Reads `d_conv`, the positions that a convolution covers. One has no state, and the authors' kernels do not take it either. */
export const parseConvWidth = (ssm: Fields) => ssm.int('d_conv', { fallback: 4, least: 2, most: 8 });

/** Depthwise weight [channels, 1, d_conv] and bias, U(±1/√d_conv). */
export const causalConvParams = (channels: number, d_conv: number) => ({
  weight: param([channels, 1, d_conv], init.fanIn()),
  bias: param([channels], init.uniform(1 / Math.sqrt(d_conv))),
});

interface WeightBias {
  weight: Tensor;
  bias: Tensor;
}

/**
 * How a Mamba layer starts: proj [m, l, n] = u·in_projᵀ and y [m, l, channels] = SiLU(conv(columns offset… of proj)). Frees the
 * layer's x and res. `state` [m, channels, d_conv - 1] holds the inputs of the positions before and is replaced by the latest.
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

/** Writes the gradient of the convolution's input x into columns offset… of dx; adds the weight's and the bias's to `g`. */
export function causalConvBackward(
  be: Backend,
  p: WeightBias,
  g: WeightBias,
  { x, dy, dx }: { x: Tensor; dy: Tensor; dx: Tensor },
  offset: number,
): void {
  const [m, l] = x.shape as [number, number];
  const parts = convParts(m, l);
  const [channels, , k] = p.weight.shape as [number, number, number];
  const dweight_rows = be.tensor([parts, channels, k]);
  const dbias_rows = be.tensor([parts, channels]);
  be.run(causalConv1d.backward, { x, weight: p.weight, bias: p.bias, dy, dx, dweight_rows, dbias_rows }, { offset });
  addSumTo(be, g.weight, dweight_rows);
  addSumTo(be, g.bias, dbias_rows);
  be.free(dweight_rows, dbias_rows);
}

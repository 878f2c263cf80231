/** Mamba-2 mixer (arXiv 2405.21060): in_proj → causal conv → SSD → gated RMSNorm → out_proj. */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { convParts } from '../ops/causal_conv1d.js';
import { causalConv1d, gatedNormLinear, normLinearConv, rmsNormGated, ssd, sumRows } from '../ops/index.js';
import { partsOf } from '../ops/sum_rows.js';
import type { Acts } from './acts.js';
import { linearBackward } from './backward.js';
import type { MambaConfig } from './config.js';
import { init, linearParams, normParams, param, type Tensors } from './params.js';
import { ssdBackward } from './scan_backward.js';

const EPS = 1e-5;

/** z and x: e each; B and C: g·n each; dt: h. */
const widths = (c: MambaConfig) => {
  const conv = c.d_inner + 2 * c.ngroups * c.d_state;
  return { conv, proj: c.d_inner + conv + c.nheads };
};

export function mamba2Params(c: MambaConfig, layers: number) {
  const w = widths(c);
  return {
    dt_bias: param([c.nheads], dtBias),
    A_log: param([c.nheads], (_shape, random, out) => {
      for (let i = 0; i < out.length; i++) out[i] = Math.log(1 + 15 * random());
    }),
    D: param([c.nheads], init.ones),
    in_proj: linearParams(w.proj, c.d_model),
    conv1d: convolution(w.conv, c.d_conv),
    norm: normParams(c.d_inner),
    out_proj: linearParams(c.d_model, c.d_inner, 1 / Math.sqrt(layers)),
  };
}
export type Mamba2Params = Tensors<ReturnType<typeof mamba2Params>>;

/** Depthwise conv weight and bias, U(±1/√d_conv). */
export const convolution = (channels: number, d_conv: number) => ({
  weight: param([channels, 1, d_conv], init.fanIn()),
  bias: param([channels], init.uniform(1 / Math.sqrt(d_conv))),
});

/** softplus⁻¹ of a step drawn log-uniformly from [1e-3, 1e-1], at least 1e-4. */
export function dtBias(_shape: readonly number[], random: () => number, out: Float32Array): void {
  for (let i = 0; i < out.length; i++) {
    const dt = Math.max(Math.exp(Math.log(1e-3) + random() * (Math.log(1e-1) - Math.log(1e-3))), 1e-4);
    out[i] = dt + Math.log(-Math.expm1(-dt));
  }
}

/** Recurrent state of one layer for m sequences. */
export interface MixerState {
  conv: Tensor;
  ssm: Tensor;
}

/** Its shapes for m sequences. */
export const mamba2State = (c: MambaConfig, m: number) => ({
  conv: [m, widths(c).conv, c.d_conv - 1],
  ssm: [m, c.nheads, c.headdim, c.d_state],
});

/** What a layer starts from: u = RMSNorm(sum)·weight under the modulation, sum = res + gate·x, which is left behind. */
export interface LayerInput {
  x: Tensor;
  res: Tensor | undefined;
  gate: Tensor | undefined;
  weight: Tensor;
  modulation: Tensor;
  sum: Tensor;
  /** [m, l, d], where backward wants it. */
  u: Tensor | undefined;
  eps: number;
}

/**
 * Once a layer's input is summed up. In this order a recording has every layer's output where its input was, and sums in two
 * places by turns, so that layers make series (backend/series.ts).
 */
export const doneWith = ({ x, res }: Pick<LayerInput, 'x' | 'res'>, a: Acts) => a.done(res, x);

/**
 * A layer up to its gate: [m, l, d] → [m, l, d]; x and res are given back. With `state` it continues from there and leaves the
 * new state behind.
 */
export function mamba2Forward(
  be: Backend,
  p: Mamba2Params,
  c: MambaConfig,
  { eps, ...input }: LayerInput,
  a: Acts,
  state?: MixerState,
): Tensor {
  const [m, l] = input.x.shape as [number, number];
  const w = widths(c);
  const zxbcdt = a.tensor('zxbcdt', [m, l, w.proj]);
  const xbc = a.tensor('xbc', [m, l, w.conv]);
  be.run(
    normLinearConv.forward,
    { ...input, ...convolved(p), state: state?.conv, proj: zxbcdt, y: xbc },
    { offset: c.d_inner, eps },
  );
  doneWith(input, a);
  const y = a.tensor('y', [m, l, c.d_inner]);
  be.run(
    ssd.forward,
    { xbc, zxbcdt, A_log: p.A_log, dt_bias: p.dt_bias, D: p.D, state: state?.ssm, y },
    { ngroups: c.ngroups, headdim: c.headdim, d_state: c.d_state },
  );
  a.done(xbc);
  const out = a.tensor('out', [m, l, c.d_model]);
  const g = a.keep ? a.tensor('g', [m, l, c.d_inner]) : undefined;
  be.run(
    gatedNormLinear.forward,
    { x: y, z: zxbcdt, weight: p.norm.weight, w: p.out_proj.weight, g, y: out },
    { groups: c.ngroups, z_offset: 0, eps: EPS },
  );
  a.done(zxbcdt, y);
  return out;
}

/** A mixer's projection and convolution, as its first op takes them. */
export const convolved = (p: { in_proj: { weight: Tensor }; conv1d: { weight: Tensor; bias: Tensor } }) => ({
  w: p.in_proj.weight,
  taps: p.conv1d.weight,
  conv_bias: p.conv1d.bias,
});

/**
 * Gradient of u from dout [m, l, d]; adds the parameters' to `g`. Reads the activations that forward kept in `a`
 * (per token: proj + conv + 2·d_inner floats).
 */
export function mamba2Backward(
  be: Backend,
  p: Mamba2Params,
  g: Mamba2Params,
  c: MambaConfig,
  u: Tensor,
  dout: Tensor,
  a: Acts,
): Tensor {
  const [m, l] = u.shape as [number, number];
  const w = widths(c);
  const zxbcdt = a.tensor('zxbcdt', [m, l, w.proj]);
  const xbc = a.tensor('xbc', [m, l, w.conv]);
  const y = a.tensor('y', [m, l, c.d_inner]);
  const normed = a.tensor('g', [m, l, c.d_inner]);
  // forward: out = g·out_projᵀ
  const dg = be.tensor(normed.shape);
  linearBackward(be, { x: normed, w: p.out_proj.weight, dy: dout, dx: dg, dw: g.out_proj.weight });
  // forward: g = RMSNorm(y·SiLU(z))·norm. The four gradients below fill all columns of dzxbcdt: z here …
  const dy = be.tensor(y.shape);
  const dzxbcdt = be.tensor(zxbcdt.shape);
  const rows = be.tensor([partsOf(1, m * l), c.d_inner]);
  be.run(
    rmsNormGated.backward,
    { x: y, z: zxbcdt, weight: p.norm.weight, dy: dg, dx: dy, dz: dzxbcdt, dweight_rows: rows },
    { groups: c.ngroups, z_offset: 0, eps: EPS },
  );
  be.run(sumRows.forward, { x: rows, y: g.norm.weight });
  be.free(dg, rows);
  // forward: y = SSD(x, B, C, dt): … dt here …
  const dxbc = be.tensor(xbc.shape);
  const { A_log, dt_bias, D } = p;
  ssdBackward(
    be,
    { xbc, zxbcdt, A_log, dt_bias, D, dy, dxbc, dzxbcdt, dA_log: g.A_log, ddt_bias: g.dt_bias, dD: g.D },
    { ngroups: c.ngroups, headdim: c.headdim, d_state: c.d_state },
  );
  be.free(dy);
  // forward: xbc = SiLU(conv(xBC)): … and x, B, C here.
  convBackward(be, p.conv1d, g.conv1d, zxbcdt, dxbc, dzxbcdt, c.d_inner);
  be.free(dxbc);
  // forward: zxbcdt = u·in_projᵀ
  const du = be.tensor(u.shape);
  linearBackward(be, { x: u, w: p.in_proj.weight, dy: dzxbcdt, dx: du, dw: g.in_proj.weight });
  be.free(dzxbcdt);
  return du;
}

/** Gradient of the causal convolution's input into columns offset … of dx; adds the weight's and bias's to `g`. */
export function convBackward(
  be: Backend,
  p: { weight: Tensor; bias: Tensor },
  g: { weight: Tensor; bias: Tensor },
  x: Tensor,
  dy: Tensor,
  dx: Tensor,
  offset: number,
): void {
  const [m, l] = x.shape as [number, number];
  const parts = convParts(m, l);
  const [channels, , k] = p.weight.shape as [number, number, number];
  const dweight_rows = be.tensor([parts, channels, k]);
  const dbias_rows = be.tensor([parts, channels]);
  be.run(causalConv1d.backward, { x, weight: p.weight, bias: p.bias, dy, dx, dweight_rows, dbias_rows }, { offset });
  be.run(sumRows.forward, { x: be.reshape(dweight_rows, [parts, channels * k]), y: be.reshape(g.weight, [channels * k]) });
  be.run(sumRows.forward, { x: dbias_rows, y: g.bias });
  be.free(dweight_rows, dbias_rows);
}

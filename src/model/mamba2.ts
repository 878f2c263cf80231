/** Mamba-2 mixer (arXiv 2405.21060): in_proj → causal conv → SSD → gated RMSNorm → out_proj. */
import type { Backend, Tensor } from '../backend/backend.js';
import { causalConv1d, rmsNormGated, ssd } from '../ops/index.js';
import type { Acts } from './acts.js';
import type { MambaConfig } from './config.js';
import { linearForward } from './layers.js';
import { init, linearParams, normParams, param, type Tensors } from './params.js';

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

export function mamba2State(be: Backend, c: MambaConfig, m: number): MixerState {
  return {
    conv: be.tensor([m, widths(c).conv, c.d_conv - 1]),
    ssm: be.tensor([m, c.nheads, c.headdim, c.d_state]),
  };
}

/** u [m, l, d] → [m, l, d]. With `state` it continues from there and leaves the new state behind. */
export function mamba2Forward(be: Backend, p: Mamba2Params, c: MambaConfig, u: Tensor, a: Acts, state?: MixerState): Tensor {
  const [m, l] = u.shape as [number, number];
  const w = widths(c);
  const zxbcdt = a.tensor('zxbcdt', [m, l, w.proj]);
  linearForward(be, u, p.in_proj.weight, zxbcdt);
  const xbc = a.tensor('xbc', [m, l, w.conv]);
  be.run(
    causalConv1d.forward,
    { x: zxbcdt, weight: p.conv1d.weight, bias: p.conv1d.bias, state: state?.conv, y: xbc },
    { offset: c.d_inner },
  );
  const y = a.tensor('y', [m, l, c.d_inner]);
  be.run(
    ssd.forward,
    { xbc, zxbcdt, A_log: p.A_log, dt_bias: p.dt_bias, D: p.D, state: state?.ssm, y },
    { ngroups: c.ngroups, headdim: c.headdim, d_state: c.d_state },
  );
  a.done(xbc);
  const g = a.tensor('g', [m, l, c.d_inner]);
  be.run(rmsNormGated.forward, { x: y, z: zxbcdt, weight: p.norm.weight, y: g }, { groups: c.ngroups, z_offset: 0, eps: EPS });
  a.done(zxbcdt, y);
  const out = a.tensor('out', [m, l, c.d_model]);
  linearForward(be, g, p.out_proj.weight, out);
  a.done(g);
  return out;
}

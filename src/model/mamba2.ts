/** The Mamba-2 mixer (arXiv 2405.21060): in_proj → causal convolution → SSD → gated RMSNorm → out_proj. */

import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { gatedNormLinear } from '../ops/gated_norm_linear.js';
import { rmsNormGated } from '../ops/rms_norm_gated.js';
import { ssd } from '../ops/ssd.js';
import { partsOf } from '../ops/sum_rows.js';
import { type Acts, activations, half } from './acts.js';
import { gradientOf, linearBackward } from './backward.js';
import { causalConvBackward, causalConvParams, convInputForward, parseConvWidth } from './causal_conv.js';
import type { Fields } from './fields.js';
import { addSumTo, NORM_EPS } from './layers.js';
import type { LayerInput, Mixer, MixerConfig, Past } from './mixer.js';
import { init, linearParams, normParams, param, type Tensors } from './params.js';
import { ssdBackward } from './scan_backward.js';
import { drawsOnly, TRAINING } from './training_only.js';

/** The fields of `ssm_cfg` that Mamba-2 uses, and sizes that follow from them. */
export interface Mamba2Config extends MixerConfig {
  readonly layer: 'Mamba2';
  readonly d_state: number;
  readonly d_conv: number;
  /** expand · d_model */
  readonly d_inner: number;
  readonly headdim: number;
  /** d_inner / headdim */
  readonly nheads: number;
  readonly ngroups: number;
}

function parse(ssm: Fields, d_model: number): Mamba2Config {
  const d_inner = ssm.int('expand', { fallback: 2, most: 64 }) * d_model;
  const headdim = ssm.int('headdim', { fallback: 64 });
  const ngroups = ssm.int('ngroups', { fallback: 1 });
  const nheads = d_inner / headdim;
  if (!Number.isInteger(nheads) || nheads % ngroups)
    ssm.refuse(`expand·d_model = ${d_inner} must divide into heads of headdim ${headdim}, and those into ngroups ${ngroups}.`);
  return {
    layer: 'Mamba2',
    d_model,
    d_state: ssm.int('d_state', { fallback: 128, most: 1024 }),
    d_conv: parseConvWidth(ssm),
    d_inner,
    headdim,
    nheads,
    ngroups,
  };
}

/** Channels of the convolution: x (d_inner), B and C (ngroups·d_state each). */
const convChannels = (c: Mamba2Config) => c.d_inner + 2 * c.ngroups * c.d_state;
/** Columns of the projection: z and x (d_inner each), B and C (ngroups·d_state each), dt (nheads). */
const projected = (c: Mamba2Config) => c.d_inner + convChannels(c) + c.nheads;

function params(c: Mamba2Config, layers: number) {
  return {
    dt_bias: param([c.nheads], init.timeStep),
    A_log: param([c.nheads], (_shape, random, out) => {
      for (let i = 0; i < out.length; i++) out[i] = Math.log(1 + 15 * random());
    }),
    D: param([c.nheads], init.ones),
    in_proj: linearParams(projected(c), c.d_model),
    conv1d: causalConvParams(convChannels(c), c.d_conv),
    norm: normParams(c.d_inner),
    out_proj: linearParams(c.d_model, c.d_inner, 1 / Math.sqrt(layers)),
  };
}
export type Mamba2Params = Tensors<ReturnType<typeof params>>;

/**
 * xbc: the columns x, B, C after the convolution. g: the input of out_proj, which fused kernels do not write. Float16 rounds the columns dt of
 * zxbcdt too, before softplus, by 2^-11 of themselves; with bfloat16, as the authors train, it is 2^-8.
 */
const ACTS = activations({
  zxbcdt: half('m l proj'),
  xbc: half('m l conv'),
  y: half('m l e'),
  g: half('m l e'),
  out: half('m l d'),
});
const dims = (c: Mamba2Config) => ({ d: c.d_model, e: c.d_inner, conv: convChannels(c), proj: projected(c) });

const ssdAttrs = (c: Mamba2Config) => ({ ngroups: c.ngroups, headdim: c.headdim, d_state: c.d_state });
/** z is the first block of columns of zxbcdt. */
const gateAttrs = (c: Mamba2Config) => ({ groups: c.ngroups, z_offset: 0, eps: NORM_EPS });

function forward(be: Backend, p: Mamba2Params, c: Mamba2Config, input: LayerInput, a: Acts, past?: Past<'conv' | 'ssm'>): Tensor {
  const [m, l] = input.x.shape as [number, number];
  const act = a.part(ACTS, { m, l, ...dims(c) });
  const zxbcdt = act.tensor('zxbcdt');
  const xbc = act.tensor('xbc');
  convInputForward(be, p, input, { proj: zxbcdt, y: xbc, state: past?.state.conv }, c.d_inner, a);
  const y = act.tensor('y');
  const { A_log, dt_bias, D } = p;
  be.run(ssd.forward, { xbc, zxbcdt, A_log, dt_bias, D, state: past?.state.ssm, y }, ssdAttrs(c));
  a.done(xbc);
  const g = act.forBackward('g');
  const known = act.known('out');
  if (known) {
    be.run(rmsNormGated.forward, { x: y, z: zxbcdt, weight: p.norm.weight, y: g! }, gateAttrs(c));
    return known;
  }
  const out = act.tensor('out');
  be.run(gatedNormLinear.forward, { x: y, z: zxbcdt, weight: p.norm.weight, w: p.out_proj.weight, g, y: out }, gateAttrs(c));
  a.done(zxbcdt, y);
  return out;
}

function backward(be: Backend, p: Mamba2Params, g: Mamba2Params, c: Mamba2Config, u: Tensor, dout: Tensor, a: Acts): Tensor {
  const { zxbcdt, xbc, y, g: normed } = a.saved(ACTS);
  const [m, l] = u.shape as [number, number];
  // forward: out = g·out_projᵀ
  const dg = gradientOf(be, normed);
  linearBackward(be, { x: normed, w: p.out_proj.weight, dy: dout, dx: dg, dw: g.out_proj.weight });
  // forward: g = RMSNorm(y·SiLU(z))·norm. This fills the z columns of dzxbcdt.
  const dy = gradientOf(be, y);
  const dzxbcdt = gradientOf(be, zxbcdt);
  const rows = be.tensor([partsOf(1, m * l), c.d_inner]);
  be.run(
    rmsNormGated.backward,
    { x: y, z: zxbcdt, weight: p.norm.weight, dy: dg, dx: dy, dz: dzxbcdt, dweight_rows: rows },
    gateAttrs(c),
  );
  addSumTo(be, g.norm.weight, rows);
  be.free(dg, rows);
  // forward: y = SSD(x, B, C, dt). This fills the dt columns of dzxbcdt.
  const dxbc = gradientOf(be, xbc);
  const { A_log, dt_bias, D } = p;
  ssdBackward(
    be,
    { xbc, zxbcdt, A_log, dt_bias, D, dy, dxbc, dzxbcdt, dA_log: g.A_log, ddt_bias: g.dt_bias, dD: g.D },
    ssdAttrs(c),
  );
  be.free(dy);
  // forward: xbc = SiLU(conv(xBC)). This fills the remaining columns of dzxbcdt: x, B and C.
  causalConvBackward(be, p.conv1d, g.conv1d, { x: zxbcdt, dy: dxbc, dx: dzxbcdt }, c.d_inner);
  be.free(dxbc);
  // forward: zxbcdt = u·in_projᵀ
  const du = gradientOf(be, u);
  linearBackward(be, { x: u, w: p.in_proj.weight, dy: dzxbcdt, dx: du, dw: g.in_proj.weight });
  be.free(dzxbcdt);
  return du;
}

export const mamba2: Mixer<Mamba2Config, Mamba2Params, 'conv' | 'ssm'> = {
  parse,
  params,
  state: (c, m) => ({ conv: [m, convChannels(c), c.d_conv - 1], ssm: [m, c.nheads, c.headdim, c.d_state] }),
  activations: (c) => ({ spec: ACTS, dims: dims(c) }),
  forward,
  backward: TRAINING ? backward : drawsOnly,
  summary: (c) => `d_state ${c.d_state}`,
};

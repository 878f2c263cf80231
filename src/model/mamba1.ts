/** The Mamba-1 mixer (arXiv 2312.00752): in_proj → causal convolution → selective scan with gate → out_proj. */

import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { selectiveScan } from '../ops/selective_scan.js';
import { type Acts, activations, half } from './acts.js';
import { gradientOf, linearBackward } from './backward.js';
import { causalConvBackward, causalConvParams, convInputForward, parseConvWidth } from './causal_conv.js';
import type { Fields } from './fields.js';
import { addTo, copyFirstColumns, linearForward, putFirstColumns } from './layers.js';
import type { LayerInput, Mixer, MixerConfig, Past } from './mixer.js';
import { init, linearParams, param, type Tensors } from './params.js';
import { selectiveScanBackward } from './scan_backward.js';
import { drawsOnly, TRAINING } from './training_only.js';

/** The fields of `ssm_cfg` that Mamba-1 uses, and sizes that follow from them. */
export interface Mamba1Config extends MixerConfig {
  readonly layer: 'Mamba1';
  readonly d_state: number;
  readonly d_conv: number;
  /** expand · d_model */
  readonly d_inner: number;
  /** ⌈d_model/16⌉ */
  readonly dt_rank: number;
}

function parse(ssm: Fields, d_model: number): Mamba1Config {
  return {
    layer: 'Mamba1',
    d_model,
    d_state: ssm.int('d_state', { fallback: 16, most: 64 }),
    d_conv: parseConvWidth(ssm),
    d_inner: ssm.int('expand', { fallback: 2, most: 64 }) * d_model,
    dt_rank: Math.ceil(d_model / 16),
  };
}

function params(c: Mamba1Config, layers: number) {
  return {
    A_log: param([c.d_inner, c.d_state], (_shape, _random, out) => {
      for (let i = 0; i < out.length; i++) out[i] = Math.log(1 + (i % c.d_state));
    }),
    D: param([c.d_inner], init.ones),
    in_proj: linearParams(2 * c.d_inner, c.d_model),
    conv1d: causalConvParams(c.d_inner, c.d_conv),
    x_proj: linearParams(c.dt_rank + 2 * c.d_state, c.d_inner),
    dt_proj: {
      weight: param([c.d_inner, c.dt_rank], init.uniform(c.dt_rank ** -0.5)),
      bias: param([c.d_inner], init.timeStep),
    },
    out_proj: linearParams(c.d_model, c.d_inner, 1 / Math.sqrt(layers)),
  };
}
export type Mamba1Params = Tensors<ReturnType<typeof params>>;

/** xz: columns x, then z. rbc: columns r (the low-rank input of dt), B, C. r: a copy of the first columns of rbc. */
const ACTS = activations({
  xz: half('m l xz'),
  x: 'm l e',
  rbc: 'm l rbc',
  r: 'm l r',
  dt: 'm l e',
  y: half('m l e'),
  out: half('m l d'),
});
const dims = (c: Mamba1Config) => ({
  d: c.d_model,
  e: c.d_inner,
  xz: 2 * c.d_inner,
  r: c.dt_rank,
  rbc: c.dt_rank + 2 * c.d_state,
});

function forward(be: Backend, p: Mamba1Params, c: Mamba1Config, input: LayerInput, a: Acts, past?: Past<'conv' | 'ssm'>): Tensor {
  const [m, l] = input.x.shape as [number, number];
  const act = a.part(ACTS, { m, l, ...dims(c) });
  const xz = act.tensor('xz');
  const x = act.tensor('x');
  convInputForward(be, p, input, { proj: xz, y: x, state: past?.state.conv }, 0, a);
  const rbc = act.tensor('rbc');
  linearForward(be, x, p.x_proj.weight, rbc);
  const r = act.tensor('r');
  copyFirstColumns(be, rbc, r);
  const dt = act.tensor('dt');
  linearForward(be, r, p.dt_proj.weight, dt, p.dt_proj.bias);
  const y = act.tensor('y');
  be.run(selectiveScan.forward, { x, dt, A_log: p.A_log, bc: rbc, D: p.D, z: xz, state: past?.state.ssm, y });
  a.done(xz, x, rbc, r, dt);
  const known = act.known('out');
  if (known) return known;
  const out = act.tensor('out');
  linearForward(be, y, p.out_proj.weight, out);
  a.done(y);
  return out;
}

function backward(be: Backend, p: Mamba1Params, g: Mamba1Params, _c: Mamba1Config, u: Tensor, dout: Tensor, a: Acts): Tensor {
  const { xz, x, rbc, r, dt, y } = a.saved(ACTS);
  // forward: out = y·out_projᵀ
  const dy = gradientOf(be, y);
  linearBackward(be, { x: y, w: p.out_proj.weight, dy: dout, dx: dy, dw: g.out_proj.weight });
  // forward: y = scan(x, dt, B, C)·SiLU(z). This fills the z columns of dxz; the convolution below fills the x columns.
  const dx = be.tensor(x.shape);
  const ddt = be.tensor(dt.shape);
  const drbc = be.tensor(rbc.shape);
  const dxz = gradientOf(be, xz);
  const { A_log, D } = p;
  selectiveScanBackward(be, { x, dt, A_log, bc: rbc, D, z: xz, dy, dx, ddt, dA_log: g.A_log, dbc: drbc, dD: g.D, dz: dxz });
  be.free(dy);
  // forward: dt = r·dt_projᵀ + bias, where r is the first columns of rbc
  const dr = be.tensor(r.shape);
  linearBackward(be, { x: r, w: p.dt_proj.weight, dy: ddt, dx: dr, dw: g.dt_proj.weight, dbias: g.dt_proj.bias });
  putFirstColumns(be, dr, drbc);
  be.free(dr, ddt);
  // forward: rbc = x·x_projᵀ. The scan used x too, so the gradients are added.
  const dx2 = be.tensor(x.shape);
  linearBackward(be, { x, w: p.x_proj.weight, dy: drbc, dx: dx2, dw: g.x_proj.weight });
  addTo(be, dx, dx2);
  be.free(drbc, dx2);
  // forward: x = SiLU(conv(xz))
  causalConvBackward(be, p.conv1d, g.conv1d, { x: xz, dy: dx, dx: dxz }, 0);
  be.free(dx);
  // forward: xz = u·in_projᵀ
  const du = gradientOf(be, u);
  linearBackward(be, { x: u, w: p.in_proj.weight, dy: dxz, dx: du, dw: g.in_proj.weight });
  be.free(dxz);
  return du;
}

export const mamba1: Mixer<Mamba1Config, Mamba1Params, 'conv' | 'ssm'> = {
  parse,
  params,
  state: (c, m) => ({ conv: [m, c.d_inner, c.d_conv - 1], ssm: [m, c.d_inner, c.d_state] }),
  activations: (c) => ({ spec: ACTS, dims: dims(c) }),
  forward,
  backward: TRAINING ? backward : drawsOnly,
  summary: (c) => `d_state ${c.d_state}`,
};

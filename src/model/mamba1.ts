/** Mamba-1 mixer (arXiv 2312.00752): in_proj → causal conv → selective scan, gated → out_proj. */
import type { Backend, Tensor } from '../backend/backend.js';
import { causalConv1d, columns, selectiveScan } from '../ops/index.js';
import type { Acts } from './acts.js';
import type { MambaConfig } from './config.js';
import { linearForward, rows } from './layers.js';
import { convolution, dtBias, type MixerState } from './mamba2.js';
import { init, linearParams, param, type Tensors } from './params.js';

export function mamba1Params(c: MambaConfig, layers: number) {
  return {
    A_log: param([c.d_inner, c.d_state], (_shape, _random, out) => {
      for (let i = 0; i < out.length; i++) out[i] = Math.log(1 + (i % c.d_state));
    }),
    D: param([c.d_inner], init.ones),
    in_proj: linearParams(2 * c.d_inner, c.d_model),
    conv1d: convolution(c.d_inner, c.d_conv),
    x_proj: linearParams(c.dt_rank + 2 * c.d_state, c.d_inner),
    dt_proj: { weight: param([c.d_inner, c.dt_rank], init.uniform(c.dt_rank ** -0.5)), bias: param([c.d_inner], dtBias) },
    out_proj: linearParams(c.d_model, c.d_inner, 1 / Math.sqrt(layers)),
  };
}
export type Mamba1Params = Tensors<ReturnType<typeof mamba1Params>>;

export function mamba1State(be: Backend, c: MambaConfig, m: number): MixerState {
  return { conv: be.tensor([m, c.d_inner, c.d_conv - 1]), ssm: be.tensor([m, c.d_inner, c.d_state]) };
}

/** u [m, l, d] → [m, l, d]. With `state` it continues from there and leaves the new state behind. */
export function mamba1Forward(be: Backend, p: Mamba1Params, c: MambaConfig, u: Tensor, a: Acts, state?: MixerState): Tensor {
  const [m, l] = u.shape as [number, number];
  const e = c.d_inner;
  const xz = a.tensor('xz', [m, l, 2 * e]);
  linearForward(be, u, p.in_proj.weight, xz);
  const x = a.tensor('x', [m, l, e]);
  be.run(causalConv1d.forward, { x: xz, weight: p.conv1d.weight, bias: p.conv1d.bias, state: state?.conv, y: x }, { offset: 0 });
  const rbc = a.tensor('rbc', [m, l, c.dt_rank + 2 * c.d_state]);
  linearForward(be, x, p.x_proj.weight, rbc);
  const r = a.tensor('r', [m * l, c.dt_rank]);
  be.run(columns.forward, { x: rows(be, rbc), y: r }, { offset: 0 });
  const dt = a.tensor('dt', [m, l, e]);
  linearForward(be, r, p.dt_proj.weight, dt, p.dt_proj.bias);
  const y = a.tensor('y', [m, l, e]);
  be.run(selectiveScan.forward, { x, dt, A_log: p.A_log, bc: rbc, D: p.D, z: xz, state: state?.ssm, y });
  a.done(xz, x, rbc, r, dt);
  const out = a.tensor('out', [m, l, c.d_model]);
  linearForward(be, y, p.out_proj.weight, out);
  a.done(y);
  return out;
}

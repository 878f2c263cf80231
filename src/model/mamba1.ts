/** Mamba-1 mixer (arXiv 2312.00752): in_proj → causal conv → selective scan, gated → out_proj. */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { columns, normLinearConv, selectiveScan } from '../ops/index.js';
import type { Acts } from './acts.js';
import { addTo, linearBackward } from './backward.js';
import type { MambaConfig } from './config.js';
import { linearForward, rows } from './layers.js';
import { convBackward, convolution, convolved, doneWith, dtBias, type LayerInput, type MixerState } from './mamba2.js';
import { init, linearParams, param, type Tensors } from './params.js';
import { selectiveScanBackward } from './scan_backward.js';

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

/** Shapes of a layer's recurrent state for m sequences. */
export const mamba1State = (c: MambaConfig, m: number) => ({
  conv: [m, c.d_inner, c.d_conv - 1],
  ssm: [m, c.d_inner, c.d_state],
});

/**
 * A layer up to its gate: [m, l, d] → [m, l, d]; x and res are given back. With `state` it continues from there and leaves the
 * new state behind.
 */
export function mamba1Forward(
  be: Backend,
  p: Mamba1Params,
  c: MambaConfig,
  { eps, ...input }: LayerInput,
  a: Acts,
  state?: MixerState,
): Tensor {
  const [m, l] = input.x.shape as [number, number];
  const e = c.d_inner;
  const xz = a.tensor('xz', [m, l, 2 * e]);
  const x = a.tensor('x', [m, l, e]);
  be.run(normLinearConv.forward, { ...input, ...convolved(p), state: state?.conv, proj: xz, y: x }, { offset: 0, eps });
  doneWith(input, a);
  const rbc = a.tensor('rbc', [m, l, c.dt_rank + 2 * c.d_state]);
  linearForward(be, x, p.x_proj.weight, rbc);
  const r = a.tensor('r', [m, l, c.dt_rank]);
  be.run(columns.forward, { x: rows(be, rbc), y: rows(be, r) }, { offset: 0 });
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

/** Gradient of u from dout [m, l, d]; adds the parameters' to `g`. Reads the activations that forward kept in `a`. */
export function mamba1Backward(
  be: Backend,
  p: Mamba1Params,
  g: Mamba1Params,
  c: MambaConfig,
  u: Tensor,
  dout: Tensor,
  a: Acts,
): Tensor {
  const [m, l] = u.shape as [number, number];
  const e = c.d_inner;
  const xz = a.tensor('xz', [m, l, 2 * e]);
  const x = a.tensor('x', [m, l, e]);
  const rbc = a.tensor('rbc', [m, l, c.dt_rank + 2 * c.d_state]);
  const r = a.tensor('r', [m, l, c.dt_rank]);
  const dt = a.tensor('dt', [m, l, e]);
  const y = a.tensor('y', [m, l, e]);
  // forward: out = y·out_projᵀ
  const dy = be.tensor(y.shape);
  linearBackward(be, { x: y, w: p.out_proj.weight, dy: dout, dx: dy, dw: g.out_proj.weight });
  // forward: y = scan(x, Δ, B, C)·SiLU(z); dxz gets its z columns here, the x columns below
  const dx = be.tensor(x.shape);
  const ddt = be.tensor(dt.shape);
  const drbc = be.tensor(rbc.shape);
  const dxz = be.tensor(xz.shape);
  const { A_log, D } = p;
  selectiveScanBackward(be, { x, dt, A_log, bc: rbc, D, z: xz, dy, dx, ddt, dA_log: g.A_log, dbc: drbc, dD: g.D, dz: dxz });
  be.free(dy);
  // forward: dt = r·dt_projᵀ + bias, r = the first columns of rbc
  const dr = be.tensor(r.shape);
  linearBackward(be, { x: r, w: p.dt_proj.weight, dy: ddt, dx: dr, dw: g.dt_proj.weight, dbias: g.dt_proj.bias });
  be.run(columns.backward, { dy: rows(be, dr), dx: rows(be, drbc) }, { offset: 0 });
  be.free(dr, ddt);
  // forward: rbc = x·x_projᵀ; x also went into the scan
  const dx2 = be.tensor(x.shape);
  linearBackward(be, { x, w: p.x_proj.weight, dy: drbc, dx: dx2, dw: g.x_proj.weight });
  addTo(be, dx, dx2);
  be.free(drbc, dx2);
  // forward: x = SiLU(conv(xz))
  convBackward(be, p.conv1d, g.conv1d, xz, dx, dxz, 0);
  be.free(dx);
  // forward: xz = u·in_projᵀ
  const du = be.tensor(u.shape);
  linearBackward(be, { x: u, w: p.in_proj.weight, dy: dxz, dx: du, dw: g.in_proj.weight });
  be.free(dxz);
  return du;
}

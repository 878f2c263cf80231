/** The gated MLP that follows the mixer of every layer if `d_intermediate` is not 0: fc2(value·SiLU(gate)), [value | gate] = fc1(u). */

import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { gatedSilu } from '../ops/gated_silu.js';
import { type Acts, activations } from './acts.js';
import { linearBackward } from './backward.js';
import { linearForward } from './layers.js';
import { type Branch, type LayerInput, layerNorm, type MlpConfig } from './mixer.js';
import { linearParams, type Tensors } from './params.js';
import { drawsOnly, TRAINING } from './training_only.js';

const params = (c: MlpConfig, layers: number) => ({
  fc1: linearParams(2 * c.hidden, c.d_model),
  fc2: linearParams(c.d_model, c.hidden, 1 / Math.sqrt(layers)),
});
export type MlpParams = Tensors<ReturnType<typeof params>>;

/** pair: the columns value, then gate. y: value·SiLU(gate). */
const ACTS = activations({ pair: 'm l 2 n', y: 'm l n', out: 'm l d' });
const dims = (c: MlpConfig) => ({ d: c.d_model, n: c.hidden });

/** [m, l, ...] as [m·l, ...]. */
const positions = (be: Backend, t: Tensor) => be.reshape(t, [t.shape[0]! * t.shape[1]!, ...t.shape.slice(2)]);
/** [m, l, 2, n] as [m, l, 2·n]. */
const joined = (be: Backend, t: Tensor) => be.reshape(t, [t.shape[0]!, t.shape[1]!, 2 * t.shape[3]!]);

function forward(be: Backend, p: MlpParams, c: MlpConfig, input: LayerInput, a: Acts): Tensor {
  const [m, l] = input.x.shape as [number, number];
  const act = a.part(ACTS, { m, l, ...dims(c) });
  const u = layerNorm(be, input, a);
  const pair = act.tensor('pair');
  linearForward(be, u, p.fc1.weight, joined(be, pair));
  a.done(u);
  const y = act.tensor('y');
  be.run(gatedSilu.forward, { x: positions(be, pair), y: positions(be, y) });
  a.done(pair);
  const known = act.known('out');
  if (known) return known;
  const out = act.tensor('out');
  linearForward(be, y, p.fc2.weight, out);
  a.done(y);
  return out;
}

function backward(be: Backend, p: MlpParams, g: MlpParams, _c: MlpConfig, u: Tensor, dout: Tensor, a: Acts): Tensor {
  const { pair, y } = a.saved(ACTS);
  // forward: out = y·fc2ᵀ
  const dy = be.tensor(y.shape);
  linearBackward(be, { x: y, w: p.fc2.weight, dy: dout, dx: dy, dw: g.fc2.weight });
  // forward: y = value·SiLU(gate)
  const dpair = be.tensor(pair.shape);
  be.run(gatedSilu.backward, { x: positions(be, pair), dy: positions(be, dy), dx: positions(be, dpair) });
  be.free(dy);
  // forward: [value | gate] = u·fc1ᵀ
  const du = be.tensor(u.shape);
  linearBackward(be, { x: u, w: p.fc1.weight, dy: joined(be, dpair), dx: du, dw: g.fc1.weight });
  be.free(dpair);
  return du;
}

export const mlp: Branch<MlpConfig, MlpParams> = {
  params,
  activations: (c) => ({ spec: ACTS, dims: dims(c) }),
  forward,
  backward: TRAINING ? backward : drawsOnly,
};

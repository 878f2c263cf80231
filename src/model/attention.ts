/** Causal self-attention as a mixer, in the layers of `attn_layer_idx`: in_proj → attention of several heads → out_proj. */

import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { causalAttention } from '../ops/causal_attention.js';
import { type Acts, activations } from './acts.js';
import { type AttentionConfig, attentionSummary, parseAttention } from './attention_config.js';
import { linearBackward } from './backward.js';
import { linearForward } from './layers.js';
import { type LayerInput, layerNorm, type Mixer, type Past } from './mixer.js';
import { init, linearBiasParams, linearParams } from './params.js';
import { drawsOnly, TRAINING } from './training_only.js';

/** Columns of the projection: heads of queries, then of keys, then of values. */
const projected = (c: AttentionConfig) => (c.num_heads + 2 * c.num_heads_kv) * c.head_dim;
/** Columns of attention's output. */
const mixed = (c: AttentionConfig) => c.num_heads * c.head_dim;

function params(c: AttentionConfig, layers: number) {
  const scale = 1 / Math.sqrt(layers);
  return {
    in_proj: c.qkv_proj_bias ? linearBiasParams(projected(c), c.d_model) : linearParams(projected(c), c.d_model),
    out_proj: c.out_proj_bias
      ? linearBiasParams(c.d_model, mixed(c), init.fanIn(scale))
      : linearParams(c.d_model, mixed(c), scale),
  };
}
interface Projection {
  weight: Tensor;
  bias?: Tensor;
}
export interface AttentionParams {
  in_proj: Projection;
  out_proj: Projection;
}

/** qkv: heads of queries, keys and values. lse: the logarithm of the sum of each query's exponentials. */
const ACTS = activations({ qkv: 'm l n c', y: 'm l h c', lse: 'm h l', out: 'm l d' });
const dims = (c: AttentionConfig) => ({
  d: c.d_model,
  n: c.num_heads + 2 * c.num_heads_kv,
  h: c.num_heads,
  c: c.head_dim,
});

/** Joins the heads of [m, l, heads, c] to columns. */
const joined = (be: Backend, t: Tensor) => be.reshape(t, [t.shape[0]!, t.shape[1]!, t.shape[2]! * t.shape[3]!]);

function forward(
  be: Backend,
  p: AttentionParams,
  c: AttentionConfig,
  input: LayerInput,
  a: Acts,
  past?: Past<'keys' | 'values'>,
): Tensor {
  const [m, l] = input.x.shape as [number, number];
  const act = a.part(ACTS, { m, l, ...dims(c) });
  const u = layerNorm(be, input, a);
  const qkv = act.tensor('qkv');
  linearForward(be, u, p.in_proj.weight, joined(be, qkv), p.in_proj.bias);
  a.done(u);
  const y = act.tensor('y');
  const cache = past && { ...past.state, step: past.step };
  be.run(causalAttention.forward, { qkv, ...cache, y, lse: act.forBackward('lse') }, { scale: c.softmax_scale });
  a.done(qkv);
  const known = act.known('out');
  if (known) return known;
  const out = act.tensor('out');
  linearForward(be, joined(be, y), p.out_proj.weight, out, p.out_proj.bias);
  a.done(y);
  return out;
}

function backward(
  be: Backend,
  p: AttentionParams,
  g: AttentionParams,
  c: AttentionConfig,
  u: Tensor,
  dout: Tensor,
  a: Acts,
): Tensor {
  const { qkv, y, lse } = a.saved(ACTS);
  // forward: out = y·out_projᵀ + bias
  const dy = be.tensor(y.shape);
  const { in_proj, out_proj } = g;
  linearBackward(be, {
    x: joined(be, y),
    w: p.out_proj.weight,
    dy: dout,
    dx: joined(be, dy),
    dw: out_proj.weight,
    dbias: out_proj.bias,
  });
  // forward: y = attention(qkv)
  const dqkv = be.tensor(qkv.shape);
  be.run(causalAttention.backward, { qkv, y, lse, dy, dqkv }, { scale: c.softmax_scale });
  be.free(dy);
  // forward: qkv = u·in_projᵀ + bias
  const du = be.tensor(u.shape);
  linearBackward(be, { x: u, w: p.in_proj.weight, dy: joined(be, dqkv), dx: du, dw: in_proj.weight, dbias: in_proj.bias });
  be.free(dqkv);
  return du;
}

export const attention: Mixer<AttentionConfig, AttentionParams, 'keys' | 'values'> = {
  parse: parseAttention,
  params,
  state: (c, m, positions) => {
    const cache = [m, positions, c.num_heads_kv, c.head_dim];
    return { keys: cache, values: cache };
  },
  activations: (c) => ({ spec: ACTS, dims: dims(c) }),
  forward,
  backward: TRAINING ? backward : drawsOnly,
  summary: attentionSummary,
};

/** AiM stage 2 (arXiv 2408.12245): class-conditional autoregression over image tokens with Mamba layers under adaLN. */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { addRmsNorm, embedding, groupModulation, normHead, silu, tokenEmbedding } from '../ops/index.js';
import { Acts } from './acts.js';
import { packed } from './arena.js';
import type { AimConfig } from './config.js';
import { linearForward } from './layers.js';
import { type Mamba1Params, mamba1Forward, mamba1Params, mamba1State } from './mamba1.js';
import { type Mamba2Params, type MixerState, mamba2Forward, mamba2Params, mamba2State } from './mamba2.js';
import { init, linearBiasParams, matrix, normParams, type ParamTree, param, type Tensors } from './params.js';

export const EPS = 1e-5;

/** Parameters below `mamba.backbone`. `lm_head` is tied to word_embeddings and not stored. */
export function aimParams(c: AimConfig) {
  const d = c.d_model;
  const layer = (): ParamTree => ({
    ...(c.adaln_groups
      ? { scale_shift_table: param([1, 3, d], init.normal(1 / Math.sqrt(d))) }
      : { adaLN_modulation: { 1: linearBiasParams(3 * d, d, init.zeros) } }),
    mixer: c.mixer.layer === 'Mamba2' ? mamba2Params(c.mixer, c.n_layer) : mamba1Params(c.mixer, c.n_layer),
    norm: normParams(d),
  });
  return {
    embeddings: {
      word_embeddings: { weight: matrix(c.vocab_size, d, init.normal(0.02)) },
      position_embeddings: { weight: param([c.num_tokens + 1, d], init.normal(0.02)) },
    },
    cls_embed: { embedding_table: { weight: param([c.num_classes + 1, d], init.normal(0.02)) } },
    ...(c.adaln_groups ? { adaln_group: { 1: linearBiasParams(c.adaln_groups * 3 * d, d) } } : {}),
    layers: Object.fromEntries(Array.from({ length: c.n_layer }, (_, i) => [i, layer()])),
    norm_f: normParams(d),
    final_layer: { norm_final: normParams(d), adaLN_modulation: { 1: linearBiasParams(2 * d, d, init.zeros) } },
  };
}

interface WeightBias {
  weight: Tensor;
  bias: Tensor;
}
interface LayerParams {
  scale_shift_table?: Tensor;
  adaLN_modulation?: { 1: WeightBias };
  mixer: Mamba1Params | Mamba2Params;
  norm: { weight: Tensor };
}
/** The tree of `aimParams` with the parts that depend on the config made explicit. */
export type AimParams = Omit<Tensors<ReturnType<typeof aimParams>>, 'layers' | 'adaln_group'> & {
  layers: Record<string, LayerParams>;
  adaln_group?: { 1: WeightBias };
};

/** adaLN vectors of m sequences: per layer [m, 3, d] (shift, scale, gate), and [m, 2, d] (shift, scale) at the end. */
export interface Modulation {
  layers: Tensor[];
  final: Tensor;
}

/** Everything that depends on the labels [m] alone: computed once per image, not per token. */
export function modulationForward(be: Backend, p: AimParams, c: AimConfig, labels: Tensor, a: Acts): Modulation {
  const m = labels.size;
  const d = c.d_model;
  const cls = a.tensor('c', [m, d]);
  be.run(embedding.forward, { table: p.cls_embed.embedding_table.weight, ids: labels, y: cls });
  const s = a.tensor('silu', [m, d]);
  be.run(silu.forward, { x: cls, y: s });
  a.done(cls);
  const project = (w: WeightBias, y: Tensor) =>
    linearForward(be, be.reshape(s, [m, 1, d]), w.weight, be.reshape(y, [m, 1, y.size / m]), w.bias);
  const groups = p.adaln_group && a.tensor('groups', [m, c.adaln_groups, 3, d]);
  if (groups) project(p.adaln_group![1], groups);
  const layers = packed(be, Array<number[]>(c.n_layer).fill([m, 3, d]), 'f32', (i, shape) => a.tensor(`mod.${i}`, shape)).tensors;
  layers.forEach((y, i) => {
    const layer = p.layers[i]!;
    if (groups) be.run(groupModulation.forward, { groups, table: layer.scale_shift_table!, y }, { group: i % c.adaln_groups });
    else project(layer.adaLN_modulation![1], y);
  });
  const final = a.tensor('final', [m, 2, d]);
  project(p.final_layer.adaLN_modulation[1], final);
  a.done(s, groups);
  return { layers, final };
}

/** Recurrent state of all layers for m sequences, within `arenas`; zero those before position 0. */
export function aimState(be: Backend, c: AimConfig, m: number): { layers: MixerState[]; arenas: Tensor[] } {
  const { conv, ssm } = (c.mixer.layer === 'Mamba2' ? mamba2State : mamba1State)(c.mixer, m);
  const [convs, ssms] = [conv, ssm].map((shape) => packed(be, Array<number[]>(c.n_layer).fill(shape)));
  return {
    layers: convs!.tensors.map((conv, i) => ({ conv, ssm: ssms!.tensors[i]! })),
    arenas: [...convs!.arenas, ...ssms!.arenas],
  };
}

export interface AimInput {
  /** [b, T]; positions not reached yet are not read. */
  tokens: Tensor;
  /** [m], m = b or, under guidance, 2b with the unconditional half last. */
  labels: Tensor;
  /** [b] positions drawn so far: the device-side counter that a recorded step reads. */
  step: Tensor;
  modulation: Modulation;
  /** How many positions to run: T for a whole sequence from step 0, 1 for a step. */
  length: number;
  /** 1 reproduces the authors' off-by-one of position rows in generation. */
  shift: 0 | 1;
  /** Guides the logits by this much; labels are then 2b. */
  guidance?: number | undefined;
  /** Continue from here and leave the new state; absent: from zero. */
  state?: MixerState[];
}

/** Logits of the next token at each of l = `length` positions: [m, l, V] or, guided, [b, l, V]. */
export function aimForward(be: Backend, p: AimParams, c: AimConfig, input: AimInput, a: Acts = new Acts(be)): Tensor {
  const { x, res, gate } = layersForward(be, p, c, input, a);
  const [m, l] = x.shape as [number, number];
  const { guidance } = input;
  const y = a.tensor('logits', [guidance === undefined ? m : input.tokens.shape[0]!, l, c.vocab_size]);
  be.run(
    normHead.forward,
    {
      x,
      res,
      gate,
      weight: p.norm_f.weight,
      outer: p.final_layer.norm_final.weight,
      modulation: input.modulation.final,
      w: p.embeddings.word_embeddings.weight,
      y,
    },
    { eps: EPS, scale: guidance ?? 1 },
  );
  a.done(x, res);
  return y;
}

/** Everything before the tied head: [m, l, d]. */
export function hiddenForward(be: Backend, p: AimParams, c: AimConfig, input: AimInput, a: Acts): Tensor {
  const { x, res, gate } = layersForward(be, p, c, input, a);
  const normed = a.tensor('norm_f', x.shape);
  // Backward wants the last sum.
  const sum = a.keep ? a.tensor('res_f', x.shape) : undefined;
  be.run(addRmsNorm.forward, { x, res, gate, weight: p.norm_f.weight, sum, y: normed }, { eps: EPS });
  a.done(x, res);
  const y = a.tensor('norm_final', x.shape);
  be.run(
    addRmsNorm.forward,
    { x: normed, weight: p.final_layer.norm_final.weight, modulation: input.modulation.final, y },
    { eps: EPS },
  );
  a.done(normed);
  return y;
}

/** The layers: the last one's x, with the sum and the gate that x is still to be added under. */
function layersForward(be: Backend, p: AimParams, c: AimConfig, input: AimInput, a: Acts) {
  const { tokens, labels, step, modulation, length: l, shift, state } = input;
  const m = labels.size;
  const d = c.d_model;
  let x = a.tensor('x', [m, l, d]);
  const { word_embeddings: word, position_embeddings: pos } = p.embeddings;
  be.run(
    tokenEmbedding.forward,
    { tokens, labels, step, cls: p.cls_embed.embedding_table.weight, word: word.weight, pos: pos.weight, y: x },
    { shift },
  );
  let res: Tensor | undefined;
  let gate: Tensor | undefined;
  for (let i = 0; i < c.n_layer; i++) {
    const layer = p.layers[i]!;
    const vectors = modulation.layers[i]!;
    const al = a.child(i);
    // res += gate·x; u = RMSNorm(res)·(1 + scale) + shift; x = Mixer(u)
    const sum = al.tensor('res', [m, l, d]);
    const u = a.keep ? al.tensor('u', [m, l, d]) : undefined;
    const input = { x, res, gate, weight: layer.norm.weight, modulation: vectors, sum, u, eps: EPS };
    const out =
      c.mixer.layer === 'Mamba2'
        ? mamba2Forward(be, layer.mixer as Mamba2Params, c.mixer, input, al, state?.[i])
        : mamba1Forward(be, layer.mixer as Mamba1Params, c.mixer, input, al, state?.[i]);
    x = out;
    res = sum;
    gate = vectors;
  }
  return { x, res, gate };
}

/**
 * AiM stage 2 (arXiv 2408.12245): an autoregressive model of image tokens, conditioned through adaLN. Contains the forward pass
 * for drawing, the training loss, and its gradient.
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { tokenEmbedding } from '../ops/token_embedding.js';
import { Acts, activationBytes, activations } from './acts.js';
import { packed } from './arena.js';
import { type BlockParams, blockBackward, blockBytes, blockForward, blockParams, type Stream } from './block.js';
import type { ConditionInputs } from './condition.js';
import { conditionOf } from './conditions.js';
import type { AimConfig } from './config.js';
import type { Guidance } from './guidance.js';
import { type HeadParams, headBytes, headLogits, headLoss, headParams, rowsAtOnce } from './head.js';
import type { Past } from './mixer.js';
import { layerMixer } from './mixers.js';
import {
  groupParams,
  type Modulation,
  type ModulationParams,
  modulationBackward,
  modulationBytes,
  modulationForward,
  modulationGradient,
  modulationTensors,
} from './modulation.js';
import { init, matrix, numbered, type ParamTree, param } from './params.js';

/** Parameters below `mamba.backbone`. `lm_head` is tied to word_embeddings, so it is not a parameter. */
export function aimParams(c: AimConfig): ParamTree {
  return {
    embeddings: {
      word_embeddings: { weight: matrix(c.vocab_size, c.d_model, init.normal(0.02)) },
      position_embeddings: { weight: param([c.num_tokens + 1, c.d_model], init.normal(0.02)) },
    },
    ...conditionOf(c.condition).params(c.condition, c.d_model),
    ...groupParams(c),
    layers: numbered(Array.from({ length: c.n_layer }, (_, i) => blockParams(c, i))),
    ...headParams(c),
  };
}

/** The tree of `aimParams` with tensors instead of parameter specs. Trees of gradients have this type too. */
export interface AimParams extends HeadParams, ModulationParams {
  embeddings: { word_embeddings: { weight: Tensor }; position_embeddings: { weight: Tensor } };
  layers: Record<string, BlockParams & ModulationParams['layers'][string]>;
  final_layer: HeadParams['final_layer'];
}

/** The recurrent state of all layers for m sequences: what they know of earlier positions. */
export interface AimState {
  /** For each layer, its states by the names that the mixer gives them. */
  layers: Record<string, Tensor>[];
  /** The memory of all states. Zero it before position 0. */
  arenas: Tensor[];
}

/** Allocates the state of m sequences. States with the same name are adjacent in memory, so that layers can form series. */
export function aimState(be: Backend, c: AimConfig, m: number): AimState {
  const shapes = Array.from({ length: c.n_layer }, (_, i) => {
    const { mixer, config } = layerMixer(c, i);
    return mixer.state(config, m, c.num_tokens);
  });
  const state: AimState = { layers: shapes.map(() => ({})), arenas: [] };
  for (const name of new Set(shapes.flatMap(Object.keys))) {
    const owners = [...shapes.keys()].filter((i) => shapes[i]![name]);
    const { tensors, arenas } = packed(
      be,
      owners.map((i) => shapes[i]![name]!),
    );
    for (const [n, i] of owners.entries()) state.layers[i]![name] = tensors[n]!;
    state.arenas.push(...arenas);
  }
  return state;
}

/** Input of `aimForward` for b images. */
export interface AimInput {
  /** u32 [b, T]. Positions that are not drawn yet are not read. */
  tokens: Tensor;
  /** u32 [b]: the number of positions drawn so far. A recorded step reads this counter on the device. */
  step: Tensor;
  /** The modulation of m sequences. m = b or, with guidance, 2b with the unconditional sequences last. */
  modulation: Modulation;
  /** l, the number of positions to compute: T for a whole sequence from step 0, 1 for one step. */
  length: number;
  /** 1 reproduces an off-by-one error in the position rows of the authors' generation code; else 0. */
  shift: 0 | 1;
  /** Classifier-free guidance; m is then 2b. */
  guidance?: Guidance | undefined;
  /** State to continue from; it receives the new state. If omitted, the computation starts from zero. */
  state?: AimState['layers'];
}

/** x: the embedded tokens. */
const ACTS = activations({ x: 'm l d' });

const total = (bytes: readonly number[]) => bytes.reduce((sum, n) => sum + n, 0);
const branchesBytes = (c: AimConfig, m: number, halves: boolean) =>
  Array.from({ length: c.n_layer }, (_, i) => blockBytes(c, i, m, c.num_tokens, halves)).flat();

/** How activations are saved: see `Acts` and `Traits.halfActivations`. */
export interface Saving {
  recompute?: boolean;
  halfActivations?: boolean;
}

/** Bytes of the activations that aimLoss saves for the gradient of m sequences of T tokens. */
export function aimActivationBytes(c: AimConfig, m: number, { recompute = false, halfActivations = false }: Saving = {}): number {
  const branches = branchesBytes(c, m, halfActivations);
  const l = c.num_tokens;
  const x = activationBytes(ACTS, { m, l, d: c.d_model });
  const kept = modulationBytes(c, m) + x + total(branches.map(({ ends }) => ends));
  return recompute ? kept : kept + total(branches.map(({ rest }) => rest)) + headBytes(c, m, l);
}

/**
 * Bytes that aimLoss takes for the gradient of m sequences, about: those of the activations that it saves, of the gradients of one branch's
 * (and of these themselves with `recompute`), and of a block of logits and its gradient.
 */
export function aimTrainingBytes(
  c: AimConfig,
  m: number,
  { chunkBytes, ...saving }: Required<Saving> & { chunkBytes: number },
): number {
  const { recompute, halfActivations } = saving;
  const branch = Math.max(...branchesBytes(c, m, halfActivations).map(({ ends, rest }) => ends + rest));
  const logits = 4 * c.vocab_size * Math.min(m * c.num_tokens, rowsAtOnce(c, chunkBytes));
  return aimActivationBytes(c, m, saving) + (recompute ? 2 : 1) * branch + 2 * logits;
}

/** Logits of the next token at each of l = `length` positions: [m, l, V] or, with guidance, [b, l, V]. */
export function aimForward(be: Backend, p: AimParams, c: AimConfig, input: AimInput, a: Acts = new Acts(be)): Tensor {
  const stream = layersForward(be, p, c, input, a);
  return headLogits(be, p, c, stream, { modulation: input.modulation.final, guidance: input.guidance }, a);
}

/** Embeds the tokens and runs all layers. */
function layersForward(be: Backend, p: AimParams, c: AimConfig, input: AimInput, a: Acts): Stream {
  const { tokens, step, modulation, length: l, shift, state } = input;
  const { first } = modulation;
  const { word_embeddings, position_embeddings } = p.embeddings;
  const x = a.part(ACTS, { m: first.shape[0]!, l, d: c.d_model }).tensor('x');
  const tables = { word: word_embeddings.weight, pos: position_embeddings.weight };
  be.run(tokenEmbedding.forward, { tokens, step, first, ...tables, y: x }, { shift });
  let stream: Stream = { x, res: undefined, gate: undefined };
  for (let i = 0; i < c.n_layer; i++) {
    const past: Past | undefined = state && { state: state[i]!, step };
    stream = blockForward(be, p.layers[i]!, c, i, stream, modulation.layers[i]!, a.child(`layers.${i}`), past);
  }
  return stream;
}

/** Device tensors of one training batch. */
export interface AimBatch {
  /** u32 [b, T]. */
  tokens: Tensor;
  /** The condition of each image, or the unconditional value where training drops it. */
  condition: ConditionInputs;
  /** u32 [b] of zeros, because training starts at position 0. */
  step: Tensor;
  /** [1]: receives the mean cross-entropy in nats per token. */
  loss: Tensor;
  /** [2]: gradients are scaled by its first element (see the op clip). */
  lossScale?: Tensor | undefined;
}

/**
 * Writes the mean cross-entropy of a batch to `loss` and, with `grads`, adds its gradient to them. With `grads`, `a` must save
 * activations (`new Acts(be, true)`, or with `recompute` too; `aimActivationBytes` gives their size).
 */
export function aimLoss(
  be: Backend,
  p: AimParams,
  c: AimConfig,
  { tokens, condition, step, loss, lossScale }: AimBatch,
  a: Acts,
  grads?: AimParams,
): void {
  const modulation = modulationForward(be, p, c, condition, a.child('modulation'));
  const length = tokens.shape[1]!;
  const stream = layersForward(be, p, c, { tokens, step, modulation, length, shift: 0 }, a);
  const dmodulation = grads && modulationGradient(be, modulation);
  const target = { modulation: modulation.final, targets: tokens, loss };
  const gradients = grads && dmodulation && { g: grads, dmodulation: dmodulation.final, lossScale };
  const dres = headLoss(be, p, c, stream, target, a.child('head'), gradients);
  if (grads && dmodulation && dres) {
    layersBackward(be, p, grads, c, { tokens, modulation, dmodulation, dres }, a);
    modulationBackward(be, p, grads, c, condition, dmodulation, a.child('modulation'));
    be.free(...modulationTensors(dmodulation));
  }
  a.done(...modulationTensors(modulation));
}

/** Gradient of layersForward. Frees t.dres and adds to the gradients g of the parameters and to t.dmodulation. */
function layersBackward(
  be: Backend,
  p: AimParams,
  g: AimParams,
  c: AimConfig,
  t: { tokens: Tensor; modulation: Modulation; dmodulation: Modulation; dres: Tensor },
  a: Acts,
): void {
  const { tokens, modulation, dmodulation } = t;
  let dy = t.dres;
  for (let i = c.n_layer - 1; i >= 0; i--) {
    const vectors = { modulation: modulation.layers[i]!, dmodulation: dmodulation.layers[i]! };
    dy = blockBackward(be, p.layers[i]!, g.layers[i]!, c, i, { dres: dy, ...vectors }, a.child(`layers.${i}`));
  }
  // forward: x = [first ; word[tokens] + position]
  const { word_embeddings, position_embeddings } = g.embeddings;
  be.run(tokenEmbedding.backward_first, { dy, dfirst: dmodulation.first });
  be.run(tokenEmbedding.backward_word, { tokens, dy, dword: word_embeddings.weight });
  be.run(tokenEmbedding.backward_pos, { dy, dpos: position_embeddings.weight });
  be.free(dy);
}

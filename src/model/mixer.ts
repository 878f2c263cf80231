/**
 * The interface of mixers. The mixer is the part of a layer that combines positions of the sequence. Each mixer is one file that
 * exports a `Mixer`; mixers.ts lists them.
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { addRmsNorm } from '../ops/add_rms_norm.js';
import type { ActivationSpec, Acts } from './acts.js';
import type { Fields } from './fields.js';
import { NORM_EPS } from './layers.js';
import type { ParamTree } from './params.js';

/** The configuration of a mixer. It must be plain data, because workers exchange it. */
export interface MixerConfig {
  /** Name in the table of mixers. */
  readonly layer: string;
  readonly d_model: number;
}

/** The sizes of a gated MLP. */
export interface MlpConfig {
  readonly d_model: number;
  /** Numbers between its two products. */
  readonly hidden: number;
}

/**
 * The input of a residual branch of a layer: u = RMSNorm(sum)·weight·(1 + scale) + shift, where sum = res + gate·x. The branch computes it, because
 * some mixers fuse it with their first product. Others call `layerNorm`.
 */
export interface LayerInput {
  /** [m, l, d] output of the previous branch; for the first of layer 0 the embedded tokens. */
  x: Tensor;
  /** [m, l, d] residual sum of the previous branch; undefined for the first, whose sum is x. */
  res: Tensor | undefined;
  /** [m, 3, d] adaLN vectors of the previous branch, of which the third is its gate; undefined for the first. */
  gate: Tensor | undefined;
  /** [d] weight of this branch's RMSNorm. */
  weight: Tensor;
  /** [m, 3, d] adaLN vectors of this branch: shift, scale, gate. */
  modulation: Tensor;
  /** [m, l, d] output: receives res + gate·x; undefined if nothing reads it. */
  sum: Tensor | undefined;
  /** [m, l, d] output: receives u; undefined if backward does not need it. */
  u: Tensor | undefined;
}

/** The state of a layer from earlier positions. */
export interface Past<S extends string = string> {
  /** Recurrent states, or caches of keys and values. Forward replaces or extends their contents. */
  state: Readonly<Record<S, Tensor>>;
  /** u32 [b]: the number of positions that the state has seen. Row i of m continues at position step[i mod b]. */
  step: Tensor;
}

/**
 * What a residual branch of a layer computes: a mixer, or the MLP. `C` is its configuration, `P` its tree of tensors (parameters or
 * gradients), and `S` the names of its states. Its backward follows the conventions of backward.ts.
 */
export interface Branch<C = unknown, P extends object = object, S extends string = string> {
  /** Parameters below `layers.N.mixer` or `layers.N.mlp`. Their initialisation depends on the model's number of `layers`. */
  params(c: C, layers: number): ParamTree;
  /** The declared activations, with the sizes of all dimensions except m (sequences) and l (positions). */
  activations(c: C): { spec: ActivationSpec<string, never>; dims: Readonly<Record<string, number>> };
  /**
   * Computes the branch's output [m, l, d] before its gate. Frees input.x and input.res (`inputDone`). Continues from `past` or,
   * if it is undefined, starts at position 0.
   */
  forward(be: Backend, p: P, c: C, input: LayerInput, a: Acts, past?: Past<S>): Tensor;
  /**
   * From dout [m, l, d] returns the gradient of u [m, l, d], and adds the gradients of the parameters to `g`. `a` holds the
   * activations of a forward pass that started at position 0.
   */
  backward(be: Backend, p: P, g: P, c: C, u: Tensor, dout: Tensor, a: Acts): Tensor;
}

/** One mixer. */
export interface Mixer<C extends MixerConfig = MixerConfig, P extends object = object, S extends string = string>
  extends Branch<C, P, S> {
  /** Reads `ssm_cfg` (attention: `attn_cfg`). Throws CheckpointError with the name of an invalid field. */
  parse(fields: Fields, d_model: number): C;
  /** Shapes of a layer's states for m sequences of at most `positions` positions. States are zero before position 0. */
  state(c: C, m: number, positions: number): Readonly<Record<S, readonly number[]>>;
  /** A short description of the configuration, e.g. 'd_state 128'. */
  summary(c: C): string;
}

/**
 * Frees the input of a layer. Call it as soon as res + gate·x is computed. The order matters: with `res` freed first, each
 * layer's output reuses the buffer of its input, and sums alternate between two buffers, which lets layers form series
 * (backend/series.ts).
 */
export const inputDone = ({ x, res }: Pick<LayerInput, 'x' | 'res'>, a: Acts) => a.done(res, x);

/** Computes the normalised input u [m, l, d], for mixers whose first op does not include it. The caller passes it to `a.done`. */
export function layerNorm(be: Backend, input: LayerInput, a: Acts): Tensor {
  const { u, ...rest } = input;
  const y = u ?? be.tensor(input.x.shape);
  be.run(addRmsNorm.forward, { ...rest, y }, { eps: NORM_EPS });
  inputDone(input, a);
  return y;
}

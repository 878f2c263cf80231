/**
 * What a mixer is: the part of a layer that looks along the sequence. Each mixer is one file that exports a `Mixer`; the table
 * of them is mixers.ts.
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { addRmsNorm } from '../ops/add_rms_norm.js';
import type { ActivationSpec, Acts } from './acts.js';
import type { Fields } from './fields.js';
import { NORM_EPS } from './layers.js';
import type { ParamTree } from './params.js';

/** A mixer's configuration: plain data, since workers exchange it. */
export interface MixerConfig {
  /** Its name in the table. */
  readonly layer: string;
  readonly d_model: number;
}

/**
 * Where a layer starts: u = RMSNorm(sum)·weight·(1 + scale) + shift, sum = res + gate·x. The normalisation is the mixer's to
 * run, because some fuse it with their first product; others call `layerNorm`.
 */
export interface LayerInput {
  /** [m, l, d] what the layer before computed; at layer 0 the embedded tokens. */
  x: Tensor;
  /** [m, l, d] the sum of the layers before; missing at layer 0, where the sum is x. */
  res: Tensor | undefined;
  /** [m, 3, d] adaLN vectors of the layer before, the third being its gate; missing at layer 0. */
  gate: Tensor | undefined;
  /** [d] of this layer's RMSNorm. */
  weight: Tensor;
  /** [m, 3, d] adaLN vectors of this layer: shift, scale, gate. */
  modulation: Tensor;
  /** [m, l, d] is to receive res + gate·x. */
  sum: Tensor;
  /** [m, l, d] is to receive u, where backward needs it. */
  u: Tensor | undefined;
}

/** What a layer remembers of the positions before. */
export interface Past<S extends string = string> {
  /** Recurrent states, or caches of keys and values, of this layer; forward replaces or extends their contents. */
  state: Readonly<Record<S, Tensor>>;
  /** [b] positions that the state has seen; row i of m continues from step[i mod b]. */
  step: Tensor;
}

/**
 * One mixer. `C` is its configuration, `P` its tree of tensors (parameters or their gradients), `S` the names of its states.
 * Backward follows the rules of backward.ts.
 */
export interface Mixer<C extends MixerConfig = MixerConfig, P extends object = object, S extends string = string> {
  /** Reads `ssm_cfg`. Throws CheckpointError naming a field that it cannot use. */
  parse(ssm: Fields, d_model: number): C;
  /** Parameters below `layers.N.mixer`, initialised for a model of `layers` layers. */
  params(c: C, layers: number): ParamTree;
  /** Shapes of one layer's states for m sequences of at most `positions` positions. They are zeros before position 0. */
  state(c: C, m: number, positions: number): Readonly<Record<S, readonly number[]>>;
  /** Its activations, with the sizes of their dimensions other than m (sequences) and l (positions). */
  activations(c: C): { spec: ActivationSpec<string, never>; dims: Readonly<Record<string, number>> };
  /**
   * [m, l, d] → [m, l, d]: the layer up to its gate. Frees x and res (`inputDone`). With `past` it continues from there,
   * without it starts from position 0.
   */
  forward(be: Backend, p: P, c: C, input: LayerInput, a: Acts, past?: Past<S>): Tensor;
  /** Gradient of u [m, l, d] from dout [m, l, d]; adds those of the parameters to `g`. `a` is what forward saved from position 0. */
  backward(be: Backend, p: P, g: P, c: C, u: Tensor, dout: Tensor, a: Acts): Tensor;
  /** The configuration in a few words, e.g. 'd_state 128'. */
  summary(c: C): string;
}

/**
 * To be called as soon as a layer's input has been summed up. Freed in this order, every layer of a recording has its output
 * where its input was, and sums alternate between two places, so that layers form series (backend/series.ts).
 */
export const inputDone = ({ x, res }: Pick<LayerInput, 'x' | 'res'>, a: Acts) => a.done(res, x);

/** The normalised input u [m, l, d], for mixers whose first op does not include it. The caller passes it to `a.done`. */
export function layerNorm(be: Backend, input: LayerInput, a: Acts): Tensor {
  const { u, ...rest } = input;
  const y = u ?? be.tensor(input.x.shape);
  be.run(addRmsNorm.forward, { ...rest, y }, { eps: NORM_EPS });
  inputDone(input, a);
  return y;
}

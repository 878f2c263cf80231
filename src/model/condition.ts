/**
 * What a condition is: what an image is to show, e.g. a class. Its embedding is the first row of the sequence and sets the
 * adaLN vectors of every layer. Each condition is one file that exports a `Condition`; the table of them is conditions.ts.
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import type { ActivationSpec, Acts } from './acts.js';
import type { Fields } from './fields.js';
import type { ParamTree } from './params.js';

/** A condition's configuration: plain data, since workers exchange it. */
export interface ConditionConfig {
  /** Its name in the table. */
  readonly type: string;
  /** Classes that images can be asked for by number; 0 where the condition is not a class. */
  readonly num_classes: number;
}

/** The tensors that hold the conditions of m sequences, by name. */
export type ConditionInputs = Readonly<Record<string, Tensor>>;

/**
 * One kind of condition. `C` is its configuration, `P` its part of the tree of `mamba.backbone` (parameters or gradients), `I`
 * its inputs on the device, `V` the value that one sequence is given.
 */
export interface Condition<
  C extends ConditionConfig = ConditionConfig,
  P extends object = object,
  I extends ConditionInputs = ConditionInputs,
  V = unknown,
> {
  /** Reads config.json. Throws CheckpointError naming a field that it cannot use. */
  parse(config: Fields): C;
  /** Parameters below `mamba.backbone`. */
  params(c: C, d_model: number): ParamTree;
  /** Allocates the inputs of m sequences. */
  inputs(be: Backend, c: C, m: number): I;
  /** Writes one value for each of the m sequences. */
  write(be: Backend, c: C, inputs: I, values: readonly V[]): void;
  /** The value of images that may show anything; guidance starts from it and training puts it in place of some values. */
  unconditional(c: C): V;
  /** Its activations, with the sizes of their dimensions other than m (sequences). */
  activations(c: C, d_model: number): { spec: ActivationSpec<string, never>; dims: Readonly<Record<string, number>> };
  /** The embeddings [m, d_model] of m sequences. Recorded once per image, not per token. */
  forward(be: Backend, p: P, c: C, inputs: I, a: Acts): Tensor;
  /** From the embeddings' gradient dy [m, d_model], adds those of the parameters to `g`. */
  backward(be: Backend, p: P, g: P, c: C, inputs: I, dy: Tensor, a: Acts): void;
}

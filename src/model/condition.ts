/**
 * The interface of conditions. A condition determines what an image shows, for example its class. Its embedding is the first row
 * of the sequence and determines the adaLN vectors of every layer. Each condition is one file that exports a `Condition`;
 * conditions.ts lists them.
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import type { ActivationSpec, Acts } from './acts.js';
import type { Fields } from './fields.js';
import type { ParamTree } from './params.js';

/** The configuration of a condition. It must be plain data, because workers exchange it. */
export interface ConditionConfig {
  /** Name in the table of conditions. */
  readonly type: string;
  /** Number of classes to choose from; 0 if the condition is not a class. */
  readonly num_classes: number;
}

/** Tensors that hold the conditions of m sequences, by name. */
export type ConditionInputs = Readonly<Record<string, Tensor>>;

/**
 * One kind of condition. `C` is its configuration, `P` its part of the tree of `mamba.backbone` (parameters or gradients), `I`
 * its input tensors on the device, and `V` the value for one sequence.
 */
export interface Condition<
  C extends ConditionConfig = ConditionConfig,
  P extends object = object,
  I extends ConditionInputs = ConditionInputs,
  V = unknown,
> {
  /** Reads config.json. Throws CheckpointError with the name of an invalid field. */
  parse(config: Fields): C;
  /** Parameters below `mamba.backbone`. */
  params(c: C, d_model: number): ParamTree;
  /** Allocates the input tensors for m sequences. */
  inputs(be: Backend, c: C, m: number): I;
  /** Writes the values of m sequences to the input tensors. */
  write(be: Backend, c: C, inputs: I, values: readonly V[]): void;
  /** The value that leaves open what an image shows. Guidance compares with it, and training substitutes it for some values. */
  unconditional(c: C): V;
  /** The declared activations, with the sizes of all dimensions except m (sequences). */
  activations(c: C, d_model: number): { spec: ActivationSpec<string, never>; dims: Readonly<Record<string, number>> };
  /** The embeddings [m, d_model] of m sequences. Computed once per image, not per token. */
  forward(be: Backend, p: P, c: C, inputs: I, a: Acts): Tensor;
  /** From the gradient dy [m, d_model] of the embeddings, adds the gradients of the parameters to `g`. */
  backward(be: Backend, p: P, g: P, c: C, inputs: I, dy: Tensor, a: Acts): void;
}

/** A float32 tensor by its checkpoint name. A function is called when the tensor is written, so that not all are in memory. */
export interface NamedTensor {
  name: string;
  shape: readonly number[];
  data: Float32Array | (() => Float32Array | Promise<Float32Array>);
}

export interface TrainState {
  /** Steps done. */
  step: number;
  /** Whatever else JSON can hold; numbers are read exactly as they were written. */
  [name: string]: unknown;
}

export interface SavedCheckpoint {
  /** Path of its folder, which AiM.fromPretrained takes; the name of the folder where it was opened from File objects. */
  path: string;
  config: unknown;
  classes: string[] | undefined;
  state: TrainState;
  /**
   * The tensors of a part, one after the other in file order. Throws CheckpointError when there is no such part, when the file is
   * damaged, and for a value that is not finite.
   */
  tensors(part: 'model' | 'optimizer' | 'ema'): AsyncGenerator<{ name: string; shape: readonly number[]; data: Float32Array }>;
  /** True if it has averaged weights. */
  hasEma: boolean;
}

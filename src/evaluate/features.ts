/** What turns images into the numbers that metrics compare: the FID network, or a classifier trained on the reference itself. */

/** The features of some images, row by row. */
export interface Features {
  readonly count: number;
  /** [count, size] */
  readonly pool: Float32Array;
  /** [count, spatial]; empty if the network has none. */
  readonly spatial: Float32Array;
  /** [count, classes], before a softmax. */
  readonly logits: Float32Array;
}

/** RGB images of one size. */
export interface ImageBytes {
  readonly count: number;
  readonly width: number;
  readonly height: number;
  /** [count, height, width, 3] */
  readonly data: Uint8Array;
}

export interface FeatureNetwork {
  /** Name of the features: 'inception' are those of the FID, 'own' those of a classifier trained here. */
  readonly kind: 'inception' | 'own';
  /** Where it runs, for messages. */
  readonly device: string;
  readonly size: number;
  /** Number of spatial features; 0 if there are none. */
  readonly spatial: number;
  readonly classes: number;
  /** A text that differs for other weights. */
  readonly id: string;
  /** Rejects with `signal.reason` when aborted. */
  run(images: ImageBytes, options?: { signal?: AbortSignal | undefined; onImages?: (done: number) => void }): Promise<Features>;
  dispose(): void;
}

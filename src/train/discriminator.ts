/**
 * The interface of discriminators, which learn to tell the tokenizer's images from real ones. Each is one file that exports a
 * `Discriminator`; discriminators.ts lists them.
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import type { Acts } from '../model/acts.js';
import type { ParamTree } from '../model/params.js';

/** The trees of a discriminator for one size of images. Its tensors are trees of the same structure. */
export interface DiscriminatorTrees {
  /** What is trained. */
  readonly params: ParamTree;
  /** Running averages of its norms' moments. Training does not read them; checkpoints hold them. */
  readonly running: ParamTree;
}

/** Images are [b, H, W, 3] in about [-1, 1], logits [b, h, w, 1]. `p`, `g` and `running` are trees of tensors. */
export interface Discriminator {
  /** For square images with sides of `size` pixels, with `channels` in the first layer. Throws OptionError for too small images. */
  trees(size: number, channels: number): DiscriminatorTrees;
  /** Computes logits, and saves activations in `a`, a new Acts(be, true). */
  forward(be: Backend, p: object, image: Tensor, a: Acts): Tensor;
  /** Takes the moments that forward saved in `a` into the running averages. */
  track(be: Backend, running: object, a: Acts): void;
  /**
   * Gradients of forward, using the activations in `a`. Adds those of the parameters to `g`, if it is given, and returns that of the
   * images if `toImage` is true. Does not free dlogits.
   */
  backward(be: Backend, p: object, g: object | undefined, dlogits: Tensor, a: Acts, toImage: boolean): Tensor | undefined;
}

/**
 * The interface of tokenizers (stage 1), which convert images to codes and codes to images. Each tokenizer is one file that
 * exports a `Tokenizer`; tokenizers.ts lists them.
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import type { Acts } from './acts.js';
import type { Fields } from './fields.js';
import type { ParamTree } from './params.js';

/** The configuration of a tokenizer. It must be plain data, because workers exchange it. */
export interface TokenizerConfig {
  /** Name in the table of tokenizers. */
  readonly type: string;
}

/** The tensors below `vqvae`, in a tree whose structure only the tokenizer knows. */
export type TokenizerParams = object;

/**
 * One tokenizer. `C` is its configuration, `P` its tree of tensors (parameters or gradients). Images are [b, H, W, 3] in about
 * [-1, 1], with H and W multiples of `factor`. If `a` is omitted, activations are not saved.
 */
export interface Tokenizer<C extends TokenizerConfig = TokenizerConfig, P extends object = object> {
  /** Reads `vq_config`. Throws CheckpointError with the name of an invalid field. */
  parse(config: Fields): C;
  /** Parameters below `vqvae`. */
  params(c: C): ParamTree;
  /** Side in pixels of the square that one code stands for. */
  factor(c: C): number;
  /** The number of different codes. */
  vocabulary(c: C): number;
  /** Bytes of the largest single activation per pixel of the images. Limits how many images are encoded or decoded at once. */
  largestBytesPerPixel(c: C): number;
  /** Bytes of the activations that lossForward saves for b images of height × width pixels, not counting the images. */
  activationBytes(c: C, image: readonly [b: number, height: number, width: number]): number;
  /** Computes the features [b, H/factor, W/factor, features] of images, before the quantiser. */
  encode(be: Backend, p: P, c: C, image: Tensor, a?: Acts): Tensor;
  /** Quantises features [b, h, w, features] to codes u32 [b·h·w]. */
  quantize(be: Backend, p: P, c: C, features: Tensor, a?: Acts): Tensor;
  /** The vectors [vocabulary, features] that `quantize` compares features with. */
  codebook(p: P): Tensor;
  /** Decodes codes u32 [b·h·w] to images. */
  decode(be: Backend, p: P, c: C, codes: Tensor, grid: readonly [b: number, h: number, w: number], a?: Acts): Tensor;
  /** Names of the losses, with that of the reconstruction first. Training minimises their sum. */
  readonly losses: readonly string[];
  /**
   * Computes the losses [1] by name, the codes u32 [positions], the features that were quantised to them [b, h, w, features], and the
   * decoded images. Saves activations in `a`.
   */
  lossForward(
    be: Backend,
    p: P,
    c: C,
    image: Tensor,
    a: Acts,
  ): { losses: Readonly<Record<string, Tensor>>; codes: Tensor; features: Tensor; decoded: Tensor };
  /**
   * Adds the gradients of the losses' sum (times lossScale[0]) to g, using the activations that lossForward saved in `a`. `ddecoded`,
   * the gradient of the decoded images, takes the place of that of the reconstruction loss; it is freed.
   */
  lossBackward(be: Backend, p: P, g: P, c: C, a: Acts, lossScale?: Tensor, ddecoded?: Tensor): void;
  /**
   * The gradient of the weight of the decoder's last layer, given that of the decoded images, by which losses are weighed against each
   * other. Uses the activations that lossForward saved in `a`.
   */
  lastGradient(be: Backend, p: P, c: C, a: Acts, ddecoded: Tensor): Tensor;
}

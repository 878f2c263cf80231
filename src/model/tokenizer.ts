/**
 * What a tokenizer is (stage 1): images to codes and back. Each tokenizer is one file that exports a `Tokenizer`; the table of
 * them is tokenizers.ts.
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import type { Acts } from './acts.js';
import type { Fields } from './fields.js';
import type { ParamTree } from './params.js';

/** A tokenizer's configuration: plain data, since workers exchange it. */
export interface TokenizerConfig {
  /** Its name in the table. */
  readonly type: string;
}

/** The tensors below `vqvae`, a tree that only the tokenizer knows. */
export type TokenizerParams = object;

/**
 * One tokenizer. `C` is its configuration, `P` its tree of tensors (parameters or their gradients). Images are
 * [b, H, W, 3] in about [-1, 1], H and W multiples of `factor`. Where `a` is left out, activations are freed.
 */
export interface Tokenizer<C extends TokenizerConfig = TokenizerConfig, P extends object = object> {
  /** Reads `vq_config`. Throws CheckpointError naming a field that it cannot use. */
  parse(config: Fields): C;
  /** Parameters below `vqvae`. */
  params(c: C): ParamTree;
  /** Pixels along a side of the square that one code stands for. */
  factor(c: C): number;
  /** How many different codes there are. */
  vocabulary(c: C): number;
  /** Bytes of the largest single activation, per pixel of the images: what bounds how many can be encoded or decoded at once. */
  largestBytesPerPixel(c: C): number;
  /** Bytes of the activations that lossForward saves for b images of H·W pixels, beside the images themselves. */
  activationBytes(c: C, image: readonly [b: number, height: number, width: number]): number;
  /** Images → features before the quantiser [b, H/factor, W/factor, features]. */
  encode(be: Backend, p: P, c: C, image: Tensor, a?: Acts): Tensor;
  /** Features → codes u32 [positions]. */
  quantize(be: Backend, p: P, c: C, features: Tensor, a?: Acts): Tensor;
  /** The vectors [vocabulary, features] that features are compared with. */
  codebook(p: P): Tensor;
  /** Codes u32 [b·h·w] → images. */
  decode(be: Backend, p: P, c: C, codes: Tensor, grid: readonly [b: number, h: number, w: number], a?: Acts): Tensor;
  /** Names of the losses, the one of reconstruction first. Training minimises their sum. */
  readonly losses: readonly string[];
  /** Images → losses [1] each by name, codes u32 [positions] and decoded images, saving activations in `a`. */
  lossForward(
    be: Backend,
    p: P,
    c: C,
    image: Tensor,
    a: Acts,
  ): { losses: Readonly<Record<string, Tensor>>; codes: Tensor; decoded: Tensor };
  /** Adds to g the gradients of the losses' sum (times lossScale[0]), from the activations that lossForward saved in `a`. */
  lossBackward(be: Backend, p: P, g: P, c: C, a: Acts, lossScale?: Tensor): void;
}

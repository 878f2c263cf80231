/** The types of a model's weights on a backend. */
import type { Backend } from '../backend/backend.js';
import type { AimParams } from './aim.js';
import type { ParamTree } from './params.js';
import type { TokenizerParams } from './tokenizer.js';

/** A backend and the parameters on it; both go with the device. */
export interface Placed {
  readonly be: Backend;
  readonly params: { readonly mamba: { readonly backbone: AimParams }; readonly vqvae: TokenizerParams };
}

/** Every parameter's spec, at its place in the checkpoint's names. */
export interface ModelTree {
  readonly mamba: { readonly backbone: ParamTree };
  readonly vqvae: ParamTree;
}

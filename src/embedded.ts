/**
 * The model that comes with the package: emoji of 50 classes in 64×64 pixels. An entry of its own, because bundlers copy its
 * weights (16 MB) to the output of every program that imports it.
 * @module aim-js/embedded
 */
import { embeddedModel } from './checkpoint/embedded.js';
import type { CheckpointSource } from './checkpoint/source.js';

/**
 * The embedded model, for `AiM.fromPretrained(embedded())` of `aim-js` or `aim-js/worker`. Its weights are read when the model is
 * loaded, from `models/emoji/model.safetensors` of the package: a file in Node, Deno and Bun, an address beside this module in
 * a page, and the copy that Vite and webpack 5 make by themselves. A bundler that copies no files (esbuild) needs a copy of that folder
 * where the page is served; pass its address to `fromPretrained` instead.
 */
export function embedded(): CheckpointSource {
  // Bundlers look for exactly this expression.
  return embeddedModel(new URL('../models/emoji/model.safetensors', import.meta.url).href);
}

/** Weights that are computed, most often at random. A chunk of its own, because drawing with a checkpoint does without it. */
import { threefryFill } from '../core/random.js';
import { checkHalves } from './load.js';
import type { Computed, Restorable } from './origin.js';
import { type ParamSpec, toDevice } from './params.js';
import type { Placed } from './placed.js';

/** Computes all values of a parameter; `out` may hold others before. `index` is the parameter's position in checkpoint order. */
export type ParamValues = (spec: ParamSpec, index: number, out: Float32Array) => void;

/** Sets every parameter to its values, in checkpoint order. */
export async function fill(model: Pick<Restorable, 'named'>, on: Placed, origin: Computed): Promise<void> {
  const values = origin.from === 'function' ? origin.values : initialValues(origin.seed);
  const named = [...model.named(on)];
  // One array for all: new memory for each takes longer than the numbers.
  const memory = new Float32Array(Math.max(...named.map(([, { tensor }]) => tensor.size)));
  for (const [index, [name, { spec, tensor }]] of named.entries()) {
    const data = memory.subarray(0, tensor.size);
    values(spec, index, data);
    if (tensor.dtype === 'f16') checkHalves(data, name);
    on.be.write(tensor, toDevice(spec, data));
  }
  await on.be.settle();
}

/** New random weights that depend only on `seed`: runs `init` of each parameter, which has its own random numbers. */
export const initialValues =
  (seed: number): ParamValues =>
  (spec, index, out) =>
    spec.init(spec.shape, counterRandom(seed, index), out);

/** Uniform random numbers in [0, 1): stream `index` of a seed below 2^53, from the generator that sampling uses too. */
function counterRandom(seed: number, index: number): () => number {
  const high = Math.floor(seed / 2 ** 32);
  // Some at a time, which takes a fifth of the time.
  const words = new Uint32Array(1024);
  let at = words.length;
  let n = 0;
  return () => {
    if (at === words.length) {
      threefryFill(seed >>> 0, index, n, 1 + high, words);
      n += words.length / 2;
      at = 0;
    }
    const value = ((words[at]! >>> 5) * 67108864 + (words[at + 1]! >>> 6)) / 9007199254740992;
    at += 2;
    return value;
  };
}

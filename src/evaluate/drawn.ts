/** Images that a model draws when they are compared, shard by shard. */
import { checkOptions, type Filled, type OptionTable } from '../core/options.js';
import { createSha256, sha256Text } from '../io/sha256.js';
import { type ClassChoice, resolveClasses } from '../model/classes.js';
import { GENERATE, type Generated, type GenerateOptions, SEED } from '../model/generate.js';
import { type ModelHandle, modelOf } from '../model/handle.js';
import type { Model } from '../model/model.js';
import { checkSampling } from '../model/sampler.js';
import type { ImageSource } from './images.js';

/** What `drawn` draws: as `AiM.generate`, in turn of all classes if none are given. */
export interface DrawnOptions extends Omit<GenerateOptions, 'classes' | 'seed' | 'from' | 'onStep' | 'signal'> {
  /** Class numbers or names, used in turn. 'all' (the default) means every class. */
  classes?: ClassChoice;
  /** Image i is drawn with seed + i. Default 0. */
  seed?: number;
  /** Number of images. Default 50000, as in the literature. */
  count?: number;
}

export const DRAWN = (({ from: _, onStep: __, signal: ___, ...options }) => ({
  ...options,
  seed: { ...SEED, default: 0 },
  count: { type: 'integer', min: 1, max: 1e6, default: 50000, about: 'number of images to draw' } as const,
}))(GENERATE) satisfies OptionTable<DrawnOptions>;

/** A model that draws: an AiM of `aim-js`. */
export interface Drawer extends ModelHandle {
  generate(options: GenerateOptions): Promise<Generated>;
}

/**
 * The images of a model as samples for `evaluate`. They are drawn in shards; with a cache, shards of the same weights, options and
 * device are not drawn again. Throws OptionError like `AiM.generate`.
 *
 * @param handle An AiM of `aim-js`, which must not be disposed before the evaluation ends.
 */
export function drawn(handle: Drawer, given: DrawnOptions = {}): ImageSource {
  const model = modelOf(handle);
  const { sampling: own } = model;
  const checked: Filled<DrawnOptions, typeof DRAWN> = checkOptions<DrawnOptions, typeof DRAWN>('drawn', given, DRAWN, own);
  const { classes: choice, count, seed, batchSize, ...sampling } = checked;
  const classes = resolveClasses(choice, model.config.num_classes, model.classes);
  const settings = checkSampling(sampling);
  const size = model.config.image_size;
  let weights: Promise<string> | undefined;
  const labels = (first: number, n: number) => Array.from({ length: n }, (_, i) => classes[(first + i) % classes.length]!);
  return {
    name: `${count} images of the model`,
    length: count,
    width: size,
    height: size,
    async key(first, n, { signal }) {
      weights ??= hashOf(model, signal);
      const { be } = model;
      const text = [await weights, settings, labels(first, n), seed + first, be.description, be.traits.roundsProducts];
      return sha256Text(JSON.stringify(text));
    },
    async images(first, n, { signal, onImages }) {
      const { images } = await handle.generate({
        ...sampling,
        classes: labels(first, n),
        count: n,
        seed: seed + first,
        ...(batchSize && { batchSize }),
        onStep: ({ step, steps, first: begun, batch }) => onImages?.(begun + (batch * step) / steps),
        signal,
      });
      const data = new Uint8Array(n * size * size * 3);
      for (const [i, image] of images.entries()) data.set(image.toRGB(), i * size * size * 3);
      return { count: n, width: size, height: size, data };
    },
  };
}

/** Hash of all weights as they are on the device. */
async function hashOf(model: Model, signal: AbortSignal | undefined): Promise<string> {
  const hash = createSha256();
  for (const name of model.named().keys()) {
    signal?.throwIfAborted();
    const values = await model.read(name);
    hash.update(new TextEncoder().encode(name));
    hash.update(new Uint8Array(values.buffer));
  }
  return hash.hex();
}

/**
 * Features of a classifier that is trained on the reference itself, for those who have no weights of the FID network. Their
 * distances are on a scale of their own and can be compared only with others of the same reference.
 */
import { OptionError } from '../core/errors.js';
import type { FolderSource } from '../data/folder.js';
import { openData } from '../data/open.js';
import { readBytes } from '../io/file_source.js';
import type { Rgb } from '../io/images/index.js';
import { createSha256 } from '../io/sha256.js';
import { exists, makeFolder, writeAtomic } from '../platform/files.js';
import { pause } from '../platform/runtime.js';
import { Classifier, FEATURES } from './classifier.js';
import type { FeatureNetwork } from './features.js';
import { greyImages } from './own_features.js';

/** Another way of training gets another number. */
const FORMAT = 'aim-js own features 1';

/** Images that are classified between two looks at the signal. */
const BATCH = 100;

export interface OwnOptions {
  /** Side of the images. */
  size: number;
  cache?: string | undefined;
  background?: Rgb | undefined;
  signal?: AbortSignal | undefined;
  /** Called with the number of epochs that are done, of 4. */
  onEpoch?: ((epoch: number) => void) | undefined;
}

/** Trains a classifier on the training images of a data set, or reads it from the cache. Throws OptionError if it cannot be trained. */
export async function ownNetwork(source: FolderSource, o: OwnOptions): Promise<FeatureNetwork> {
  const { size, cache, background, signal, onEpoch } = o;
  if (size % 4 !== 0)
    throw new OptionError(
      `own features need images whose side is a multiple of 4, and the samples have ${size}; use --inception weights instead.`,
    );
  const data = await openData(source, { size, ...(background && { background }), signal });
  if (data.kind === 'codes')
    throw new OptionError('own features are of a classifier of images, and the reference holds codes; pass a folder of images.');
  const { train } = data;
  if (train.classes.length < 2)
    throw new OptionError(
      `own features are of a classifier, and the reference has the one class ${train.classes[0]}; pass images in at least two ` +
        'class folders, or use --inception weights.',
    );
  const { pixels, labels } = await greyImages(train, { signal });
  const per = 3 * size * size;
  const hash = createSha256();
  hash.update(new TextEncoder().encode(JSON.stringify([FORMAT, size, train.classes.length])));
  hash.update(pixels);
  hash.update(new Uint8Array(labels.buffer));
  const id = hash.hex();
  const net = await trained(id);
  return {
    kind: 'own',
    device: 'one processor',
    size: FEATURES,
    spatial: 0,
    classes: train.classes.length,
    id,
    async run({ count, data: rgb }, { signal: stop, onImages } = {}) {
      const pool = new Float32Array(count * FEATURES);
      const logits = new Float32Array(count * train.classes.length);
      for (let at = 0; at < count; at += BATCH) {
        stop?.throwIfAborted();
        const end = Math.min(count, at + BATCH);
        const seen = net.classify(greyOfBytes(rgb.subarray(at * per, end * per)));
        pool.set(seen.features, at * FEATURES);
        logits.set(seen.logits, at * train.classes.length);
        onImages?.(end);
        await pause();
      }
      return { count, pool, spatial: new Float32Array(), logits };
    },
    dispose() {},
  };

  async function trained(name: string): Promise<Classifier> {
    const file = cache === undefined ? undefined : `${cache}/${name}.f32`;
    const made = new Classifier(size, train.classes.length);
    if (file && (await exists(file))) {
      const bytes = await readBytes(file);
      // A file of another length is damaged.
      if (bytes.length === 4 * made.length)
        return new Classifier(size, train.classes.length, new Float32Array(new Uint8Array(bytes).buffer));
    }
    await made.train(pixels, labels, { onEpoch: (epoch) => onEpoch?.(epoch), signal });
    if (file) {
      await makeFolder(cache!);
      await writeAtomic(file, new Uint8Array(made.save().buffer));
    }
    return made;
  }
}

/** RGB bytes as grey bytes. */
export function greyOfBytes(rgb: Uint8Array): Uint8ClampedArray {
  return Uint8ClampedArray.from({ length: rgb.length / 3 }, (_, i) => (rgb[3 * i]! + rgb[3 * i + 1]! + rgb[3 * i + 2]!) / 3);
}

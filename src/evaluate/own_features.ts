/**
 * A network for the tokenizer's perceptual loss, for those who have no weights of LPIPS: the features of the small classifier of grey
 * images (classifier.ts), trained on the tokenizer's own images. It is no LPIPS, and its distances are on a scale of their own.
 */
import { CheckpointError, OptionError } from '../core/errors.js';
import { type ImageDataset, inParallel } from '../data/dataset.js';
import { createSha256 } from '../io/sha256.js';
import type { FeatureNetwork } from '../train/features.js';
import { Classifier } from './classifier.js';

/** Most images that the classifier is trained on, spread evenly over the data set. */
const MOST_IMAGES = 20_000;

/** The network, and the weights of its classifier, from which `ownFeaturesOf` makes it again. */
export interface OwnFeatures {
  readonly network: FeatureNetwork;
  readonly weights: Float32Array<ArrayBuffer>;
}

/**
 * Trains the classifier on a data set of square images of at least two classes. Results depend on the images alone. Throws OptionError
 * where it cannot be trained. Rejects with `signal.reason` when aborted.
 *
 * @param onEpoch Called with the number of epochs that are done, of 4.
 */
export async function trainOwnFeatures(
  train: ImageDataset,
  { signal, onEpoch }: { signal?: AbortSignal | undefined; onEpoch?: ((epoch: number) => void) | undefined } = {},
): Promise<OwnFeatures> {
  const { size, classes } = train;
  if (size % 4 !== 0)
    throw new OptionError(`perceptual own needs images whose side is a multiple of 4, and these have ${size}; leave it out.`);
  if (classes.length < 2)
    throw new OptionError(
      `perceptual own trains a classifier, and the data has the one class ${classes[0]}; pass images in at least two class folders, or ` +
        'leave it out.',
    );
  const count = Math.min(train.length, MOST_IMAGES);
  const items = Uint32Array.from({ length: count }, (_, i) => Math.floor((i * train.length) / count));
  const { pixels, labels } = await greyImages(train, { items, signal });
  const net = new Classifier(size, classes.length);
  await net.train(pixels, labels, { onEpoch: (epoch) => onEpoch?.(epoch), signal });
  const weights = net.save();
  return { network: ownFeaturesOf(weights, size, classes.length), weights };
}

/** The network of a classifier's weights. Throws CheckpointError if they are not those of one for this size and number of classes. */
export function ownFeaturesOf(weights: Float32Array<ArrayBuffer>, size: number, classes: number): FeatureNetwork {
  const { length } = new Classifier(size, classes);
  if (weights.length !== length)
    throw new CheckpointError(
      `the classifier of the perceptual loss has ${weights.length} weights, and one for images of ${size} pixels and ${classes} ` +
        `classes has ${length}; begin a new run.`,
    );
  const { layers } = new Classifier(size, classes, weights);
  const hash = createSha256();
  hash.update(new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength));
  return {
    name: 'own_features',
    id: hash.hex(),
    // Grey in [0, 1].
    input: { weight: new Float32Array(3).fill(1 / 6), bias: Float32Array.of(0.5) },
    // The last layer is the classes' logits.
    layers: layers.slice(0, -1).map(({ kernel, stride, pad, channels, out, taps, w }) => ({
      kind: 'conv',
      shape: [out, kernel, kernel, channels],
      // w is [taps, out], and its last row the bias.
      weight: Float32Array.from({ length: out * (taps - 1) }, (_, i) => w[(i % (taps - 1)) * out + Math.floor(i / (taps - 1))]!),
      bias: w.slice((taps - 1) * out),
      stride,
      pad,
      compared: 'equal',
    })),
  };
}

/** Images as a classifier takes them: grey bytes [n, size·size] and labels, of all images or of those with the numbers `items`. */
export async function greyImages(
  data: ImageDataset,
  { items, signal }: { items?: Uint32Array; signal?: AbortSignal | undefined },
): Promise<{ pixels: Uint8Array; labels: Uint32Array }> {
  const of = items ?? Uint32Array.from({ length: data.length }, (_, i) => i);
  const per = data.size * data.size;
  const pixels = new Uint8Array(of.length * per);
  await inParallel(of.length, async (i) => pixels.set(greyOfFloats(await data.image(of[i]!, { kind: 'eval' })), i * per), {
    signal,
  });
  return { pixels, labels: of.map((item) => data.label(item)) };
}

/** RGB in [-1, 1] as grey bytes. */
function greyOfFloats(rgb: Float32Array): Uint8ClampedArray {
  return Uint8ClampedArray.from(
    { length: rgb.length / 3 },
    (_, i) => ((rgb[3 * i]! + rgb[3 * i + 1]! + rgb[3 * i + 2]!) / 3 + 1) * 127.5,
  );
}

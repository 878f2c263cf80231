/**
 * Codes files: the images of a data set as tokens, encoded once by a tokenizer. A codes file is a safetensors file with `codes`
 * [n, T], `labels` [n] and, if images were held out, `eval.codes` and `eval.labels`. Its metadata has the class names, the size
 * of the vocabulary and the tokenizer's fingerprint.
 */
import { openSource } from '../checkpoint/source.js';
import { CheckpointError, IoError, OptionError } from '../core/errors.js';
import { checkOptions, type Filled, type OptionTable } from '../core/options.js';
import { imageRandom } from '../core/random.js';
import type { ByteSource } from '../io/bytes.js';
import { parseHeader, readInts, type SafetensorsHeader, type TensorData, writeSafetensors } from '../io/safetensors.js';
import { type ModelHandle, modelOf } from '../model/handle.js';
import type { Model } from '../model/model.js';
import { pause } from '../platform/runtime.js';
import { type ImageDataset, type ImageSplits, inParallel } from './dataset.js';
import { Digest } from './digest.js';

/** The codes of one split. */
export interface CodesPart {
  /** [n, T], row by row. */
  codes: Uint32Array;
  /** [n] */
  labels: Uint32Array;
}

/** The content of a codes file: the training images and, in `eval`, the held-out ones. */
export interface Codes extends CodesPart {
  /** Codes of the held-out images, each encoded once from its centre crop. */
  eval: CodesPart | undefined;
  /** Class names; a label is an index into this list. */
  classes: string[];
  /** T, the number of tokens of an image. */
  tokens: number;
  /** V, the number of different codes. */
  vocabulary: number;
  /** Fingerprint of the tokenizer that encoded the images. */
  fingerprint: string;
}

const FORMAT = 'aim-codes';
const VERSION = 1;

/**
 * The fingerprint of a tokenizer: SHA-256 over one line `name [shape] SHA-256 of its float32 values` for each tensor of `vqvae`,
 * sorted by name, with shapes and values as on the device. It is the same on every backend.
 */
export async function tokenizerFingerprint(handle: ModelHandle): Promise<string> {
  const model = modelOf(handle);
  const named = [...model.named(model.on, 'vqvae.')].sort(([a], [b]) => (a < b ? -1 : 1));
  const lines: string[] = [];
  for (const [name, { tensor }] of named) {
    lines.push(`${name} [${tensor.shape.join()}] ${await sha256(await model.read(name))}\n`);
  }
  return sha256(new TextEncoder().encode(lines.join('')));
}

async function sha256(data: Uint8Array<ArrayBuffer> | Float32Array<ArrayBuffer>): Promise<string> {
  if (!globalThis.crypto?.subtle)
    throw new OptionError('this page has no crypto.subtle, which codes files need; serve it by https or from localhost.');
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', data));
  return Array.from(digest, (b) => b.toString(16).padStart(2, '0')).join('');
}

/** Options of `tokenize`. */
export interface TokenizeOptions {
  /** Number of random crops of each training image, depending on `seed`. 0 (the default) uses its centre crop only. */
  augment?: number | undefined;
  /** Seed of the random crops. Default 0. */
  seed?: number | undefined;
  /** Images to encode at once. Affects speed and memory, never a code. Default 32, on a GPU as many as have 2^20 pixels, 16 to 256. */
  batchSize?: number | undefined;
  /** Called with the number of images encoded so far (including unreadable ones) and in all. */
  onProgress?: ((done: number, total: number) => unknown) | undefined;
  /** Aborts the encoding. */
  signal?: AbortSignal | undefined;
}

export const TOKENIZE = {
  augment: {
    type: 'integer',
    min: 0,
    max: 1000,
    default: 0,
    about: 'random crops of each training image; 0 takes its centre crop alone',
  },
  seed: { type: 'integer', min: 0, default: 0, about: 'seed of the random crops' },
  batchSize: {
    type: 'integer',
    min: 1,
    max: 4096,
    about: 'images encoded at once; changes speed and memory only; by default 32, on a GPU 16 to 256',
  },
  onProgress: { type: 'function', about: 'called with the number of images encoded so far and in all' },
  signal: { type: 'signal', about: 'stops the encoding' },
} as const satisfies OptionTable<TokenizeOptions>;

/**
 * Encodes every image once with the model's tokenizer. Unreadable images are left out (`skipped` of their data set lists them).
 * Rows are in the order of the data set, and the crops of an image follow each other. Throws OptionError for images that do not
 * suit the tokenizer and IoError if no image is readable. Rejects with `signal.reason` when aborted.
 *
 * @param handle The model, an AiM of `aim-js`.
 * @param images The images, as `openData` returns them.
 * @param given Options.
 */
export async function tokenize(handle: ModelHandle, images: ImageSplits, given: TokenizeOptions = {}): Promise<Codes> {
  const { train, eval: heldOut } = images;
  const options = checkOptions<TokenizeOptions, typeof TOKENIZE>('tokenize', given, TOKENIZE);
  const { augment, signal } = options;
  const model = modelOf(handle);
  const { num_tokens: tokens, vocab_size: vocabulary, image_size } = model.config;
  if (augment > 0 && !train.augments)
    throw new OptionError('augment asks for random crops, but these images are used whole; leave it out.');
  if (train.size !== image_size)
    throw new OptionError(
      `the images are cut to ${train.size} pixels, this tokenizer takes ${image_size}; open them with that size.`,
    );
  const total = train.length * Math.max(1, augment) + (heldOut?.length ?? 0);
  let before = 0;
  const encode = async (data: ImageDataset, copies: number) => {
    const encoded = await encodeAll(model, data, copies, options, (done) => options.onProgress?.(before + done, total));
    before += data.length * Math.max(1, copies);
    return encoded;
  };
  const fingerprint = await tokenizerFingerprint(handle);
  signal?.throwIfAborted();
  const codes = await encode(train, augment);
  if (codes.labels.length === 0) {
    const { name, reason } = train.skipped.at(-1) ?? { name: 'the last', reason: 'unreadable' };
    throw new IoError(`none of the ${train.length} images can be read (${name}: ${reason}); pass other images.`);
  }
  const heldOutCodes = heldOut && (await encode(heldOut, 0));
  const result: Codes = {
    ...codes,
    eval: heldOutCodes?.labels.length ? heldOutCodes : undefined,
    classes: [...train.classes],
    tokens,
    vocabulary,
    fingerprint,
  };
  const ofImages = await train.fingerprint?.();
  if (ofImages !== undefined) {
    const all = [ofImages, await heldOut?.fingerprint?.(), augment, augment && options.seed];
    imageFingerprints.set(result, new Digest().text(all.join()).hex());
  }
  return result;
}

/**
 * Fingerprints of the images from which codes were made by `tokenize`. They are compared instead of the codes, of which rounding may
 * change a few from device to device.
 */
const imageFingerprints = new WeakMap<Codes, string>();

/** The fingerprint of the images that `tokenize` made these codes from; undefined for codes from a file. */
export const imagesOf = (codes: Codes): string | undefined => imageFingerprints.get(codes);

/**
 * Images to encode at once on a device that works by itself: 2^20 pixels, so that commands are few and the host's memory bounded. The
 * model divides them by what the device holds.
 */
const batchOf = ({ be, config: { image_size: size } }: Model) =>
  be.traits.asynchronous ? Math.min(256, Math.max(16, Math.floor(2 ** 20 / size ** 2))) : 32;

/**
 * Encodes `augment` random crops or the centre crop of each image. Calls `onDone` after each batch. While the device encodes a batch, the
 * next one is read and cropped; no more are in memory.
 */
async function encodeAll(
  model: Model,
  data: ImageDataset,
  augment: number,
  { seed, batchSize = batchOf(model), signal }: Filled<TokenizeOptions, typeof TOKENIZE>,
  onDone: (done: number) => unknown,
): Promise<CodesPart> {
  const copies = Math.max(1, augment);
  const rows = data.length * copies;
  const T = model.config.num_tokens;
  const per = data.size * data.size * 3;
  const codes = new Uint32Array(rows * T);
  const labels = new Uint32Array(rows);
  let written = 0;
  /** The readable images of rows `at` to `at` + n − 1, one after the other, and their labels. */
  const read = async (at: number, n: number) => {
    const images: (Float32Array | undefined)[] = new Array(n);
    const one = async (k: number) => {
      const i = Math.floor((at + k) / copies);
      const random = imageRandom(seed, (at + k) % copies, i);
      images[k] = await data.tryImage(i, augment ? { kind: 'train', random } : { kind: 'eval' });
    };
    await inParallel(n, one, { signal });
    const pixels = new Float32Array(n * per);
    const found: number[] = [];
    images.forEach((image, k) => {
      if (!image) return;
      pixels.set(image, found.length * per);
      found.push(data.label(Math.floor((at + k) / copies)));
    });
    return { pixels: pixels.subarray(0, found.length * per), labels: found };
  };
  /** Waits for the codes of a batch, after all before it. */
  const take = async (batch: { labels: readonly number[]; codes: Promise<Uint32Array>; end: number }) => {
    codes.set(await batch.codes, written * T);
    labels.set(batch.labels, written);
    written += batch.labels.length;
    await onDone(batch.end);
    await pause();
  };
  let before: Parameters<typeof take>[0] | undefined;
  let newest: Promise<unknown> | undefined;
  try {
    for (let at = 0; at < rows; at += batchSize) {
      const n = Math.min(batchSize, rows - at);
      const batch = await read(at, n);
      const encoded = model.encodePixels(batch.pixels, [batch.labels.length, data.size, data.size, 3], signal);
      // A failure is reported by `take`, unless something before it fails.
      newest = encoded.catch(() => {});
      if (before) await take(before);
      before = { labels: batch.labels, codes: encoded, end: at + n };
    }
    if (before) await take(before);
  } finally {
    // Nothing goes on after an error.
    await newest;
  }
  return { codes: codes.slice(0, written * T), labels: labels.slice(0, written) };
}

/** Encodes a codes file as chunks for writeAtomic. Codes take 1, 2 or 4 bytes each, depending on the vocabulary. */
export function encodeCodes(codes: Codes): AsyncGenerator<Uint8Array, void, undefined> {
  const { tokens, vocabulary, classes, fingerprint } = codes;
  const tensors = (prefix: string, { codes, labels }: CodesPart): TensorData[] => {
    const shape = [labels.length, tokens];
    const stored: Pick<TensorData, 'dtype' | 'data'> =
      vocabulary <= 2 ** 8
        ? { dtype: 'U8', data: () => Uint8Array.from(codes) }
        : vocabulary <= 2 ** 16
          ? { dtype: 'U16', data: () => Uint16Array.from(codes) }
          : { dtype: 'I32', data: () => Int32Array.from(codes) };
    return [
      { name: `${prefix}codes`, shape, ...stored },
      { name: `${prefix}labels`, shape: [labels.length], dtype: 'I32', data: () => Int32Array.from(labels) },
    ];
  };
  return writeSafetensors([...tensors('', codes), ...(codes.eval ? tensors('eval.', codes.eval) : [])], {
    format: FORMAT,
    version: String(VERSION),
    classes: JSON.stringify(classes),
    tokens: String(tokens),
    vocabulary: String(vocabulary),
    tokenizer: fingerprint,
  });
}

/** True for the safetensors header of a codes file. */
export const isCodes = ({ metadata }: SafetensorsHeader) => metadata.get('format') === FORMAT;

/** Options of `readCodes`. */
export interface ReadOptions {
  /** Aborts the reading. */
  signal?: AbortSignal | undefined;
}

const READ = { signal: { type: 'signal', about: 'stops the reading' } } as const satisfies OptionTable<ReadOptions>;

/**
 * Reads and checks a codes file. Throws CheckpointError with what is wrong.
 *
 * @param source A path, URL or File, or the bytes of the file.
 */
export async function readCodes(
  source: string | URL | Blob | Uint8Array | ArrayBuffer,
  options: ReadOptions = {},
): Promise<Codes> {
  const { signal } = checkOptions<ReadOptions, typeof READ>('readCodes', options, READ);
  const file = await openSource(source, { signal });
  try {
    const header = await parseHeader(file, { signal });
    const bad = (what: string) => new CheckpointError(`${file.name} ${what}; make it again with \`aim tokenize\`.`);
    if (!isCodes(header)) throw bad('is no codes file');
    const meta = (key: string) => header.metadata.get(key) ?? '';
    if (meta('version') !== String(VERSION))
      throw bad(`is a codes file of version ${meta('version')}, this program reads ${VERSION}`);
    const whole = (key: string) => {
      const value = Number(meta(key));
      if (!Number.isSafeInteger(value) || value < 1) throw bad(`gives ${key} as ${JSON.stringify(meta(key))}`);
      return value;
    };
    const [tokens, vocabulary, classes] = [whole('tokens'), whole('vocabulary'), parseNames(meta('classes'))];
    const fingerprint = meta('tokenizer');
    if (!classes) throw bad('does not name its classes');
    if (!/^[0-9a-f]{64}$/.test(fingerprint)) throw bad('has no fingerprint of its tokenizer');
    const split = async (prefix: string): Promise<CodesPart> => ({
      codes: await readIndices(file, header, `${prefix}codes`, [Number.NaN, tokens], vocabulary, bad),
      labels: await readIndices(file, header, `${prefix}labels`, [Number.NaN], classes.length, bad),
    });
    const train = await split('');
    const heldOut = header.tensors.has('eval.codes') ? await split('eval.') : undefined;
    for (const [name, { codes, labels }] of Object.entries({ images: train, 'held-out images': heldOut ?? train })) {
      if (codes.length !== labels.length * tokens)
        throw bad(`has codes of ${codes.length / tokens} ${name} and labels of ${labels.length}`);
      if (labels.length === 0) throw bad(`has no ${name}`);
    }
    await file.finish?.();
    return { ...train, eval: heldOut, classes, tokens, vocabulary, fingerprint };
  } finally {
    await file.close();
  }
}

/** Reads a tensor of integers in [0, limit) with the given shape, in which NaN stands for any size. */
async function readIndices(
  file: ByteSource,
  header: SafetensorsHeader,
  name: string,
  shape: readonly number[],
  limit: number,
  bad: (what: string) => Error,
): Promise<Uint32Array> {
  const got = header.tensors.get(name)?.shape;
  if (!got) throw bad(`has no tensor ${name}`);
  if (got.length !== shape.length || shape.some((d, i) => !Number.isNaN(d) && got[i] !== d))
    throw bad(
      `gives ${name} the shape [${got.join(', ')}], expected [${shape.map((d) => (Number.isNaN(d) ? 'n' : d)).join(', ')}]`,
    );
  const values = await readInts(file, header, name);
  const at = values.findIndex((v) => v < 0 || v >= limit);
  if (at >= 0) throw bad(`has ${values[at]} in ${name} at index ${at}, where 0 to ${limit - 1} are allowed`);
  return values instanceof Uint32Array ? values : new Uint32Array(values.buffer as ArrayBuffer);
}

function parseNames(text: string): string[] | undefined {
  try {
    const names: unknown = JSON.parse(text);
    return Array.isArray(names) && names.length > 0 && names.every((n) => typeof n === 'string') ? names : undefined;
  } catch {
    return undefined;
  }
}

/** Throws CheckpointError unless this model's tokenizer made `codes` and the model has at least as many classes. */
export async function checkCodes(handle: ModelHandle, codes: Codes, name = 'the codes file'): Promise<void> {
  const { num_tokens, num_classes, vocab_size } = modelOf(handle).config;
  const again = 'make it again with `aim tokenize DATA --tokenizer MODEL`, or train on the tokenizer that made it';
  const own = await tokenizerFingerprint(handle);
  if (own !== codes.fingerprint)
    throw new CheckpointError(
      `${name} was made by another tokenizer (fingerprint ${codes.fingerprint.slice(0, 12)}…, this model's is ${own.slice(0, 12)}…); ${again}.`,
    );
  if (codes.tokens !== num_tokens || codes.vocabulary !== vocab_size)
    throw new CheckpointError(
      `${name} has ${codes.tokens} tokens an image of a vocabulary of ${codes.vocabulary}, this model ${num_tokens} of ${vocab_size}; ${again}.`,
    );
  if (codes.classes.length > num_classes)
    throw new CheckpointError(
      `${name} has ${codes.classes.length} classes and the model's config num_classes ${num_classes}; raise num_classes.`,
    );
}

/** The codes that drawing starts from, taken from a picture or from codes. A chunk of its own, because few pages need it. */
import { OptionError } from '../core/errors.js';
import { checkOptions, type OptionTable, shown } from '../core/options.js';
import { AimImage } from '../io/image.js';
import { checkBackground, composite } from '../io/images/format.js';
import { decodeImage, type Rgb, type RgbImage } from '../io/images/index.js';
import { cropSquare, resizeShorter } from '../io/resize.js';
import type { AimConfig } from './config.js';
import type { Model } from './model.js';
import { checkData, type EncodeInput, isFloats } from './pixels.js';

/**
 * What drawing starts from: an image or its codes, and how much of it is kept. Tokens are drawn in raster order, each from those
 * before it, so what is kept is the upper part.
 */
export interface StartFrom {
  /**
   * A picture of any size: an AimImage, RGBA bytes such as ImageData, or the bytes of an image file (PNG, JPEG, BMP; in browsers
   * also GIF and WebP). Unless it has the model's size, its shorter side is resized to `config.image_size` and its centre cropped.
   */
  image?: EncodeInput | Uint8Array;
  /** Codes in raster order, as `encode` and `generate` return them; at least those that are kept. Instead of `image`. */
  codes?: ArrayLike<number>;
  /** The number of rows of tokens that are kept, from 0 to √T. A row is `config.image_size` / √T pixels high. */
  rows?: number;
  /** The number of tokens that are kept, from 0 to T. Instead of `rows`. */
  tokens?: number;
  /** Red, green and blue behind transparent pixels of `image`, from 0 to 255. Default: white. */
  background?: Rgb;
}

export const START_FROM = {
  image: { type: 'other', about: 'an AimImage, RGBA bytes with width and height, or the bytes of an image file' },
  codes: { type: 'other', about: 'codes in raster order' },
  rows: { type: 'integer', min: 0, about: 'rows of tokens that are kept' },
  tokens: { type: 'integer', min: 0, about: 'tokens that are kept' },
  background: { type: 'other', about: 'red, green and blue behind transparent pixels, from 0 to 255; by default white' },
} as const satisfies OptionTable<StartFrom>;

/**
 * The kept codes of each start. Throws OptionError for values that do not fit the model, IoError for an image file that cannot be
 * read or a picture that is too long; rejects with `signal.reason` when aborted.
 */
export async function keptCodes(model: Model, given: readonly StartFrom[], signal?: AbortSignal): Promise<Uint32Array[]> {
  const { config } = model;
  const { image_size: size, num_tokens: T } = config;
  const kept = new Array<Uint32Array>(given.length);
  const pictures: { index: number; count: number; pixels: Float32Array }[] = [];
  for (const [index, one] of given.entries()) {
    const name = given.length > 1 ? `from ${index}` : 'from';
    const start = checkOptions<StartFrom, typeof START_FROM>(name, one, START_FROM);
    if ((start.image === undefined) === (start.codes === undefined))
      throw new OptionError(`${name}: give either an image or codes to start from.`);
    const count = keptCount(name, start, config);
    if (start.codes !== undefined) kept[index] = checkedCodes(name, start.codes, count, config);
    else pictures.push({ index, count, pixels: await pixelsOf(name, start, size) });
  }
  if (pictures.length === 0) return kept;
  const pixels = new Float32Array(pictures.length * size * size * 3);
  for (const [i, picture] of pictures.entries()) pixels.set(picture.pixels, i * size * size * 3);
  const codes = await model.encodePixels(pixels, [pictures.length, size, size, 3], signal);
  for (const [i, { index, count }] of pictures.entries()) kept[index] = codes.slice(i * T, i * T + count);
  return kept;
}

/** The number of tokens that are kept. */
function keptCount(name: string, { rows, tokens }: StartFrom, { num_tokens: T }: AimConfig): number {
  if ((rows === undefined) === (tokens === undefined))
    throw new OptionError(`${name}: say how much is kept, by either rows or tokens.`);
  const side = Math.sqrt(T);
  if (rows !== undefined && rows > side)
    throw new OptionError(`${name}: rows is ${rows}; this model has ${side} rows of ${side} tokens, so give 0 to ${side}.`);
  if (tokens !== undefined && tokens > T)
    throw new OptionError(`${name}: tokens is ${tokens}; this model has ${T} tokens in an image, so give 0 to ${T}.`);
  return tokens ?? rows! * side;
}

/** The first `count` codes. */
function checkedCodes(name: string, codes: ArrayLike<number>, count: number, config: AimConfig): Uint32Array {
  const { num_tokens: T, vocab_size: V } = config;
  const { length } = codes;
  if (typeof codes === 'string' || !(Number.isInteger(length) && length >= count && length <= T))
    throw new OptionError(
      `${name}: the codes are ${shown(codes)}; pass a list of at least ${count} numbers (the kept ones) and at most ${T}.`,
    );
  const bad = Array.prototype.findIndex.call(
    codes,
    (c: unknown) => !(Number.isInteger(c) && (c as number) >= 0 && (c as number) < V),
  );
  if (bad >= 0) throw new OptionError(`${name}: code ${bad} is ${shown(codes[bad])}; codes go from 0 to ${V - 1}.`);
  return Uint32Array.from(Array.prototype.slice.call(codes, 0, count));
}

/** The picture as the tokenizer takes it: [size, size, 3] in [-1, 1]. */
async function pixelsOf(name: string, { image, background }: StartFrom, size: number): Promise<Float32Array> {
  if (background !== undefined) checkBackground(background);
  const picture = `${name}: the image`;
  let rgb: RgbImage;
  if (isBytes(image)) rgb = await decodeImage(image, picture, { background });
  else {
    const { width, height, data } = (image ?? {}) as Partial<EncodeInput>;
    const whole = Number.isInteger(width) && Number.isInteger(height) && width! > 0 && height! > 0;
    if (!whole || !ArrayBuffer.isView(data))
      throw new OptionError(
        `${picture} is ${shown(image)}; pass an AimImage, { width, height, data } with RGBA bytes, or the bytes of an image file.`,
      );
    const given = { width: width!, height: height!, data } as EncodeInput;
    checkData(picture, given);
    // Floats of the right size need no rounding to bytes.
    if (isFloats(data) && width === size && height === size) return data;
    const bytes = isFloats(data) ? new AimImage({ ...given, data }).toRGB() : composite(data, background);
    rgb = { width: width!, height: height!, data: bytes };
  }
  const square = resizeShorter(rgb, size, picture);
  const centre = (side: number) => Math.floor((side - size + 1) / 2);
  return cropSquare(square, size, centre(square.width), centre(square.height), false);
}

/** True for a Uint8Array, also from another realm. */
const isBytes = (value: unknown): value is Uint8Array =>
  ArrayBuffer.isView(value) && (value as Partial<Uint8Array>)[Symbol.toStringTag] === 'Uint8Array';

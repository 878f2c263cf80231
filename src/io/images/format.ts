/** The interface of image formats, and what they share: the limit of pixels, compositing, and errors. */
import { IoError, OptionError } from '../../core/errors.js';

/** A decoded image: [height, width, 3] bytes. */
export interface RgbImage {
  width: number;
  height: number;
  data: Uint8Array<ArrayBuffer>;
}

/** Red, green and blue, from 0 to 255. */
export type Rgb = readonly [number, number, number];

/** How images are decoded. */
export interface DecodeOptions {
  /** The colour behind transparent pixels. Default: white. */
  background?: Rgb | undefined;
  /** Images with more pixels are refused before they are decoded. Default: `MAX_PIXELS`. */
  maxPixels?: number | undefined;
}

/** One image format: an entry of the table in index.ts. */
export interface ImageFormat {
  /** Name for messages, e.g. 'PNG'. */
  readonly name: string;
  /** File extensions in lower case, without the dot. The first is the usual one. */
  readonly extensions: readonly string[];
  /** True if a file that begins with `bytes` claims to have this format. */
  test(bytes: Uint8Array): boolean;
  /** Looks for what decoding needs beyond the library; `unavailable` then knows whether it is there. */
  prepare?(): Promise<void>;
  /** The reason why this runtime cannot decode the format, with the remedy. Returns undefined if it can. Call `prepare` before. */
  unavailable?(): string | undefined;
  /** Decodes an image. `name` is for messages. Throws IoError if it is damaged, too large or not supported. */
  decode(bytes: Uint8Array, name: string, options?: DecodeOptions): Promise<RgbImage>;
  /** Encodes an image. Formats without this can only be read. */
  encode?(image: RgbImage): Promise<Uint8Array>;
}

/** 64 megapixels: more than most cameras make. Decoding takes at most a few hundred megabytes. */
export const MAX_PIXELS = 64e6;

/** Throws IoError if the size in a header is larger than allowed, OptionError if the limit is invalid. */
export function checkPixels(width: number, height: number, name: string, { maxPixels = MAX_PIXELS }: DecodeOptions): void {
  if (!(maxPixels > 0)) throw new OptionError(`maxPixels is ${maxPixels}; it must be a positive number of pixels.`);
  if (width * height > maxPixels)
    throw new IoError(
      `${name} has ${width}×${height} pixels, more than the ${maxPixels / 1e6} megapixels allowed; save it smaller` +
        ' (or raise maxPixels).',
    );
}

/** Throws OptionError unless `background` is three bytes. */
export function checkBackground(background: Rgb): void {
  if (background.length !== 3 || !background.every((v) => Number.isInteger(v) && v >= 0 && v <= 255))
    throw new OptionError(`background is ${JSON.stringify(background)}; it must be red, green and blue from 0 to 255.`);
}

export const WHITE: Rgb = [255, 255, 255];

/** Composites [n, 4] bytes of red, green, blue and opacity over `background` to [n, 3]. */
export function composite(rgba: ArrayLike<number>, background: Rgb = WHITE): Uint8Array<ArrayBuffer> {
  checkBackground(background);
  const out = new Uint8Array((rgba.length / 4) * 3);
  for (let i = 0, o = 0; o < out.length; i += 4) {
    const a = rgba[i + 3]! / 255;
    for (let c = 0; c < 3; c++) out[o++] = a === 1 ? rgba[i + c]! : Math.round(rgba[i + c]! * a + background[c]! * (1 - a));
  }
  return out;
}

/** The error for a damaged file. */
export function damaged(format: string, name: string, what: string, cause?: unknown): IoError {
  return new IoError(`${name} is a damaged ${format} file: ${what}; save or download it again.`, { cause });
}

/** Big-endian number of 4 bytes. */
export const uint32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;

/** True if `bytes` has the characters of `text` at `at`. */
export function hasText(bytes: Uint8Array, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text.charCodeAt(i)) return false;
  return true;
}

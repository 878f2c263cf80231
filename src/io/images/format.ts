/** What an image format is, and what the formats share: the limit of pixels and compositing. */
import { IoError, OptionError } from '../../core/errors.js';

/** A decoded image: [height, width, 3] bytes. */
export interface RgbImage {
  width: number;
  height: number;
  data: Uint8Array<ArrayBuffer>;
}

/** Bytes of red, green and blue. */
export type Rgb = readonly [number, number, number];

export interface DecodeOptions {
  /** The colour behind transparent pixels. Default: white. */
  background?: Rgb | undefined;
  /** Images with more pixels are refused before any is decoded. Default: `MAX_PIXELS`. */
  maxPixels?: number | undefined;
}

/** One entry of the table in index.ts. */
export interface ImageFormat {
  /** For messages, e.g. 'PNG'. */
  readonly name: string;
  /** Lower case, without the dot; the first is the usual one. */
  readonly extensions: readonly string[];
  /** True if a file that starts with `bytes` claims to have this format. */
  test(bytes: Uint8Array): boolean;
  /** Why this runtime cannot decode the format, with the remedy; undefined where it can. */
  unavailable?(): string | undefined;
  /** Decodes an image, which `name` stands for in messages. Throws IoError for what is damaged, too large or not supported. */
  decode(bytes: Uint8Array, name: string, options?: DecodeOptions): Promise<RgbImage>;
  /** The bytes of a file with this image. Formats without it are only read. */
  encode?(image: RgbImage): Promise<Uint8Array>;
}

/** 64 megapixels: more than nearly every camera makes, and at most some hundred megabytes while decoding. */
export const MAX_PIXELS = 64e6;

/** Throws IoError unless the size that a header gives is one to decode. */
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

/** [n, 4] bytes of red, green, blue and opacity over `background` → [n, 3]. */
export function composite(rgba: ArrayLike<number>, background: Rgb = WHITE): Uint8Array<ArrayBuffer> {
  checkBackground(background);
  const out = new Uint8Array((rgba.length / 4) * 3);
  for (let i = 0, o = 0; o < out.length; i += 4) {
    const a = rgba[i + 3]! / 255;
    for (let c = 0; c < 3; c++) out[o++] = a === 1 ? rgba[i + c]! : Math.round(rgba[i + c]! * a + background[c]! * (1 - a));
  }
  return out;
}

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

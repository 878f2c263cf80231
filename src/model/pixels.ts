/** Checks the images that callers pass to `encode` and converts them to the tokenizer's input. */
import { OptionError } from '../core/errors.js';
import { shown } from '../core/options.js';
import type { AimImage } from '../io/image.js';

/** Pixels to encode: an AimImage, or RGBA bytes like ImageData. */
export type EncodeInput = AimImage | { width: number; height: number; data: Uint8ClampedArray | Uint8Array };

/** Images of one size. */
export interface PixelBatch {
  /** [count, height, width, 3] */
  shape: [number, number, number, number];
  /** Values in [-1, 1]. */
  pixels: Float32Array;
}

/** True for a Float32Array, also from another realm (an iframe, a test runner's sandbox). */
export const isFloats = (data: unknown): data is Float32Array =>
  ArrayBuffer.isView(data) && (data as Partial<Float32Array>)[Symbol.toStringTag] === 'Float32Array';

/**
 * Groups consecutive images of one size into batches, in order. Throws OptionError for a value that is not an image, for sides
 * that are not multiples of `factor`, and for pixels that are not finite.
 */
export function* pixelBatches(images: readonly EncodeInput[], factor: number): Generator<PixelBatch> {
  checkImages(images);
  images.forEach((image, i) => {
    checkSize(image, factor);
    checkData(`encode: image ${i}`, image);
  });
  for (let at = 0; at < images.length; ) {
    const { width, height } = images[at]!;
    let end = at + 1;
    while (end < images.length && images[end]!.width === width && images[end]!.height === height) end++;
    const per = width * height * 3;
    const pixels = new Float32Array((end - at) * per);
    images.slice(at, end).forEach((image, k) => {
      pixels.set(isFloats(image.data) ? image.data : rgbaToFloats(image.data), k * per);
    });
    yield { shape: [end - at, height, width, 3], pixels };
    at = end;
  }
}

/** Throws OptionError unless the argument is a list of what may be images. */
export function checkImages(images: readonly EncodeInput[]): void {
  if (!Array.isArray(images))
    throw new OptionError(`encode: the images are ${shown(images)}; pass a list of AimImages or of { width, height, data }.`);
  images.forEach((image, index) => {
    const { width, height, data } = (image ?? {}) as Partial<EncodeInput>;
    if (!(Number.isInteger(width) && Number.isInteger(height) && ArrayBuffer.isView(data)))
      throw new OptionError(
        `encode: image ${index} is ${shown(image)}; pass an AimImage or { width, height, data } with RGBA bytes.`,
      );
  });
}

function checkSize({ width, height }: EncodeInput, factor: number): void {
  if (width < 1 || height < 1 || width % factor || height % factor)
    throw new OptionError(`encode: an image is ${width}×${height}; its sides must be multiples of ${factor}: resize or crop it.`);
}

/** Throws OptionError, beginning with `name`, unless the data fits the sides and is finite. */
export function checkData(name: string, { width, height, data }: EncodeInput): void {
  const floats = isFloats(data);
  const length = width * height * (floats ? 3 : 4);
  if (data.length !== length)
    throw new OptionError(
      `${name} of ${width}×${height} ${floats ? 'RGB' : 'RGBA'} needs ${length} ${floats ? 'floats' : 'bytes'}, got ${data.length}.`,
    );
  const bad = floats ? data.findIndex((v) => !Number.isFinite(v)) : -1;
  if (bad >= 0) throw new OptionError(`${name} has ${data[bad]} as value ${bad}; pixels must be finite, from -1 to 1.`);
}

/** RGB of RGBA bytes, in [-1, 1]. */
export function rgbaToFloats(data: ArrayLike<number>): Float32Array {
  const out = new Float32Array((data.length / 4) * 3);
  for (let i = 0, j = 0; i < data.length; i += 4) {
    for (let c = 0; c < 3; c++) out[j++] = data[i + c]! / 127.5 - 1;
  }
  return out;
}

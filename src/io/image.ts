/** Images of the decoder's floats, and their conversion to bytes: byte = round((v + 1)·127.5), clamped to 0..255. */
import { CheckpointError, OptionError, ShapeError } from '../core/errors.js';
import { encodePng } from './images/png_encode.js';

/** The fields of a new AimImage. */
export interface AimImageInit {
  width: number;
  height: number;
  /** RGB interleaved, [height, width, 3], in [-1, 1]; not copied. */
  data: Float32Array;
  /** The class that the image was drawn for. */
  label?: number | undefined;
  /** The seed that the image was drawn with. */
  seed?: number | undefined;
}

/** An RGB image of floats, as the decoder returns it. Values are nominally in [-1, 1] and are clamped only by conversions. */
export class AimImage {
  readonly width: number;
  readonly height: number;
  /** RGB interleaved, [height, width, 3]. */
  readonly data: Float32Array;
  readonly label?: number | undefined;
  readonly seed?: number | undefined;

  /**
   * Throws ShapeError unless the data has width·height·3 elements.
   *
   * @param init Size and pixels, and optionally the class and seed that the image was drawn with.
   */
  constructor(init: AimImageInit) {
    const { width, height, data, label, seed } = init;
    const whole = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
    if (!whole || data.length !== width * height * 3)
      throw new ShapeError(
        `an image of ${width}×${height} pixels cannot have ${data.length} values; give width·height·3, RGB interleaved.`,
      );
    this.width = width;
    this.height = height;
    this.data = data;
    this.label = label;
    this.seed = seed;
  }

  /** [height, width, 3] bytes. Throws CheckpointError, naming the pixel, if a value is NaN. */
  toRGB(): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(this.data.length);
    for (let i = 0; i < out.length; i++) out[i] = this.byte(i);
    return out;
  }

  /** [height, width, 4] bytes, opaque. Throws like toRGB. */
  toRGBA(): Uint8ClampedArray<ArrayBuffer> {
    const out = new Uint8ClampedArray(this.width * this.height * 4);
    for (let i = 0, o = 0; i < this.data.length; ) {
      out[o++] = this.byte(i++);
      out[o++] = this.byte(i++);
      out[o++] = this.byte(i++);
      out[o++] = 255;
    }
    return out;
  }

  /** ImageData for a canvas. Throws OptionError if the runtime has no ImageData (Node), and like toRGB. */
  toImageData(): ImageData {
    if (typeof ImageData === 'undefined')
      throw new OptionError('toImageData() needs a runtime with ImageData, such as a browser; use toRGBA() or toPNG() here.');
    return new ImageData(this.toRGBA(), this.width, this.height);
  }

  /** The bytes of an 8-bit RGB PNG file. Throws like toRGB, and IoError if fast-png is not found (a page without a bundler). */
  async toPNG(): Promise<Uint8Array<ArrayBuffer>> {
    const { width, height } = this;
    return encodePng({ width, height, data: this.toRGB() });
  }

  private byte(i: number): number {
    const v = Math.round((this.data[i]! + 1) * 127.5);
    if (v >= 0) return Math.min(v, 255);
    if (v < 0) return 0;
    const pixel = Math.floor(i / 3);
    throw new CheckpointError(
      `the image has NaN at pixel (${pixel % this.width}, ${Math.floor(pixel / this.width)}): its weights are damaged or their ` +
        'training diverged; take another checkpoint.',
    );
  }
}

/**
 * Arranges images of one size in rows of `columns`, in reading order and `gap` pixels apart. `background` (RGB in [-1, 1],
 * default white) fills gaps and unused places. Throws OptionError for no images, different sizes, or an invalid layout.
 */
export function imageGrid(
  images: readonly AimImage[],
  columns: number,
  gap = 2,
  background: readonly [number, number, number] = [1, 1, 1],
): AimImage {
  const first = images[0];
  if (!first) throw new OptionError('a grid needs at least one image; draw some first.');
  if (!Number.isInteger(columns) || columns < 1) throw new OptionError(`columns is ${columns}; give a whole number from 1.`);
  if (!Number.isInteger(gap) || gap < 0) throw new OptionError(`gap is ${gap}; give a whole number of pixels from 0.`);
  const { width: w, height: h } = first;
  const wide = Math.min(columns, images.length);
  const width = wide * (w + gap) - gap;
  const height = Math.ceil(images.length / wide) * (h + gap) - gap;
  const data = new Float32Array(width * height * 3);
  for (let i = 0; i < data.length; i++) data[i] = background[i % 3]!;
  images.forEach((image, i) => {
    if (image.width !== w || image.height !== h)
      throw new OptionError(
        `image ${i} of the grid is ${image.width}×${image.height} and the first ${w}×${h}; give images of one size.`,
      );
    const left = (i % wide) * (w + gap);
    const top = Math.floor(i / wide) * (h + gap);
    for (let y = 0; y < h; y++) data.set(image.data.subarray(y * w * 3, (y + 1) * w * 3), ((top + y) * width + left) * 3);
  });
  return new AimImage({ width, height, data });
}

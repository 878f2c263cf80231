/** Images between the decoder's floats and bytes: byte = round((v + 1)·127.5), kept in 0..255. PNG through fast-png. */
import { CheckpointError, IoError, OptionError, ShapeError } from '../core/errors.js';

export interface AimImageInit {
  width: number;
  height: number;
  /** RGB interleaved, [height, width, 3], in [-1, 1]; not copied. */
  data: Float32Array;
  /** The class it was drawn for. */
  label?: number | undefined;
  /** The seed it was drawn with. */
  seed?: number | undefined;
}

/** An RGB image of floats, as the decoder gives it: nominally in [-1, 1], clamped only in conversions. */
export class AimImage {
  readonly width: number;
  readonly height: number;
  /** RGB interleaved, [height, width, 3]. */
  readonly data: Float32Array;
  readonly label?: number | undefined;
  readonly seed?: number | undefined;

  /** Throws ShapeError unless data has width·height·3 elements. */
  constructor({ width, height, data, label, seed }: AimImageInit) {
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

  /** For a canvas. Throws OptionError where there is no ImageData (Node), and like toRGB. */
  toImageData(): ImageData {
    if (typeof ImageData === 'undefined')
      throw new OptionError('toImageData() needs a runtime with ImageData, such as a browser; use toRGBA() or toPNG() here.');
    return new ImageData(this.toRGBA(), this.width, this.height);
  }

  /** The bytes of an 8-bit RGB PNG file. Throws like toRGB, and IoError where fast-png is not found (a page without bundler). */
  async toPNG(): Promise<Uint8Array> {
    const { width, height } = this;
    const data = this.toRGB();
    const { encode } = await import('fast-png').catch(noFastPng);
    return encode({ width, height, data, depth: 8, channels: 3 });
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
 * Images of one size in rows of `columns`, `gap` pixels apart, in reading order. `background` (in [-1, 1], white unless
 * given) fills gaps and the places left over. Throws OptionError without images, for other sizes or a bad layout.
 */
export function grid(
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

/** A decoded image: [height, width, 3] bytes. */
export interface RgbImage {
  width: number;
  height: number;
  data: Uint8Array<ArrayBuffer>;
}

/**
 * Decodes a PNG of grey, palette, RGB or RGBA, 1 to 16 bits, to RGB bytes; 16-bit values are rounded to 8 and transparency
 * is dropped. Throws IoError for what is no PNG, is damaged, or is interlaced below 8 bits (fast-png misreads those), and like
 * toPNG where fast-png is not found.
 */
export async function decodePng(bytes: Uint8Array, name = 'the image'): Promise<RgbImage> {
  checkStart(bytes, name);
  const { decode } = await import('fast-png').catch(noFastPng);
  try {
    const { width, height, data, depth, channels, palette } = decode(bytes, { checkCrc: true });
    if (bytes[25] === 3 && !palette) throw new Error('it has no palette');
    const rgb = new Uint8Array(width * height * 3);
    const perLine = data.length / height;
    const max = 2 ** depth - 1;
    const sample = (y: number, i: number): number => {
      if (depth >= 8) return data[y * perLine + i]!;
      const bit = i * depth;
      return (data[y * perLine + (bit >> 3)]! >> (8 - depth - (bit & 7))) & max;
    };
    for (let y = 0, o = 0; y < height; y++) {
      for (let x = 0; x < width; x++, o += 3) {
        for (let c = 0; c < 3; c++) {
          const value = sample(y, x * channels + (channels < 3 ? 0 : c));
          if (!palette) rgb[o + c] = Math.round((value * 255) / max);
          else if (palette[value]) rgb[o + c] = palette[value][c]!;
          else throw new Error(`colour ${value} is not in the palette of ${palette.length}`);
        }
      }
    }
    return { width, height, data: rgb };
  } catch (error) {
    throw broken(name, (error as Error).message, error);
  }
}

/** The signature and a header that the file is long enough for, so that decoding cannot be made to allocate without bound. */
function checkStart(bytes: Uint8Array, name: string): void {
  const signature = [137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82];
  if (!signature.slice(0, 8).every((b, i) => bytes[i] === b)) throw new IoError(`${name} is not a PNG file; convert it to PNG.`);
  if (bytes.length < 33 || !signature.every((b, i) => bytes[i] === b)) throw broken(name, 'it has no IHDR');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [width, height, depth, kind] = [view.getUint32(16), view.getUint32(20), bytes[24]!, bytes[25]!];
  if (width === 0 || height === 0) throw broken(name, `its size is ${width}×${height}`);
  const channels = [1, 0, 3, 1, 2, 0, 4][kind] ?? 0;
  // Deflate makes at most 1032 bytes of one.
  if (Math.ceil((width * depth * channels) / 8) * height > bytes.length * 1032)
    throw broken(name, `${bytes.length} bytes cannot hold ${width}×${height} pixels`);
  if (depth < 8 && bytes[28] !== 0)
    throw new IoError(`${name} is an interlaced PNG of ${depth} bits; save it without interlacing.`);
}

/** Bundlers, Node and Deno find the package by its name; a page has to be told where it is. */
function noFastPng(cause: unknown): never {
  throw new IoError(
    'PNG needs the package fast-png, which was not found; in a page without bundler say where it is, before any module script: ' +
      '<script type="importmap">{"imports":{"fast-png":"https://cdn.jsdelivr.net/npm/fast-png@8/+esm"}}</script>, or use the ' +
      'script-tag build, dist/aim.iife.min.js, which has it inside; elsewhere install fast-png.',
    { cause },
  );
}

function broken(name: string, what: string, cause?: unknown): IoError {
  return new IoError(`${name} is a damaged PNG file: ${what}; save or download it again.`, { cause });
}

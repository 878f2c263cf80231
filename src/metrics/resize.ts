/** The input of the FID network: images resized as TensorFlow 1 does it (no half-pixel offset, no smoothing), about [-1, 1]. */
import { OptionError, ShapeError } from '../core/errors.js';

/**
 * Resizes an image [height, width, channels] of values 0…255 to [side, side, channels] of (x − 128)/128. Row i of the result is
 * interpolated at i·height/side, as TensorFlow 1's resize_bilinear does with align_corners = false. Published FIDs use this.
 */
export function resizeForInception(
  pixels: ArrayLike<number>,
  width: number,
  height: number,
  { side = 299, channels = 3 }: { side?: number; channels?: number } = {},
): Float32Array<ArrayBuffer> {
  for (const [name, value] of Object.entries({ width, height, side, channels }))
    if (!Number.isInteger(value) || value < 1) throw new OptionError(`${name} is ${value}; it must be an integer of at least 1.`);
  if (pixels.length !== width * height * channels)
    throw new ShapeError(`${pixels.length} values are no image of ${width}×${height}×${channels}; pass all of its pixels.`);
  const columns = taps(width, side);
  const rows = taps(height, side);
  const out = new Float32Array(side * side * channels);
  for (let y = 0; y < side; y++) {
    const { from: top, to: bottom, weight: down } = rows[y]!;
    for (let x = 0; x < side; x++) {
      const { from: left, to: right, weight: across } = columns[x]!;
      for (let c = 0; c < channels; c++) {
        const at = (row: number, column: number) => pixels[(row * width + column) * channels + c]!;
        const upper = at(top, left) + (at(top, right) - at(top, left)) * across;
        const lower = at(bottom, left) + (at(bottom, right) - at(bottom, left)) * across;
        out[(y * side + x) * channels + c] = (upper + (lower - upper) * down - 128) / 128;
      }
    }
  }
  return out;
}

function taps(from: number, to: number): { from: number; to: number; weight: number }[] {
  return Array.from({ length: to }, (_, i) => {
    const place = (i * from) / to;
    const first = Math.min(from - 1, Math.floor(place));
    return { from: first, to: Math.min(from - 1, first + 1), weight: place - first };
  });
}

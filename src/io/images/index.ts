/** The table of image formats. A new format is a file here and an entry in IMAGE_FORMATS. */
import { IoError } from '../../core/errors.js';
import { bmp } from './bmp.js';
import type { DecodeOptions, ImageFormat, RgbImage } from './format.js';
import { gif } from './gif.js';
import { jpeg } from './jpeg.js';
import { png } from './png.js';
import { webp } from './webp.js';

export type { DecodeOptions, ImageFormat, Rgb, RgbImage } from './format.js';

/** In the order in which texts name them. */
export const IMAGE_FORMATS: readonly ImageFormat[] = [png, jpeg, bmp, gif, webp];

const listed = (names: readonly string[]) => names.join(', ').replace(/, ([^,]*)$/, ' or $1');

/** The formats that this runtime reads, for texts: 'PNG, JPEG or BMP'. */
export const readableFormats = () => listed(IMAGE_FORMATS.filter((f) => !f.unavailable?.()).map((f) => f.name));

/** The endings of the formats that are written, for texts: '.png or .jpg'. */
export const writableExtensions = () => listed(IMAGE_FORMATS.filter((f) => f.encode).map((f) => `.${f.extensions[0]}`));

/** The format that a file name claims, if it is in the table. */
export function formatOfName(name: string): ImageFormat | undefined {
  const extension = /\.([^./\\]+)$/.exec(name)?.[1]?.toLowerCase();
  return IMAGE_FORMATS.find((f) => extension !== undefined && f.extensions.includes(extension));
}

/** Decodes an image by its content, since names are often wrong. Throws IoError for what none of the formats is. */
export async function decodeImage(bytes: Uint8Array, name: string, options: DecodeOptions = {}): Promise<RgbImage> {
  if (bytes.length === 0) throw new IoError(`${name} is empty; save or download it again.`);
  const format = IMAGE_FORMATS.find((f) => f.test(bytes));
  if (!format) throw new IoError(`${name} is not a ${readableFormats()} file; convert it to PNG.`);
  return format.decode(bytes, name, options);
}

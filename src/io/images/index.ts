/** The table of image formats. A new one is a file here and a line in list.ts. */
import { IoError } from '../../core/errors.js';
import type { DecodeOptions, ImageFormat, RgbImage } from './format.js';
import * as list from './list.js';

export type { DecodeOptions, ImageFormat, Rgb, RgbImage } from './format.js';

/** All formats, in the order of their names. */
export const IMAGE_FORMATS: readonly ImageFormat[] = Object.values(list);

const listed = (names: readonly string[]) => names.join(', ').replace(/, ([^,]*)$/, ' or $1');

/** Looks for the packages that some formats need, so that it is known which formats this runtime reads. */
export const prepareFormats = async (): Promise<void> => {
  await Promise.all(IMAGE_FORMATS.map((format) => format.prepare?.()));
};

/** The formats that this runtime reads, as text: 'PNG, JPEG or BMP'. Call `prepareFormats` before. */
export const readableFormats = () => listed(IMAGE_FORMATS.filter((f) => !f.unavailable?.()).map((f) => f.name));

/** The extensions of the formats that can be written, as text: '.png or .jpg'. */
export const writableExtensions = () => listed(IMAGE_FORMATS.filter((f) => f.encode).map((f) => `.${f.extensions[0]}`));

/** The format that a file name claims. Returns undefined if it is not in the table. */
export function formatOfName(name: string): ImageFormat | undefined {
  const extension = /\.([^./\\]+)$/.exec(name)?.[1]?.toLowerCase();
  return IMAGE_FORMATS.find((f) => extension !== undefined && f.extensions.includes(extension));
}

/** Decodes an image by its content, because names are often wrong. Throws IoError if no format of the table fits. */
export async function decodeImage(bytes: Uint8Array, name: string, options: DecodeOptions = {}): Promise<RgbImage> {
  if (bytes.length === 0) throw new IoError(`${name} is empty; save or download it again.`);
  const format = IMAGE_FORMATS.find((f) => f.test(bytes));
  if (!format) throw new IoError(`${name} is not a ${readableFormats()} file; convert it to PNG.`);
  return format.decode(bytes, name, options);
}

/** Formats that only browsers decode: no package for them is light, without WebAssembly and maintained. */
import { AimError, IoError } from '../../core/errors.js';
import { decodeByCanvas, hasCanvas } from './canvas.js';
import { checkPixels, type DecodeOptions, damaged, type ImageFormat } from './format.js';

interface BrowserFormat extends Pick<ImageFormat, 'name' | 'extensions' | 'test'> {
  /** For example 'image/webp'. */
  type: string;
  /** The size that the header gives; undefined where it cannot be told. */
  size(bytes: Uint8Array): readonly [width: number, height: number] | undefined;
}

export function browserFormat({ type, size, ...format }: BrowserFormat): ImageFormat {
  const { name: kind, extensions } = format;
  const unavailable = () =>
    hasCanvas()
      ? undefined
      : `${kind} is read in browsers only; convert it to PNG first, e.g. \`magick x.${extensions[0]} x.png\``;
  return {
    ...format,
    unavailable,
    async decode(bytes, name, options: DecodeOptions = {}) {
      const why = unavailable();
      if (why) throw new IoError(`${name}: ${why}.`);
      const [width, height] = size(bytes) ?? [0, 0];
      if (!(width > 0 && height > 0)) throw damaged(kind, name, 'its header gives no size');
      checkPixels(width, height, name, options);
      try {
        return (await decodeByCanvas(bytes, type, options))!;
      } catch (error) {
        if (error instanceof AimError) throw error;
        throw damaged(kind, name, (error as Error).message, error);
      }
    },
  };
}

/** Formats that only browsers decode, because no package for them is light, maintained and free of WebAssembly. */
import { AimError, IoError } from '../../core/errors.js';
import { decodeByCanvas, hasCanvas } from './canvas.js';
import { checkPixels, type DecodeOptions, damaged, type ImageFormat } from './format.js';

interface BrowserFormat extends Pick<ImageFormat, 'name' | 'extensions' | 'test'> {
  /** The media type, e.g. 'image/webp'. */
  type: string;
  /** The size in the header. Returns undefined if it cannot be read. */
  size(bytes: Uint8Array): readonly [width: number, height: number] | undefined;
}

/** Makes the entry of a format that only browsers decode. */
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

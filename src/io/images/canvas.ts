/** Decodes images with the browser's canvas. Node, Deno and Bun have none. */
import { composite, type DecodeOptions, type RgbImage } from './format.js';

/** A canvas context. Callers get it first, because Deno has createImageBitmap but no canvas to read the pixels from. */
function canvas(width: number, height: number): OffscreenCanvasRenderingContext2D | undefined {
  if (typeof createImageBitmap !== 'function' || typeof OffscreenCanvas !== 'function') return undefined;
  try {
    return new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true }) ?? undefined;
  } catch {
    return undefined;
  }
}

/** True if the runtime has a canvas to read pixels from. */
export const hasCanvas = (): boolean => canvas(1, 1) !== undefined;

/** Decodes an image. Returns undefined if there is no canvas. Throws the browser's error for what it cannot decode. */
export async function decodeByCanvas(
  bytes: Uint8Array,
  type: string,
  { background }: DecodeOptions = {},
): Promise<RgbImage | undefined> {
  if (!hasCanvas()) return undefined;
  const blob = new Blob([bytes as Uint8Array<ArrayBuffer>], { type });
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
  const { width, height } = bitmap;
  const context = canvas(width, height);
  context?.drawImage(bitmap, 0, 0);
  bitmap.close();
  if (!context) return undefined;
  return { width, height, data: composite(context.getImageData(0, 0, width, height).data, background) };
}

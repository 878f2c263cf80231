/** Pictures of the visitor before and after the tokenizer: what a model can see of them. */
import type { AiM } from 'aim-js/worker';
import { element } from './dom.js';
import { strip } from './gallery.js';

/** Most pictures that are shown. */
const MAX_PICTURES = 10;

/** The centre of a picture at size × size pixels, framed as `aim tokenize` frames it. */
async function squared(file: File, size: number): Promise<ImageData> {
  const picture = await createImageBitmap(file);
  const scale = (1.125 * size) / Math.min(picture.width, picture.height);
  const [width, height] = [picture.width * scale, picture.height * scale];
  const canvas = element('canvas', { width: size, height: size });
  const context = canvas.getContext('2d', { willReadFrequently: true })!;
  context.imageSmoothingQuality = 'high';
  context.fillStyle = '#fff';
  context.fillRect(0, 0, size, size);
  context.drawImage(picture, (size - width) / 2, (size - height) / 2, width, height);
  picture.close();
  return context.getImageData(0, 0, size, size);
}

/** Evenly spaced files of a list, so that a folder sorted by class shows several classes. */
function spread(files: readonly File[]): File[] {
  const length = Math.min(MAX_PICTURES, files.length);
  return Array.from({ length }, (_, i) => files[Math.floor((i * files.length) / length)]!);
}

/** Up to ten of the pictures as squares of `size` pixels. A file that the browser cannot read is left out. */
export async function squares(files: readonly File[], size: number): Promise<ImageData[]> {
  const read = await Promise.all(spread(files).map((file) => squared(file, size).catch(() => undefined)));
  return read.filter((picture) => picture !== undefined);
}

/**
 * Shows up to ten of the pictures in `root`, and below each what the tokenizer of `aim` reconstructs from its tokens. Returns their
 * codes: a file that the browser cannot read is left out, and nothing is shown if that leaves none. Rejects when the model is
 * replaced meanwhile.
 */
export async function showReconstructions(aim: AiM, files: readonly File[], root: HTMLElement): Promise<Uint32Array[]> {
  const originals = await squares(files, aim.config.image_size);
  if (originals.length === 0) return [];
  const codes = await aim.encode(originals);
  const decoded = await aim.decode(codes);
  root.replaceChildren(
    strip(originals, 'The pictures'),
    strip(
      decoded.map((image) => image.toImageData()),
      'The same pictures after the tokenizer',
    ),
  );
  return codes;
}

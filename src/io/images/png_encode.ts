/** Encodes PNG by fast-png. Apart from the decoder, because what only draws and writes images does not load that. */
import { IoError } from '../../core/errors.js';
import type { RgbImage } from './format.js';

/** The bytes of an 8-bit RGB PNG file. Throws IoError if fast-png is not found (a page without a bundler). */
export async function encodePng({ width, height, data }: RgbImage): Promise<Uint8Array<ArrayBuffer>> {
  const { encode } = await import('fast-png').catch(noFastPng);
  return encode({ width, height, data, depth: 8, channels: 3 }) as Uint8Array<ArrayBuffer>;
}

/** Loads fast-png. Bundlers, Node and Deno find the package by its name; a page needs an import map. */
function noFastPng(cause: unknown): never {
  throw new IoError(
    'PNG needs the package fast-png, which was not found; in a page without bundler say where it is, before any module script: ' +
      '<script type="importmap">{"imports":{"fast-png":"https://cdn.jsdelivr.net/npm/fast-png@8/+esm"}}</script>, or use the ' +
      'script-tag build, dist/aim.iife.min.js, which has it inside; elsewhere install fast-png.',
    { cause },
  );
}

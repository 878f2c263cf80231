/** AVIF (AV1 Image File Format, aomediacodec.github.io/av1-avif), still images. */
import { hasText, uint32 } from './format.js';
import { packageFormat } from './package_format.js';

export const avif = packageFormat({
  name: 'AVIF',
  extensions: ['avif'],
  type: 'image/avif',
  package: '@jsquash/avif',
  wasm: 'codec/dec/avif_dec.wasm',
  // The brands that the file is made for: the main one, a version, then others.
  test(bytes) {
    if (!hasText(bytes, 4, 'ftyp')) return false;
    for (let at = 8; at + 4 <= Math.min(uint32(bytes, 0), bytes.length); at += 4) if (hasText(bytes, at, 'avif')) return true;
    return false;
  },
  // The property ispe of each item of the file (ISO/IEC 23008-12), of which the largest counts.
  size(b) {
    let size: [number, number] | undefined;
    for (let at = 12; at + 16 <= b.length; at++)
      if (hasText(b, at, 'ispe')) {
        const found: [number, number] = [uint32(b, at + 8), uint32(b, at + 12)];
        if (!size || found[0] * found[1] > size[0] * size[1]) size = found;
      }
    return size;
  },
});

/** WebP (RFC 9649), lossy and lossless. In Node, Deno and Bun animations are not read. */
import { orientation } from './exif.js';
import { hasText } from './format.js';
import { packageFormat } from './package_format.js';

const ANIMATED = 2;

export const webp = packageFormat({
  name: 'WebP',
  extensions: ['webp'],
  type: 'image/webp',
  package: '@jsquash/webp',
  wasm: 'codec/dec/webp_dec.wasm',
  test: (bytes) => hasText(bytes, 0, 'RIFF') && hasText(bytes, 8, 'WEBP'),
  size(b) {
    if (hasText(b, 12, 'VP8X'))
      return [1 + (b[24]! | (b[25]! << 8) | (b[26]! << 16)), 1 + (b[27]! | (b[28]! << 8) | (b[29]! << 16))];
    if (hasText(b, 12, 'VP8L'))
      return [1 + (((b[22]! & 63) << 8) | b[21]!), 1 + (((b[24]! & 15) << 10) | (b[23]! << 2) | (b[22]! >> 6))];
    if (hasText(b, 12, 'VP8 ')) return [(b[26]! | (b[27]! << 8)) & 0x3fff, (b[28]! | (b[29]! << 8)) & 0x3fff];
    return undefined;
  },
  unsupported: (b) => (hasText(b, 12, 'VP8X') && b[20]! & ANIMATED ? 'an animation' : undefined),
  orientation(b) {
    for (let at = 12; at + 8 <= b.length; ) {
      const length = (b[at + 4]! | (b[at + 5]! << 8) | (b[at + 6]! << 16) | (b[at + 7]! << 24)) >>> 0;
      // Some programs write the marker of JPEG before the header.
      if (hasText(b, at, 'EXIF')) return orientation(b.subarray(at + (hasText(b, at + 8, 'Exif\0\0') ? 14 : 8), at + 8 + length));
      at += 8 + length + (length & 1);
    }
    return 1;
  },
});

/** WebP (RFC 9649), in browsers only. */
import { browserFormat } from './browser_format.js';
import { hasText } from './format.js';

export const webp = browserFormat({
  name: 'WebP',
  extensions: ['webp'],
  type: 'image/webp',
  test: (bytes) => hasText(bytes, 0, 'RIFF') && hasText(bytes, 8, 'WEBP'),
  size(b) {
    if (hasText(b, 12, 'VP8X'))
      return [1 + (b[24]! | (b[25]! << 8) | (b[26]! << 16)), 1 + (b[27]! | (b[28]! << 8) | (b[29]! << 16))];
    if (hasText(b, 12, 'VP8L'))
      return [1 + (((b[22]! & 63) << 8) | b[21]!), 1 + (((b[24]! & 15) << 10) | (b[23]! << 2) | (b[22]! >> 6))];
    if (hasText(b, 12, 'VP8 ')) return [(b[26]! | (b[27]! << 8)) & 0x3fff, (b[28]! | (b[29]! << 8)) & 0x3fff];
    return undefined;
  },
});

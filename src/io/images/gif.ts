/** GIF, in browsers only. Decodes the first picture. */
import { browserFormat } from './browser_format.js';
import { hasText } from './format.js';

export const gif = browserFormat({
  name: 'GIF',
  extensions: ['gif'],
  type: 'image/gif',
  test: (bytes) => hasText(bytes, 0, 'GIF87a') || hasText(bytes, 0, 'GIF89a'),
  size: (b) => [b[6]! | (b[7]! << 8), b[8]! | (b[9]! << 8)],
});

/** Damaged JPEG files. */
import { readFileSync } from 'node:fs';
import { damaged, mutated } from './mutated.mjs';
import { consistent } from './mutated_png.mjs';

const FILES = ['cmyk_noadobe.jpg', 'rgb_adobe0.jpg'];
const SEGMENTS = [0xc0, 0xc1, 0xc2, 0xc4, 0xd8, 0xd9, 0xda, 0xdb, 0xdd, 0xe0, 0xe1, 0xee, 0xfe];

export const mutatedJpeg = mutated({
  name: 'jpeg',
  url: import.meta.url,
  files: 2000,
  share: 28,
  bases: async ({ jpeg }) => [
    ...FILES.map((file) => readFileSync(new URL(`../../test/fixtures/images/${file}`, import.meta.url))),
    await jpeg.encode({ width: 9, height: 7, data: Uint8Array.from({ length: 189 }, (_, i) => i) }),
  ],
  damage(tools, base) {
    const bytes = Buffer.from(damaged(tools, base));
    // Another kind of segment, or another size of one.
    if (tools.chance(0.4))
      for (let at = tools.int(bytes.length), n = 0; n < bytes.length; n++, at = (at + 1) % bytes.length)
        if (bytes[at] === 0xff && bytes[at + 1] >= 0xc0 && at + 4 < bytes.length) {
          if (tools.chance(0.5)) bytes[at + 1] = tools.pick(SEGMENTS);
          else bytes.writeUInt16BE(tools.int(tools.chance(0.8) ? 40 : 65536), at + 2);
          break;
        }
    return bytes;
  },
  read: ({ decodeImage }, bytes) => consistent(decodeImage(bytes, 'x.jpg')),
});

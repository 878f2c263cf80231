/** Damaged GIF, WebP and AVIF files. */
import { readFileSync } from 'node:fs';
import { damaged, mutated } from './mutated.mjs';
import { consistent } from './mutated_png.mjs';

const FILES = ['interlaced.gif', 'lossless.webp', 'lossy.webp', 'still.avif'];
/** What the parts of these files begin with. */
const TOKENS = [
  'VP8 ',
  'VP8L',
  'VP8X',
  'ALPH',
  'ANIM',
  'EXIF',
  'RIFF',
  ',\0\0\0\0',
  '!\xf9\x04\x01',
  ';',
  'ispe',
  'meta',
  'mdat',
  'iloc',
  'av1C',
];

export const mutatedPictures = mutated({
  name: 'pictures',
  url: import.meta.url,
  files: 4000,
  share: 20,
  bases: async () => FILES.map((file) => readFileSync(new URL(`../../test/fixtures/images/${file}`, import.meta.url))),
  damage: (tools, base) => damaged(tools, base, TOKENS),
  read: ({ decodeImage }, bytes) => consistent(decodeImage(bytes, 'x.webp')),
});

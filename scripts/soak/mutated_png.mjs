/** Damaged PNG files, mostly with checksums that are right, so that the damage reaches what is behind them. */
import { readFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';
import { damaged, mutated } from './mutated.mjs';

const FILES = ['iccp_bad.png', 'no_iend.png', 'palette4_adam7.png'];

export const mutatedPng = mutated({
  name: 'png',
  url: import.meta.url,
  files: 4000,
  share: 11,
  bases: async ({ encodePng }) => [
    ...FILES.map((file) => readFileSync(new URL(`../../test/fixtures/images/${file}`, import.meta.url))),
    await encodePng({ width: 9, height: 7, data: Uint8Array.from({ length: 189 }, (_, i) => i) }),
  ],
  damage(tools, base, { crc32 }) {
    if (tools.chance(0.3)) return invented(tools, crc32);
    const bytes = damaged(tools, base);
    if (tools.chance(0.8)) repairChecksums(bytes, crc32);
    return bytes;
  },
  read: ({ decodeImage }, bytes) => consistent(decodeImage(bytes, 'x.png')),
});

/** Says what is wrong with an image. */
export async function consistent(image) {
  const { width, height, data } = await image;
  return data.length !== width * height * 3 ? `${width}×${height} pixels have ${data.length} bytes` : undefined;
}

function repairChecksums(bytes, crc32) {
  for (let at = 8; at + 12 <= bytes.length; ) {
    const end = at + 8 + bytes.readUInt32BE(at);
    if (end + 4 > bytes.length) break;
    bytes.writeUInt32BE(crc32(bytes.subarray(at + 4, end)), end);
    at = end + 4;
  }
}

/** A PNG of a header by chance, and pixels of a number that may not be that of the header. */
function invented({ int, pick, chance }, crc32) {
  const header = Buffer.alloc(13);
  const side = () => (chance(0.9) ? int(20) : pick([1000, 8000, 65535, 2 ** 31 - 1]));
  header.writeUInt32BE(side(), 0);
  header.writeUInt32BE(side(), 4);
  header.set([pick([1, 2, 4, 8, 16]), pick([0, 2, 3, 4, 6]), 0, 0, int(2)], 8);
  const pixels = Buffer.alloc(chance(0.995) ? int(2000) : 2 ** 22 + int(2 ** 22));
  for (let i = 0; i < pixels.length; i += 1 + int(9)) pixels[i] = int(7);
  const chunks = [
    ['IHDR', header],
    ...(chance(0.5) ? [['PLTE', Buffer.alloc(3 * int(300))]] : []),
    ...(chance(0.3) ? [['tRNS', Buffer.alloc(int(300))]] : []),
    ['IDAT', deflateSync(pixels, { level: 1 })],
    ['IEND', Buffer.alloc(0)],
  ];
  const bytes = Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]),
    ...chunks.flatMap(([type, data]) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(data.length);
      return [length, Buffer.from(type), data, Buffer.alloc(4)];
    }),
  ]);
  repairChecksums(bytes, crc32);
  return bytes;
}

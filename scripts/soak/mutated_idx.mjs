/** Damaged IDX files, plain and as .gz. */
import { gunzipSync, gzipSync } from 'node:zlib';
import { damaged, mutated } from './mutated.mjs';

const isGzip = (bytes) => bytes[0] === 0x1f && bytes[1] === 0x8b;

export const mutatedIdx = mutated({
  name: 'idx',
  url: import.meta.url,
  files: 5000,
  share: 8,
  bases() {
    const plain = Buffer.alloc(16 + 3 * 16, 7);
    [0x803, 3, 4, 4].forEach((value, i) => void plain.writeUInt32BE(value, 4 * i));
    return [plain, gzipSync(plain)];
  },
  // Damage before or after compression.
  damage: (tools, base) =>
    isGzip(base) && tools.chance(0.6) ? gzipSync(damaged(tools, gunzipSync(base)), { level: 1 }) : damaged(tools, base),
  async read({ readIdx, bytesSource }, bytes) {
    const name = isGzip(bytes) ? 'x.gz' : 'x';
    const folder = { name: 'folder', list: async () => [{ name, folder: false }], open: async () => bytesSource(bytes, name) };
    const { shape, data } = await readIdx(folder, 'x', 3);
    const size = shape.reduce((a, b) => a * b, 1);
    return size === data.length ? undefined : `the shape [${shape}] has ${data.length} bytes`;
  },
});

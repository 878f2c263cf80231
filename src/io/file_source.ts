/** Local files (Node, Deno, Bun) as byte sources. */
import { IoError } from '../core/errors.js';
import { assertRegularFile, MAX_READ, modules, translate } from '../platform/files.js';
import { type ByteSource, checkRange } from './bytes.js';

/**
 * Opens a file for reading at any position. Only the requested bytes are read. Throws IoError with the path, also if it is not a
 * regular file.
 */
export async function openFile(path: string): Promise<ByteSource> {
  const fs = await modules(path);
  await assertRegularFile(path);
  const { handle, size } = await translate(path, 'read', async () => {
    const handle = await fs.open(path, 'r');
    try {
      return { handle, size: (await handle.stat()).size };
    } catch (error) {
      await handle.close();
      throw error;
    }
  });
  let open = true;
  return {
    name: path,
    size,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      if (!open) throw new IoError(`${path} was read after close(); open it again.`);
      checkRange(path, size, offset, length);
      const out = new Uint8Array(length);
      let have = 0;
      while (have < length) {
        const { bytesRead } = await translate(path, 'read', () =>
          handle.read(out, have, Math.min(length - have, MAX_READ), offset + have),
        );
        signal?.throwIfAborted();
        if (bytesRead === 0) throw new IoError(`${path} ended at byte ${offset + have} of ${size}: it was cut while being read.`);
        have += bytesRead;
      }
      return out;
    },
    async close() {
      if (open) await handle.close();
      open = false;
    },
  };
}

/** Reads a whole file. Throws IoError with the path. */
export async function readBytes(path: string): Promise<Uint8Array> {
  const file = await openFile(path);
  try {
    return await file.read(0, file.size);
  } finally {
    await file.close();
  }
}

/** Files of Node and Deno as byte sources. */
import { IoError } from '../core/errors.js';
import { isSpecial, MAX_READ, modules, translate } from '../platform/files.js';
import { type ByteSource, checkRange } from './bytes.js';

/** Opens a file for positional reads; it is never read as a whole. Throws IoError naming the path. */
export async function openFile(path: string): Promise<ByteSource> {
  const fs = await modules(path);
  const { handle, size } = await translate(path, 'read', async () => {
    // Before it is opened: opening a named pipe waits until somebody writes to it.
    if (await isSpecial(path)) throw new IoError(`${path} is a pipe, socket or device, not a file; give the path of a file.`);
    const handle = await fs.open(path, 'r');
    try {
      const info = await handle.stat();
      if (info.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
      return { handle, size: info.size };
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

/** A whole file. Throws IoError naming the path. */
export async function readBytes(path: string): Promise<Uint8Array> {
  const file = await openFile(path);
  try {
    return await file.read(0, file.size);
  } finally {
    await file.close();
  }
}

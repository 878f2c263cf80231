/** Random access to bytes, the same for bytes in memory, in a Blob, in a file and behind a URL. */

import { IoError } from '../core/errors.js';
import type { OptionTable } from '../core/options.js';
import type { Progress } from '../core/progress.js';

/** Bytes that can be read at any offset. */
export interface ByteSource {
  /** The path, URL or file name, for messages. */
  readonly name: string;
  /** Total bytes; Infinity where a server does not report the size. */
  readonly size: number;
  /**
   * Exactly `length` bytes from `offset`. The result may be a view of shared memory: do not write to it.
   * Throws IoError beyond the end or if the source fails; rejects with `signal.reason` once aborted.
   */
  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * Call this after everything needed was read and found good. It reads the bytes that are still missing for the checksum or
   * for the cache, and marks the cached copy as complete. Throws IoError if the SHA-256 is not the expected one.
   */
  finish?(): Promise<void>;
  /** Closes the connection and frees buffers; the next read opens them again. */
  rest?(): Promise<void>;
  /** Frees the file handle or connection. Safe to call twice. */
  close(): Promise<void>;
}

/** How files are fetched from URLs and hubs, and whether they are cached. */
export interface RemoteOptions {
  /** False: downloads are not stored and the cache is not read. Default true. */
  cache?: boolean | undefined;
  /** Folder of the cache (Node, Deno). Default: the environment's AIM_CACHE, else `aim-js` in the user's cache folder. */
  cacheDir?: string | undefined;
  /** Server of repository ids. Default: the environment's HF_ENDPOINT (Node, Deno), else https://huggingface.co. */
  endpoint?: string | undefined;
  /** Branch, tag or commit of a repository id. Default 'main'. */
  revision?: string | undefined;
  /**
   * Sent as `Authorization: Bearer` to the server of the URL or id, never to a server that it redirects to. Default for ids:
   * the environment's HF_TOKEN (Node, Deno). Throws OptionError if it has blanks, line breaks or characters beyond ASCII inside.
   */
  token?: string | undefined;
  /**
   * The SHA-256 of the weights (64 hexadecimal digits), or of each file by its name; cached copies are verified by it, too.
   * Default for downloads: what the hub reports (X-Linked-Etag), else `sha256` in the front matter of the README.md beside
   * the weights.
   */
  sha256?: string | Readonly<Record<string, string>> | undefined;
  /** Called with problems that do not stop loading, for instance a full disk under the cache. Default: console.warn. */
  onWarning?: ((message: string) => void) | undefined;
}

export interface SourceOptions extends RemoteOptions {
  /** Called with the bytes of weights read so far; `total` is undefined where a server does not report the size. */
  onProgress?: ((progress: Progress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** What `Object.prototype.toString` calls a value: unlike instanceof it also knows objects of other realms (Jest, iframes). */
const tagOf = (value: unknown) => Object.prototype.toString.call(value).slice(8, -1);

/** True for a Uint8Array (Node's Buffer is one) or an ArrayBuffer of any realm. */
export function isBytes(value: unknown): value is Uint8Array | ArrayBuffer {
  return (ArrayBuffer.isView(value) && tagOf(value) === 'Uint8Array') || tagOf(value) === 'ArrayBuffer';
}

/** True for a Blob or File of any realm. */
export function isBlob(value: unknown): value is Blob {
  return ['Blob', 'File'].includes(tagOf(value));
}

export const SOURCE = {
  cache: { type: 'boolean', default: true, about: 'keep downloads in the cache and use what is there' },
  cacheDir: { type: 'string', about: "folder of the cache; by default AIM_CACHE, else aim-js in the user's cache folder" },
  endpoint: { type: 'string', about: 'where repository ids are looked up; by default HF_ENDPOINT, else https://huggingface.co' },
  revision: { type: 'string', about: 'branch, tag or commit of a repository id; by default main' },
  token: { type: 'string', about: 'sent as Authorization: Bearer; by default, for repository ids, HF_TOKEN' },
  sha256: { type: 'other', about: 'the SHA-256 of the weights in hexadecimal, or that of each file by its name' },
  onWarning: { type: 'function', about: 'called with a message when a download could not be cached' },
  onProgress: { type: 'function', about: 'called with the bytes of weights read so far' },
  signal: { type: 'signal', about: 'stops the loading' },
} as const satisfies OptionTable<SourceOptions>;

/** A source over bytes in memory; nothing is copied. */
export function bytesSource(data: Uint8Array | ArrayBuffer, name = 'the bytes given'): ByteSource {
  const bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
  const size = bytes.byteLength;
  return {
    name,
    size,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      checkRange(name, size, offset, length);
      return bytes.subarray(offset, offset + length);
    },
    async close() {},
  };
}

/** A source over a Blob or File; each read takes only its own slice into memory. */
export function blobSource(blob: Blob, name = (blob as Partial<File>).name || 'the Blob given'): ByteSource {
  const { size } = blob;
  return {
    name,
    size,
    async read(offset, length, signal) {
      signal?.throwIfAborted();
      checkRange(name, size, offset, length);
      let buffer: ArrayBuffer;
      try {
        buffer = await blob.slice(offset, offset + length).arrayBuffer();
      } catch (error) {
        throw new IoError(`${name} could not be read: ${(error as Error).message}. Was it moved or changed? Choose it again.`, {
          cause: error,
        });
      }
      signal?.throwIfAborted();
      return new Uint8Array(buffer);
    },
    async close() {},
  };
}

/** Wraps a source so that every read reports its end to `onProgress`, as phase `load`. */
export function reporting(source: ByteSource, onProgress: SourceOptions['onProgress']): ByteSource {
  if (!onProgress) return source;
  let loaded = 0;
  return withRead(source, async (offset, length, signal) => {
    const bytes = await source.read(offset, length, signal);
    if (offset + length > loaded) {
      loaded = offset + length;
      onProgress({ phase: 'load', loaded, total: source.size });
    }
    return bytes;
  });
}

/** The same source with another `read`. */
export function withRead(source: ByteSource, read: ByteSource['read']): ByteSource {
  return {
    name: source.name,
    get size() {
      return source.size;
    },
    read,
    finish: async () => source.finish?.(),
    rest: async () => source.rest?.(),
    close: () => source.close(),
  };
}

/** Wraps a source with a digest of every 64th byte that was read from it, which is enough to distinguish two sets of weights. */
export function sampled(source: ByteSource): ByteSource & { digest(): number } {
  let digest = 0;
  const read: ByteSource['read'] = async (offset, length, signal) => {
    const bytes = await source.read(offset, length, signal);
    for (let i = -offset & 63; i < length; i += 64) digest = (Math.imul(digest ^ bytes[i]!, 0x01000193) + offset + i) | 0;
    return bytes;
  };
  return Object.assign(withRead(source, read), { digest: () => digest });
}

/** Throws IoError unless [offset, offset + length) lies inside `size` bytes. */
export function checkRange(name: string, size: number, offset: number, length: number): void {
  if (Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0 && offset + length <= size)
    return;
  throw new IoError(`${name}: bytes ${offset} to ${offset + length} were asked of ${size}; the file is shorter than it claims.`);
}

/** Reports a problem that does not stop the work. */
export function warn({ onWarning = (message: string) => console.warn(message) }: RemoteOptions, message: string): void {
  onWarning(message);
}

/** Byte sources: random access to bytes in memory, in a Blob, in a file or behind a URL, through one interface. */

import { IoError } from '../core/errors.js';
import type { OptionTable } from '../core/options.js';
import type { Progress } from '../core/progress.js';

/** Bytes that can be read at any offset. */
export interface ByteSource {
  /** Path, URL or file name, for messages. */
  readonly name: string;
  /** Number of bytes; Infinity if a server does not report the size. */
  readonly size: number;
  /**
   * Returns exactly `length` bytes from `offset` on. The result may be a view of shared memory: do not write to it.
   * Throws IoError beyond the end or if the source fails. Rejects with `signal.reason` once aborted.
   */
  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * Call this after reading and checking everything that is needed. It reads the remaining bytes that the checksum or the cache
   * needs and marks the cached copy as complete. Throws IoError if the SHA-256 differs from the expected one.
   */
  finish?(): Promise<void>;
  /** Closes the connection and frees buffers. The next read opens them again. */
  rest?(): Promise<void>;
  /** Frees the file handle or connection. May be called twice. */
  close(): Promise<void>;
}

/** How files are downloaded from URLs and hubs, and whether they are cached. */
export interface RemoteOptions {
  /** False to neither store downloads nor read the cache. Default true. */
  cache?: boolean | undefined;
  /** Folder of the cache (Node, Deno). Default: the environment variable AIM_CACHE, else `aim-js` in the user's cache folder. */
  cacheDir?: string | undefined;
  /** Server of repository ids. Default: the environment variable HF_ENDPOINT (Node, Deno), else https://huggingface.co. */
  endpoint?: string | undefined;
  /** Branch, tag or commit of a repository id. Default 'main'. */
  revision?: string | undefined;
  /**
   * Sent as `Authorization: Bearer` to the server of the URL or id, but never to a server that it redirects to. Default for ids:
   * the environment variable HF_TOKEN (Node, Deno). Throws OptionError if it contains blanks, line breaks or non-ASCII
   * characters.
   */
  token?: string | undefined;
  /**
   * The SHA-256 of the weights (64 hexadecimal digits), or of each file by its name. Cached copies are verified too.
   * Default for downloads: the value that the hub reports (X-Linked-Etag), else `sha256` in the front matter of the README.md
   * next to the weights.
   */
  sha256?: string | Readonly<Record<string, string>> | undefined;
  /** Called with problems that do not stop loading, for example a full disk under the cache. Default: console.warn. */
  onWarning?: ((message: string) => void) | undefined;
}

/** Options for reading a source, which may be remote. */
export interface SourceOptions extends RemoteOptions {
  /** Called with the number of bytes of weights read so far. `total` is undefined if a server does not report the size. */
  onProgress?: ((progress: Progress) => void) | undefined;
  /** Aborts the reading. */
  signal?: AbortSignal | undefined;
}

/**
 * The tag of a value from `Object.prototype.toString`. Unlike instanceof it works for objects of other realms (Jest, iframes).
 */
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

/** A source of bytes in memory. Nothing is copied. */
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

/** A source of a Blob or File. Each read brings only its own slice into memory. */
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

/** Wraps a source so that every read reports to `onProgress` how far it reaches, in the phase `load`. */
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

/** A copy of a source with another `read`. */
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

/** Wraps a source with a digest of every 64th byte that was read. This suffices to tell two sets of weights apart. */
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

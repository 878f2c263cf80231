/** Random access to bytes that may be in memory, in a Blob, in a file or behind a URL; the readers above do not care. */

import { IoError } from '../core/errors.js';
import type { OptionTable } from '../core/options.js';
import type { Progress } from '../core/progress.js';

/** A readable range of bytes. `size` is Infinity where a server does not tell it. */
export interface ByteSource {
  /** The path, URL or file name, for messages. */
  readonly name: string;
  /** Total bytes, or Infinity if unknown. */
  readonly size: number;
  /**
   * Exactly `length` bytes from `offset`. They may be a view of memory that others hold: do not write to them.
   * Throws IoError beyond the end or if the source fails; rejects with `signal.reason` once aborted.
   */
  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * To be called once all that was wanted has been read and found good: reads the rest of what is to be verified or stored,
   * and stores it. Throws IoError if the SHA-256 is not the one expected.
   */
  finish?(): Promise<void>;
  /** Lets connection and buffers go until the next read. */
  rest?(): Promise<void>;
  /** Frees the file handle or connection. Safe to call twice. */
  close(): Promise<void>;
}

/** How files are fetched from URLs and hubs, and kept. */
export interface RemoteOptions {
  /** False: what is downloaded is not kept, and nothing kept is used. */
  cache?: boolean | undefined;
  /** Node, Deno: the folder of the cache. Default: AIM_CACHE, else `aim-js` in the user's cache folder. */
  cacheDir?: string | undefined;
  /** Where repository ids are looked up. Default: HF_ENDPOINT (Node, Deno), else https://huggingface.co. */
  endpoint?: string | undefined;
  /** Branch, tag or commit of a repository id. Default 'main'. */
  revision?: string | undefined;
  /** Sent as `Authorization: Bearer` to the server of the URL or id given. Default, for ids: HF_TOKEN (Node, Deno). */
  token?: string | undefined;
  /**
   * The SHA-256 of the weights (hexadecimal), or of each file by its name. Default, for downloads: what the hub tells
   * (X-Linked-Etag), else what the README.md beside the weights gives in its front matter as `sha256`.
   */
  sha256?: string | Readonly<Record<string, string>> | undefined;
  /** Hears why a download could not be kept, a full disk for instance; loading goes on. Default: console.warn. */
  onWarning?: ((message: string) => void) | undefined;
}

export interface SourceOptions extends RemoteOptions {
  /** Bytes of weights read so far; `total` is missing when a server does not tell. */
  onProgress?: ((progress: Progress) => void) | undefined;
  signal?: AbortSignal | undefined;
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
  const bytes = data instanceof Uint8Array ? new Uint8Array(data.buffer, data.byteOffset, data.length) : new Uint8Array(data);
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

/** The same source, reporting how far it has been read as phase `load`. */
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

/** The same source, read in another way. */
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

/** The same source with a digest of what was read of it: of every 64th byte, enough to tell two sets of weights apart. */
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

/** Tells the user of what went wrong and was got over. */
export function warn({ onWarning = (message: string) => console.warn(message) }: RemoteOptions, message: string): void {
  onWarning(message);
}

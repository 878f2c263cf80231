/** Random access to bytes that may be in memory, in a Blob, in a file or behind a URL; the readers above do not care. */
import { IoError } from '../errors.js';

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
  /** Frees the file handle or connection. Safe to call twice. */
  close(): Promise<void>;
}

/** What a long operation reports: bytes so far and in all (undefined where a server does not tell). */
export interface Progress {
  phase: 'download' | 'load';
  loaded: number;
  total: number | undefined;
}

export interface SourceOptions {
  onProgress?: ((progress: Progress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

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
  return {
    name: source.name,
    size: source.size,
    async read(offset, length, signal) {
      const bytes = await source.read(offset, length, signal);
      if (offset + length > loaded) {
        loaded = offset + length;
        onProgress({ phase: 'load', loaded, total: source.size });
      }
      return bytes;
    },
    close: () => source.close(),
  };
}

/** The same source with a digest of what was read of it: of every 64th byte, enough to tell two sets of weights apart. */
export function sampled(source: ByteSource): ByteSource & { digest(): number } {
  let digest = 0;
  return {
    name: source.name,
    size: source.size,
    async read(offset, length, signal) {
      const bytes = await source.read(offset, length, signal);
      for (let i = -offset & 63; i < length; i += 64) digest = (Math.imul(digest ^ bytes[i]!, 0x01000193) + offset + i) | 0;
      return bytes;
    },
    close: () => source.close(),
    digest: () => digest,
  };
}

/** Throws IoError unless [offset, offset + length) lies inside `size` bytes. */
export function checkRange(name: string, size: number, offset: number, length: number): void {
  if (Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0 && offset + length <= size)
    return;
  throw new IoError(`${name}: bytes ${offset} to ${offset + length} were asked of ${size}; the file is shorter than it claims.`);
}

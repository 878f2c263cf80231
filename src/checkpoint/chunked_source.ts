/**
 * A file read in chunks of 8 MiB, each of which comes from the cache or from its origin (a server or a local file), is hashed
 * where the SHA-256 is to be verified, and is written to the cache where this source is the one that downloads. Only one chunk
 * is in memory.
 *
 * With a cache, a file is in one of these states, seen from here:
 * - complete: the record says so. Chunks are read from the cache and compared with their checksums; a damaged one is fetched
 *   again from the server.
 * - being downloaded here: this source holds the lock. Chunks are fetched in order, from the first one that is not stored, and
 *   stored one after the other. `finish` marks the file as complete.
 * - being downloaded by another tab or process, which holds the lock. Chunks are read as soon as they are stored. If the other
 *   gives up, its lock becomes free and this source continues the download. If nothing is stored for long, this source
 *   reports that and fetches the rest without the cache.
 * - not cached: there is no cache, or it failed. Chunks are fetched and not stored.
 *
 * A fetched chunk is stored when the next one is requested: by then the bytes have been understood as a model, so that, for
 * example, an error page sent in place of the file is never stored.
 */

import { type CacheEntry, chunking } from '../cache/entry.js';
import { StoreError } from '../cache/store.js';
import { IoError } from '../core/errors.js';
import { type ByteSource, checkRange, type SourceOptions, warn } from '../io/bytes.js';
import { createSha256, type Hasher, sha256Bytes } from '../io/sha256.js';
import { delay, timing } from './wait.js';

const EMPTY = new Uint8Array(0);

/** Where chunks come from that are not in the cache. */
export interface Origin {
  readonly name: string;
  readonly size: number;
  /**
   * The bytes from `offset`: `length` of them, or fewer at the end of the file. They may be a view of shared memory: do not
   * write to them.
   */
  upTo(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** Closes the connection until the next read. */
  rest?(): void;
  close(): Promise<void>;
}

interface ChunkOptions extends SourceOptions {
  /** The SHA-256 that the file must have. */
  expected: string | undefined;
  /** True if the user gave that hash: cached files are then hashed as a whole even where their chunks have checksums. */
  strict?: boolean | undefined;
  entry?: CacheEntry | undefined;
}

export class ChunkedSource implements ByteSource {
  readonly name: string;
  /** Undefined once the cache is not used (any more). */
  private entry: CacheEntry | undefined;
  /** Hash of the chunks before `next`; undefined if nothing is to be verified (any more). */
  private hash: Hasher | undefined;
  /** The chunk in memory and its index, −1 for none. */
  private index = -1;
  private bytes: Uint8Array = EMPTY;
  /** True if that chunk was fetched and is to be stored. */
  private unsaved = false;
  /** All chunks before this one have been read. */
  private next = 0;
  private closed = false;
  /** The calls so far: they wait for each other. */
  private queue: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly origin: Origin,
    private readonly options: ChunkOptions,
  ) {
    this.name = origin.name;
    this.entry = options.entry;
    const { record, isChecked } = this.entry ?? {};
    const isVerified = record?.complete && record.sha256 === options.expected && isChecked && !options.strict;
    if (options.expected && !isVerified) this.hash = createSha256();
  }

  get size(): number {
    return Math.min(this.origin.size, this.entry?.record?.size ?? Number.POSITIVE_INFINITY);
  }

  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    return this.enqueue(() => this.take(offset, length, signal));
  }

  finish(): Promise<void> {
    return this.enqueue(async () => {
      while (this.needsAll && this.next * chunking.bytes < this.size) await this.load(this.next, undefined);
      await this.save();
      const verified = await this.verify();
      const { entry } = this;
      const record = entry?.record;
      if (!entry || !record || !(entry.locked || (verified && record.complete))) return;
      const sha256 = this.options.expected;
      await this.withStore(() => entry.save({ ...record, sha256, size: this.size, complete: true }));
      await entry.release();
    });
  }

  rest(): Promise<void> {
    return this.enqueue(async () => {
      await this.save();
      this.index = -1;
      this.bytes = EMPTY;
      this.origin.rest?.();
    });
  }

  async close(): Promise<void> {
    this.closed = true;
    // Closing the origin ends a read that is waiting for it.
    await this.origin.close();
    await this.queue;
    const { entry } = this;
    // A record without chunks may be that of something that is no model.
    if (entry?.locked) await this.withStore(async () => (await entry.storedChunks()) || entry.drop());
    await entry?.release();
  }

  /** True if chunks must be read in order and completely: to hash or to store all of them. */
  private get needsAll(): boolean {
    return this.hash !== undefined || this.entry?.locked === true;
  }

  private async take(offset: number, length: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    if (this.closed) throw new IoError(`${this.name} was read after close(); open it again.`);
    signal?.throwIfAborted();
    checkRange(this.name, this.size, offset, length);
    if (length === 0) return EMPTY;
    let out: Uint8Array | undefined;
    for (let have = 0; ; ) {
      const at = offset + have;
      const index = Math.floor(at / chunking.bytes);
      while (this.needsAll && this.next < index) await this.load(this.next, signal);
      await this.load(index, signal);
      const piece = this.bytes.subarray(at - index * chunking.bytes, at - index * chunking.bytes + length - have);
      if (piece.length === length) return piece;
      if (piece.length === 0)
        throw new IoError(`the download of ${this.name} ended after ${this.size}, before byte ${offset + length}; try again.`);
      out ??= new Uint8Array(length);
      out.set(piece, have);
      have += piece.length;
      if (have === length) return out;
    }
  }

  /** Makes a chunk the one in memory. */
  private async load(index: number, signal: AbortSignal | undefined): Promise<void> {
    if (index === this.index) return;
    await this.save();
    this.index = -1;
    const stored = (await this.stored(index)) ?? (await this.awaitStored(index, signal));
    this.bytes = stored ?? (await this.fetchChunk(index, signal));
    this.index = index;
    this.unsaved = !stored && this.bytes.length > 0 && this.entry?.locked === true;
    if (index === this.next) {
      this.hash?.update(this.bytes);
      this.next++;
    }
  }

  /** A chunk from the cache; undefined if it is not there or damaged. */
  private async stored(index: number): Promise<Uint8Array | undefined> {
    const { entry } = this;
    const bytes = await this.withStore(async () => entry?.chunk(index));
    if (!bytes) return undefined;
    const { size } = this;
    const total = size === Number.POSITIVE_INFINITY ? undefined : size;
    const phase = entry!.record?.complete ? 'load' : 'download';
    this.options.onProgress?.({ phase, loaded: index * chunking.bytes + bytes.length, total });
    return bytes;
  }

  private async fetchChunk(index: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const { entry, origin, name } = this;
    if (!entry?.damaged) return origin.upTo(index * chunking.bytes, chunking.bytes, signal);
    let bytes: Uint8Array;
    try {
      bytes = await origin.upTo(index * chunking.bytes, chunking.bytes, signal);
    } catch (error) {
      if (!(error instanceof IoError)) throw error;
      throw new IoError(
        `the cached copy of ${name} is damaged, and fetching the damaged bytes failed: ${error.message} ` +
          'Or remove the copy with `aim cache --clear` or clearCache(), and download the model again.',
        { cause: error },
      );
    }
    const checksum = entry.record?.checksums?.[index];
    if (!checksum || checksum === (await sha256Bytes(bytes))) return bytes;
    await this.withStore(() => entry.drop());
    throw new IoError(`${name} changed on the server, and its cached copy was damaged and has been removed; load it again.`);
  }

  /**
   * Waits until another tab or process has stored the chunk; empty bytes after the end of the file. Undefined if this source
   * has to fetch it: it got the lock, or waited in vain.
   */
  private async awaitStored(index: number, signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
    for (const start = Date.now(); this.entry && !this.entry.locked; ) {
      const { entry } = this;
      if (this.closed) throw new IoError(`${this.name} was closed while it was read; open it again.`);
      const gotLock = await this.withStore(() => entry.lock());
      // The other one may have stored the chunk, or all of them, just before.
      const isSame = await this.withStore(() => entry.refreshDownload());
      if (isSame === false) throw new IoError(`${this.name} changed on the server while it was read; start again.`);
      const bytes = index * chunking.bytes < this.size ? await this.stored(index) : EMPTY;
      if (bytes && entry.record?.complete) await entry.release();
      if (bytes) return bytes;
      if (gotLock) break;
      if (Date.now() - start > timing.lock) {
        warn(this.options, withoutCache(this.name));
        this.entry = undefined;
      } else await delay(timing.poll, [this.options.signal, signal]);
    }
    return undefined;
  }

  /** Stores the chunk in memory if that is due. */
  private async save(): Promise<void> {
    const { entry, index, bytes } = this;
    if (this.unsaved && entry) await this.withStore(() => entry.putChunk(index, bytes));
    this.unsaved = false;
  }

  /** True if there was something to verify. Content with a wrong hash is removed from the cache. */
  private async verify(): Promise<boolean> {
    const { hash, entry, options } = this;
    const found = hash?.hex();
    this.hash = undefined;
    if (found === undefined || found === options.expected) return found !== undefined;
    if (entry?.locked || entry?.record?.complete) await this.withStore(() => entry.drop());
    await entry?.release();
    throw new IoError(
      `${this.name} has the SHA-256 ${found}, and ${options.expected} was expected: it was damaged on its way, or is another ` +
        'version; load it again, or correct the hash.',
    );
  }

  /** Continues without the cache if it fails. */
  private async withStore<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      warn(this.options, notCached(this.name, error));
      await this.entry?.drop().catch(() => {});
      await this.entry?.release();
      this.entry = undefined;
      return undefined;
    }
  }

  private enqueue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.queue.then(work);
    this.queue = result.catch(() => {});
    return result;
  }
}

export function notCached(name: string, error: StoreError): string {
  return `${name} is not kept for the next time: ${error.message}`;
}

export function withoutCache(name: string): string {
  return (
    `another tab or process has the download of ${name} locked and stores nothing; it is downloaded here without the cache. ` +
    'If there is no such process, remove the lock with `aim cache --clear` or clearCache().'
  );
}

/** Wraps a local source so that its SHA-256 is verified, if one is given. */
export function verified(source: ByteSource, expected: string | undefined): ByteSource {
  if (expected === undefined) return source;
  const upTo: Origin['upTo'] = (offset, length, signal) => source.read(offset, Math.min(length, source.size - offset), signal);
  return new ChunkedSource({ name: source.name, size: source.size, upTo, close: () => source.close() }, { expected });
}

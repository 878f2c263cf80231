/**
 * A source read in parts of 8 MiB, which on their way are hashed and put into the cache, or taken from there. Parts go by in
 * order while that is so; only the latest is in memory.
 */

import { type CacheEntry, PART } from '../cache/entry.js';
import { StoreError } from '../cache/store.js';
import { IoError } from '../core/errors.js';
import { type ByteSource, checkRange, type SourceOptions, warn } from '../io/bytes.js';
import { Sha256 } from '../io/sha256.js';
import { delay } from './abort.js';

const EMPTY = new Uint8Array(0);
/** How often to look whether another tab or process has the next part, ms. */
export const POLL = 200;

/** Where parts come from that are not in the cache. */
export interface Origin {
  readonly name: string;
  readonly size: number;
  /** Up to `length` bytes, fewer only at the end. */
  upTo(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>;
  rest?(): void;
  close(): Promise<void>;
}

interface PartOptions extends SourceOptions {
  /** The hash to verify. */
  expected: string | undefined;
  entry?: CacheEntry | undefined;
}

export class PartSource implements ByteSource {
  readonly name: string;
  private entry: CacheEntry | undefined;
  private hash: Sha256 | undefined;
  /** The part in memory. */
  private index = -1;
  private bytes: Uint8Array = EMPTY;
  /**
   * It is from the network and not stored yet. That waits for the next part to be asked for: what cannot be read as a
   * model, such as an error page, is never stored.
   */
  private unsaved = false;
  /** All parts before this one have gone by. */
  private next = 0;
  private closed = false;
  private turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly origin: Origin,
    private readonly options: PartOptions,
  ) {
    this.name = origin.name;
    this.entry = options.entry;
    const { record } = this.entry ?? {};
    if (options.expected && !(record?.complete && record.sha256 === options.expected)) this.hash = new Sha256();
  }

  get size(): number {
    return Math.min(this.origin.size, this.entry?.record?.size ?? Number.POSITIVE_INFINITY);
  }

  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    return this.inTurn(() => this.take(offset, length, signal));
  }

  finish(): Promise<void> {
    return this.inTurn(async () => {
      while (this.inOrder && this.next * PART < this.size) await this.load(this.next, undefined);
      await this.keep();
      const hashed = await this.verify();
      const { entry } = this;
      const record = entry?.record;
      if (!entry || !record || !(entry.locked || (hashed && record.complete))) return;
      const sha256 = this.options.expected;
      await this.tryStore(() => entry.save({ ...record, sha256, size: this.size, complete: true }));
      await entry.release();
    });
  }

  rest(): Promise<void> {
    return this.inTurn(async () => {
      await this.keep();
      this.index = -1;
      this.bytes = EMPTY;
      this.origin.rest?.();
    });
  }

  async close(): Promise<void> {
    this.closed = true;
    // That ends a read under way.
    await this.origin.close();
    await this.turn;
    const { entry } = this;
    // Nothing but a record, of what was no model perhaps.
    if (entry?.locked) await this.tryStore(async () => (await entry.parts()) || entry.drop());
    await entry?.release();
  }

  /** All of the file is wanted, not only what is read. */
  private get inOrder(): boolean {
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
      const index = Math.floor(at / PART);
      while (this.inOrder && this.next < index) await this.load(this.next, signal);
      await this.load(index, signal);
      const piece = this.bytes.subarray(at - index * PART, at - index * PART + length - have);
      if (piece.length === length) return piece;
      if (piece.length === 0)
        throw new IoError(`the download of ${this.name} ended after ${this.size}, before byte ${offset + length}; try again.`);
      out ??= new Uint8Array(length);
      out.set(piece, have);
      have += piece.length;
      if (have === length) return out;
    }
  }

  /** Makes a part the one in memory. */
  private async load(index: number, signal: AbortSignal | undefined): Promise<void> {
    if (index === this.index) return;
    await this.keep();
    this.index = -1;
    const stored = (await this.stored(index)) ?? (await this.awaited(index, signal));
    this.bytes = stored ?? (await this.origin.upTo(index * PART, PART, signal));
    this.index = index;
    this.unsaved = !stored && this.bytes.length > 0 && this.entry?.locked === true;
    if (index === this.next) {
      this.hash?.update(this.bytes);
      this.next++;
    }
  }

  private async stored(index: number): Promise<Uint8Array | undefined> {
    const { entry, size } = this;
    const bytes = await this.tryStore(async () => entry?.part(index));
    // A part of another length was damaged.
    if (!bytes || (size !== Number.POSITIVE_INFINITY && bytes.length !== Math.min(PART, size - index * PART))) return undefined;
    const phase = entry!.record?.complete ? 'load' : 'download';
    const total = size === Number.POSITIVE_INFINITY ? undefined : size;
    this.options.onProgress?.({ phase, loaded: index * PART + bytes.length, total });
    return bytes;
  }

  /** The part, once another tab or process has stored it (none after the end); undefined if downloading it is up to this one. */
  private async awaited(index: number, signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
    while (this.entry && !this.entry.locked) {
      const { entry } = this;
      if (this.closed) throw new IoError(`${this.name} was closed while it was read; open it again.`);
      const mine = await this.tryStore(() => entry.lock());
      // The other may have stored it, or all, just before.
      const same = await this.tryStore(() => entry.follow());
      if (same === false) throw new IoError(`${this.name} changed on the server while it was read; start again.`);
      const bytes = index * PART < this.size ? await this.stored(index) : EMPTY;
      if (bytes && entry.record?.complete) await entry.release();
      if (bytes) return bytes;
      if (!mine) await delay(POLL, [this.options.signal, signal]);
    }
    return undefined;
  }

  private async keep(): Promise<void> {
    const { entry, index, bytes } = this;
    if (this.unsaved && entry) await this.tryStore(() => entry.putPart(index, bytes));
    this.unsaved = false;
  }

  /** True if there was something to verify. Wrong content is removed from the cache. */
  private async verify(): Promise<boolean> {
    const { hash, entry, options } = this;
    const found = hash?.hex();
    this.hash = undefined;
    if (found === undefined || found === options.expected) return found !== undefined;
    if (entry?.locked || entry?.record?.complete) await this.tryStore(() => entry.drop());
    await entry?.release();
    throw new IoError(
      `${this.name} has the SHA-256 ${found}, and ${options.expected} was expected: it was damaged on its way, or is another ` +
        'version; load it again, or correct the hash.',
    );
  }

  /** Does without the cache when it fails. */
  private async tryStore<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      warn(this.options, `${this.name} is not kept for the next time: ${error.message}`);
      await this.entry?.drop().catch(() => {});
      await this.entry?.release();
      this.entry = undefined;
      return undefined;
    }
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.turn.then(work);
    this.turn = result.catch(() => {});
    return result;
  }
}

/** A local source with this hash, if one is given. */
export function verified(source: ByteSource, expected: string | undefined): ByteSource {
  if (expected === undefined) return source;
  const upTo: Origin['upTo'] = (offset, length, signal) => source.read(offset, Math.min(length, source.size - offset), signal);
  return new PartSource({ name: source.name, size: source.size, upTo, close: () => source.close() }, { expected });
}

/**
 * A file behind a URL, read as one stream: reads at ascending offsets are served from a single GET request, and only the
 * latest piece that arrived from the network is in memory. When the connection breaks, or a read goes back to bytes that are no
 * longer in memory or far ahead, a Range request opens a new stream at the byte needed.
 *
 * Range requests are sent without If-Range, which would cost pages of other origins a preflight request that many servers
 * refuse. Instead ETag, Last-Modified and size of every answer are compared with those of the first one. If a server sends
 * neither ETag nor Last-Modified, the new stream begins at byte 0 and the bytes that had arrived before are compared by a
 * checksum, so that a file that changed on the server is noticed in both cases.
 */

import type { Version } from '../cache/entry.js';
import { IoError } from '../core/errors.js';
import { display } from '../io/url.js';
import type { Origin } from './chunked_source.js';
import { bodyLength, type HttpOptions, isEncoded, request, sameVersion, stalled, versionOf } from './http.js';
import { checkAnswer, HttpError, safeCause } from './http_error.js';
import { abortable, delay, Pace, pauseBefore, retrying, SLOW, within } from './wait.js';

const EMPTY = new Uint8Array(0);
/** From this many bytes between the stream and a read on, a new request is better than what lies between. */
const FAR = 4 * 2 ** 20;

export class HttpSource implements Origin {
  readonly name: string;
  /** What the server reports about the file, from the first answer on. */
  version: Version = {};
  /** The SHA-256, where the server is a Hugging Face hub that reports it. */
  sha256: string | undefined;
  private reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  private control = new AbortController();
  /** The bytes [at, at + piece.length) of the file: the only part of the stream in memory. */
  private piece: Uint8Array = EMPTY;
  private at = 0;
  /** The highest offset reached since a read last went to another place in the file. */
  private reached = 0;
  /** Bytes received so far without those that a broken stream sent twice, for progress reports. */
  private received = 0;
  /** False once the server has answered a Range request with the whole file or other bytes: jumps forwards then read on. */
  private sendsRanges = true;
  /** The size for progress reports; unlike `size` it may be wrong. */
  private total: number | undefined;
  /** Failures since the last progress, the first of them, and the offset at which it happened. */
  private failures = 0;
  private failure: unknown;
  private failedAt = 0;
  private readonly pace = new Pace();
  /** Checksum of the bytes from 0 on, for servers that send neither ETag nor Last-Modified. */
  private readonly prefix = new Checksum();
  /** The same for a stream that was opened again at byte 0, until it has reached the length of `prefix`. */
  private repeated: Checksum | undefined;
  private closed = false;
  /** The reads so far: they wait for each other, because there is only one stream. */
  private queue: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly url: string,
    private readonly options: HttpOptions = {},
  ) {
    this.name = display(url);
  }

  get size(): number {
    return this.version.size ?? Number.POSITIVE_INFINITY;
  }

  get connected(): boolean {
    return this.reader !== undefined;
  }

  /**
   * Connects, to continue at byte `from` a file about which an earlier answer reported `known`. Returns false, and is connected
   * to byte 0, if the content is not certain to be the same. Throws HttpError.
   */
  async start(from = 0, known: Version = {}): Promise<boolean> {
    const connect = (offset: number) => retrying([this.options.signal], () => this.connect(offset, undefined));
    if (from > 0) {
      try {
        if (sameVersion(known, await connect(from)) === true && this.at === from) {
          this.version = { ...known };
          this.reached = this.received = from;
          return true;
        }
      } catch (error) {
        // There is no such byte, or the server cannot send from it on.
        if (!(error instanceof HttpError && [206, 416].includes(error.status))) throw error;
      }
    }
    if (!this.reader || this.at > 0) this.version = await connect(0);
    return false;
  }

  upTo(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    const result = this.queue.then(() => this.take(offset, length, signal));
    this.queue = result.catch(() => {});
    return result;
  }

  /** Closes the connection; the next read opens one. */
  rest(): void {
    this.disconnect();
  }

  async close(): Promise<void> {
    this.closed = true;
    this.disconnect();
  }

  private async take(offset: number, length: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    if (this.closed) throw new IoError(`${this.name} was read after close(); open it again.`);
    signal?.throwIfAborted();
    const count = Math.min(length, Math.max(0, this.size - offset));
    if (count === 0) return EMPTY;
    let out: Uint8Array | undefined;
    for (let have = 0; ; ) {
      const skip = offset + have - this.at;
      if (this.reader && skip >= 0 && skip < this.piece.length) {
        const bytes = this.piece.subarray(skip, skip + count - have);
        if (bytes.length === count) return bytes;
        out ??= new Uint8Array(count);
        out.set(bytes, have);
        have += bytes.length;
        if (have === count) return out;
      }
      try {
        const place = offset + have;
        // Also without a connection: the request of a jump backwards may have failed before.
        if (place < this.at || (this.reader && this.isFar(place))) {
          await this.reconnect(place, signal);
          this.reached = this.failedAt = this.at;
        } else if (!this.reader) await this.reconnect(place, signal);
        else if (!(await this.pull(signal))) return out?.subarray(0, have) ?? EMPTY;
      } catch (error) {
        await this.recover(error, signal);
      }
    }
  }

  /**
   * True if it is worth a request not to receive what lies between the stream and byte `place`. Not where the size is unknown: the
   * file may end before, which would look like a change, and a body that may be compressed has other bytes than a range.
   */
  private isFar(place: number): boolean {
    const isKnown = this.hasValidator && this.version.size !== undefined;
    return this.sendsRanges && isKnown && place - (this.at + this.piece.length) >= FAR;
  }

  /** Opens the stream at byte `from`, or at byte 0 where that is not possible. */
  private async reconnect(from: number, signal: AbortSignal | undefined): Promise<void> {
    const isNew = this.received === 0;
    try {
      await this.connect(this.hasValidator || isNew ? from : 0, signal);
    } catch (error) {
      if (!(error instanceof HttpError && error.status === 206)) throw error;
      this.sendsRanges = false;
      await this.connect(0, signal);
    }
  }

  private get hasValidator(): boolean {
    return Boolean(this.version.etag || this.version.modified);
  }

  /** Opens the stream at byte `from`, or at byte 0 where the server answers with the whole file. */
  private async connect(from: number, signal: AbortSignal | undefined): Promise<Version> {
    this.disconnect();
    const control = new AbortController();
    this.control = control;
    return abortable(control, [this.options.signal, signal], async () => {
      try {
        const { response, sha256 } = await request(this.url, control, { headers: this.options.headers, from });
        if (response.status === 416) throw this.changed(416);
        checkAnswer(response, this.url);
        const version = versionOf(response);
        if (sameVersion(this.version, version) === false) throw this.changed(200);
        if (response.status === 206) this.checkRange(response, from);
        if (from > 0 && response.status !== 206) this.sendsRanges = false;
        this.at = response.status === 206 ? from : 0;
        this.repeated = this.at === 0 && this.prefix.length > 0 ? new Checksum() : undefined;
        this.total ??= version.size ?? bodyLength(response);
        this.sha256 ??= sha256;
        this.pace.restart(this.at);
        this.reader = (response.body ?? new Blob().stream()).getReader();
        return version;
      } catch (error) {
        control.abort();
        throw error;
      }
    });
  }

  /** Throws HttpError of status 206 unless a partial answer begins at byte `from`. */
  private checkRange(response: Response, from: number): void {
    const range = response.headers.get('content-range');
    // Browsers hide the header of answers from other origins; the version is then all that can be compared.
    const hidden = range === null && response.type === 'cors';
    const first = /^bytes (\d+)-/.exec(range ?? '')?.[1];
    // A range of a compressed body does not consist of bytes of the file.
    if (!isEncoded(response) && (hidden || (first !== undefined && Number(first) === from))) return;
    throw new HttpError(`${this.name} was not sent from byte ${from} on; download it and pass it as a path or File.`, 206);
  }

  private changed(status: number): HttpError {
    return new HttpError(`${this.name} changed on the server while it was read; start again.`, status);
  }

  /** Moves to the next piece of the stream; false at the end. */
  private async pull(signal: AbortSignal | undefined): Promise<boolean> {
    const position = this.at + this.piece.length;
    const reader = this.reader!;
    const broke = (how: string, cause?: Error) => {
      const of = this.size === Number.POSITIVE_INFINITY ? '' : ` of ${this.size} bytes`;
      return new HttpError(
        `the download of ${this.name} ${how} after ${position}${of}${cause ? `: ${cause.message}` : ''}; try again.`,
        0,
        { cause },
      );
    };
    const next = await abortable(this.control, [this.options.signal, signal], async () => {
      try {
        return await this.pace.wait(() =>
          within(
            this.pace.left,
            this.control,
            () => stalled(this.url),
            () => reader.read(),
          ),
        );
      } catch (error) {
        if (this.closed) throw new IoError(`${this.name} was closed while it was read; open it again.`);
        throw error instanceof HttpError ? error : broke('broke', safeCause(error, this.options.headers));
      }
    });
    if (next.done) {
      if (this.size !== Number.POSITIVE_INFINITY && position < this.size) throw broke('ended');
      this.version.size = position;
      return false;
    }
    this.compare(position, next.value);
    this.at = position;
    this.piece = next.value;
    this.advance(position, position + next.value.length);
    return true;
  }

  /** Notes that the stream has brought the bytes [from, to), and reports it. */
  private advance(from: number, to: number): void {
    this.pace.reached(to);
    if (to <= this.reached) return;
    this.received += to - Math.max(from, this.reached);
    this.reached = to;
    if (to - this.failedAt >= SLOW) this.failures = 0;
    if (this.total !== undefined && to > this.total) this.total = undefined;
    const loaded = Math.min(this.received, this.total ?? Number.POSITIVE_INFINITY);
    this.options.onProgress?.({ phase: 'download', loaded, total: this.total });
  }

  /** Throws HttpError if a server without validators sends other bytes than before. */
  private compare(position: number, bytes: Uint8Array): void {
    if (this.hasValidator) return;
    const { prefix, repeated } = this;
    if (repeated) {
      const left = prefix.length - repeated.length;
      repeated.add(bytes.subarray(0, left));
      if (repeated.length < prefix.length) return;
      if (repeated.value !== prefix.value) throw this.changed(200);
      this.repeated = undefined;
      prefix.add(bytes.subarray(left));
    } else if (position === prefix.length) prefix.add(bytes);
  }

  /** Waits if another attempt may help; else throws. */
  private async recover(error: unknown, signal: AbortSignal | undefined): Promise<void> {
    this.disconnect();
    if (this.closed) throw error;
    if (this.failures === 0) {
      this.failure = error;
      this.failedAt = this.reached;
    }
    const pause = pauseBefore(error, this.failures++);
    if (pause === undefined) throw error instanceof HttpError && error.passing ? this.failure : error;
    await delay(pause, [this.options.signal, signal]);
  }

  private disconnect(): void {
    this.reader = undefined;
    this.piece = EMPTY;
    this.control.abort();
  }
}

/** Two FNV-1a hashes of 32 bits over bytes that arrive in pieces: finds accidental differences, not deliberate ones. */
class Checksum {
  length = 0;
  private a = 0x811c9dc5;
  private b = 0x01000193;

  add(bytes: Uint8Array): void {
    let { a, b } = this;
    for (let i = 0; i < bytes.length; i++) {
      a = Math.imul(a ^ bytes[i]!, 0x01000193);
      b = Math.imul(b + bytes[i]!, 0x85ebca6b) ^ (b >>> 15);
    }
    this.a = a;
    this.b = b;
    this.length += bytes.length;
  }

  get value(): string {
    return `${this.a} ${this.b}`;
  }
}

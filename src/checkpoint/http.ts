/**
 * A file behind a URL, read as one stream: ascending reads are served from a single GET and only the current network
 * chunk is kept. A connection that breaks is taken up again by a Range request from the byte reached, and so is going back to
 * bytes already dropped; a server without ranges sends the file from its beginning again.
 *
 * Range requests go without If-Range, which would cost pages of other origins a preflight that many servers refuse. Instead
 * every answer's ETag, Last-Modified and size are held against those of the first: that tells of a changed file as well.
 */

import type { Version } from '../cache/entry.js';
import { IoError } from '../core/errors.js';
import type { SourceOptions } from '../io/bytes.js';
import { display } from '../io/url.js';
import { hasFiles } from '../platform/files.js';
import { abortable, delay } from './abort.js';
import type { Origin } from './parts.js';

const EMPTY = new Uint8Array(0);
/** Pauses before taking up a broken download, ms; new progress starts them over. */
const PAUSES = [200, 400, 800, 1600];
const REDIRECTS = 20;

export interface HttpOptions extends Pick<SourceOptions, 'onProgress' | 'signal'> {
  headers?: Record<string, string> | undefined;
}

/** A request that failed; `status` is 0 where there was no answer, or one that broke off. */
export class HttpError extends IoError {
  readonly status: number;
  constructor(message: string, status: number, cause?: unknown) {
    super(message, { cause });
    this.status = status;
  }
}

/** Whether two answers speak of the same content; undefined where they do not say. */
export function sameVersion(a: Version, b: Version): boolean | undefined {
  if (a.size !== undefined && b.size !== undefined && a.size !== b.size) return false;
  if (a.etag && b.etag) return a.etag === b.etag;
  if (a.modified && b.modified) return a.modified === b.modified;
  return undefined;
}

export interface TextFile {
  text: string;
  /** The commit it belongs to, where the server is a Hugging Face hub. */
  commit: string | undefined;
}

/**
 * A small file behind a URL. With `optional`, a file the server does not have (or answers with its web page) is undefined.
 * Throws HttpError with URL, status and remedy.
 */
export async function fetchText(url: string, options: HttpOptions): Promise<TextFile>;
export async function fetchText(url: string, options: HttpOptions & { optional: boolean }): Promise<TextFile | undefined>;
export async function fetchText(url: string, { signal, headers, optional }: HttpOptions & { optional?: boolean }) {
  const control = new AbortController();
  return abortable(control, [signal], async () => {
    const { response, commit } = await request(url, { signal: control.signal, headers });
    if (optional && isMissing(response)) {
      control.abort();
      return undefined;
    }
    refuse(response, url, control);
    try {
      return { text: await response.text(), commit };
    } catch (error) {
      throw new HttpError(`${display(url)} broke off while it was downloaded: ${reason(error)}; try again.`, 0, error);
    }
  });
}

/** What the server says of a file now, without its content; undefined if it gives no good answer within `timeout` ms. */
export async function fetchVersion(
  url: string,
  { signal, headers, timeout }: HttpOptions & { timeout: number },
): Promise<Version | undefined> {
  const control = new AbortController();
  const timer = setTimeout(() => control.abort(), timeout);
  try {
    return await abortable(control, [signal], async () => {
      const { response } = await request(url, { signal: control.signal, headers, method: 'HEAD' });
      return response.ok && !isPage(response) ? versionOf(response) : undefined;
    });
  } catch (error) {
    if (error instanceof HttpError) return undefined;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

export class HttpSource implements Origin {
  readonly name: string;
  /** What the server says of the file, from the first answer on. */
  version: Version = {};
  /** Its SHA-256, where the server is a Hugging Face hub and tells. */
  sha256: string | undefined;
  private reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  private control = new AbortController();
  /** The bytes [at, at + chunk.length) of the file: all that is kept of the stream. */
  private chunk: Uint8Array = EMPTY;
  private at = 0;
  private loaded = 0;
  /** What progress counts towards; unlike `size` it may be a guess. */
  private total: number | undefined;
  /** Breaks of the connection since there was progress, and the first of them. */
  private breaks = 0;
  private broken: unknown;
  private closed = false;
  /** Reads take turns: there is one stream. */
  private turn: Promise<unknown> = Promise.resolve();

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
   * Connects, to go on at byte `from` of a file of which an earlier answer said `known`. Gives false, and is connected to the
   * file's beginning, if that is not certain to be the same content. Throws HttpError.
   */
  async start(from = 0, known: Version = {}): Promise<boolean> {
    if (from > 0) {
      try {
        if (sameVersion(known, await this.connect(from, undefined)) === true) {
          this.version = { ...known };
          return true;
        }
      } catch (error) {
        // There is no such byte, or the server cannot send from it.
        if (!(error instanceof HttpError && [206, 416].includes(error.status))) throw error;
      }
    }
    if (!this.reader || this.at > 0) this.version = await this.connect(0, undefined);
    return false;
  }

  /** The bytes from `offset`, `length` of them or as many as there are. They may be a view of memory that others hold. */
  upTo(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    const result = this.turn.then(() => this.take(offset, length, signal));
    this.turn = result.catch(() => {});
    return result;
  }

  /** Lets the connection go; the next read makes a new one. */
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
      if (this.reader && skip >= 0 && skip < this.chunk.length) {
        const part = this.chunk.subarray(skip, skip + count - have);
        if (part.length === count) return part;
        out ??= new Uint8Array(count);
        out.set(part, have);
        have += part.length;
        if (have === count) return out;
      }
      try {
        if (!this.reader || offset + have < this.at) await this.connect(offset + have, signal);
        else if (!(await this.pull(signal))) return out?.subarray(0, have) ?? EMPTY;
      } catch (error) {
        await this.recover(error, signal);
      }
    }
  }

  /** Opens the stream at byte `from`, or at its beginning where the server has no ranges. */
  private async connect(from: number, signal: AbortSignal | undefined): Promise<Version> {
    this.disconnect();
    const control = new AbortController();
    this.control = control;
    return abortable(control, [this.options.signal, signal], async () => {
      const { response, sha256 } = await request(this.url, { ...this.options, signal: control.signal, from });
      const changed = () => {
        control.abort();
        return new HttpError(`${this.name} changed on the server while it was read; start again.`, response.status);
      };
      if (response.status === 416) throw changed();
      refuse(response, this.url, control);
      const version = versionOf(response);
      if (sameVersion(this.version, version) === false) throw changed();
      if (response.status === 206 && from > 0) {
        // The bytes of a compressed part are not those of the file, and others than those asked for are of no use.
        const first = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1] ?? from;
        if (isEncoded(response) || Number(first) !== from) {
          control.abort();
          throw new HttpError(
            `${this.name} is not sent from byte ${from} on, as was asked; download it and pass it as a path or File.`,
            206,
          );
        }
        this.at = from;
      } else this.at = 0;
      this.total ??= version.size ?? bodyLength(response);
      this.sha256 ??= sha256;
      this.reader = (response.body ?? new Blob().stream()).getReader();
      return version;
    });
  }

  /** Moves to the next network chunk; false at the end. */
  private async pull(signal: AbortSignal | undefined): Promise<boolean> {
    const position = this.at + this.chunk.length;
    const reader = this.reader!;
    const broke = (how: string, cause?: unknown) => {
      const of = this.size === Number.POSITIVE_INFINITY ? '' : ` of ${this.size} bytes`;
      return new HttpError(
        `the download of ${this.name} ${how} after ${position}${of}${cause ? `: ${reason(cause)}` : ''}; try again.`,
        0,
        cause,
      );
    };
    const next = await abortable(this.control, [this.options.signal, signal], async () => {
      try {
        return await reader.read();
      } catch (error) {
        if (this.closed) throw new IoError(`${this.name} was closed while it was read; open it again.`);
        throw broke('broke', error);
      }
    });
    if (next.done) {
      if (this.size !== Number.POSITIVE_INFINITY && position < this.size) throw broke('ended');
      this.version.size = position;
      return false;
    }
    this.at = position;
    this.chunk = next.value;
    const reached = position + next.value.length;
    if (reached > this.loaded) {
      this.loaded = reached;
      this.breaks = 0;
      if (this.total !== undefined && reached > this.total) this.total = undefined;
      this.options.onProgress?.({ phase: 'download', loaded: reached, total: this.total });
    }
    return true;
  }

  /** Waits a moment where another try may help; else throws. */
  private async recover(error: unknown, signal: AbortSignal | undefined): Promise<void> {
    this.disconnect();
    const passing = error instanceof HttpError && (error.status === 0 || error.status === 429 || error.status >= 500);
    if (this.closed || !passing) throw error;
    if (this.breaks === 0) this.broken = error;
    const pause = PAUSES[this.breaks++];
    if (pause === undefined) throw this.broken;
    await delay(pause, [this.options.signal, signal]);
  }

  private disconnect(): void {
    this.reader = undefined;
    this.chunk = EMPTY;
    this.control.abort();
  }
}

interface Answer {
  response: Response;
  /** What a Hugging Face hub says of the file: its SHA-256 (of those in large file storage) and commit. */
  sha256: string | undefined;
  commit: string | undefined;
}

/**
 * Fetches. Outside browsers redirects are followed here: a hub tells a file's hash in the answer that redirects to the store.
 * The token stays with the origin it is for.
 */
async function request(
  url: string,
  {
    signal,
    from = 0,
    headers,
    method = 'GET',
  }: { signal: AbortSignal; from?: number; headers?: Record<string, string> | undefined; method?: string },
): Promise<Answer> {
  let sha256: string | undefined;
  let commit: string | undefined;
  let own = headers;
  for (let at = url, hop = 0; ; hop++) {
    let response: Response;
    try {
      response = await fetch(at, {
        signal,
        method,
        headers: { ...own, ...(from > 0 && { range: `bytes=${from}-` }) },
        redirect: hasFiles() ? 'manual' : 'follow',
        // Past the browser's own cache, which would keep a second copy and make ranges out of it.
        cache: 'no-store',
      });
    } catch (error) {
      throw new HttpError(
        `${display(url)} could not be fetched: ${reason(error)}; check the address and the network ` +
          '(in a browser the server must also allow this page by CORS).',
        0,
        error,
      );
    }
    const told = response.headers;
    // Only a hub's ETag is known to be the hash; that of the store behind it is not.
    const ofHub = told.get('x-linked-etag') ?? (told.has('x-repo-commit') ? told.get('etag') : undefined);
    sha256 ??= /^(?:W\/)?"?([\da-f]{64})"?$/.exec(ofHub ?? '')?.[1];
    commit ??= /^[\da-f]{40}$/.exec(told.get('x-repo-commit') ?? '')?.[0];
    const location = told.get('location');
    if (![301, 302, 303, 307, 308].includes(response.status) || !location) return { response, sha256, commit };
    await response.body?.cancel();
    if (hop === REDIRECTS)
      throw new HttpError(`${display(url)} was redirected ${hop} times without end; check the address.`, response.status);
    const next = new URL(location, at);
    if (next.origin !== new URL(at).origin) own = undefined;
    at = next.href;
  }
}

function versionOf(response: Response): Version {
  const { headers, status } = response;
  const total = /^bytes \d+-\d+\/(\d+)$/.exec(headers.get('content-range') ?? '')?.[1];
  // Under a content encoding the length is that of the compressed body, and an answer of another origin may hide its encoding.
  const whole = status === 206 || isEncoded(response) || response.type === 'cors' ? undefined : bodyLength(response);
  return {
    etag: headers.get('etag')?.replace(/^W\//, ''),
    modified: headers.get('last-modified') ?? undefined,
    size: total !== undefined ? Number(total) : whole,
  };
}

/** Of the body as sent; good enough for a progress bar. */
function bodyLength(response: Response): number | undefined {
  const text = response.headers.get('content-length');
  return text !== null && /^\d+$/.test(text) && !isEncoded(response) ? Number(text) : undefined;
}

function isEncoded(response: Response): boolean {
  return (response.headers.get('content-encoding') ?? 'identity') !== 'identity';
}

/** Throws unless the answer is a file. */
function refuse(response: Response, url: string, control: AbortController): void {
  const { status, statusText } = response;
  if (response.ok && !isPage(response)) return;
  control.abort();
  const hub = /^https?:\/\/huggingface\.co\//.test(url)
    ? " On Hugging Face pass '<user>/<model>', or …/<user>/<model>/resolve/main."
    : '';
  if (response.ok)
    throw new HttpError(
      `${display(url)} answered with a web page (HTTP ${status}, text/html), not with a file; ` +
        `pass the URL of a folder with config.json and model.safetensors.${hub}`,
      status,
    );
  const what = `${display(url)} answered HTTP ${status}${statusText && ` ${statusText}`}`;
  if (status === 404 || status === 410)
    throw new HttpError(
      `${what}: there is no such file; pass the URL of a folder with config.json and model.safetensors, ` +
        `or of a .safetensors file with config.json beside it.${hub}`,
      status,
    );
  if (status === 401 || status === 403)
    throw new HttpError(
      `${what}: it may not be read without signing in; make it public, pass a token, or download it and pass the files.`,
      status,
    );
  throw new HttpError(`${what}; try again later, or download the files and pass them.`, status);
}

function isMissing(response: Response): boolean {
  return [403, 404, 410].includes(response.status) || isPage(response);
}

function isPage(response: Response): boolean {
  return response.ok && /^\s*(text\/html|application\/xhtml)/i.test(response.headers.get('content-type') ?? '');
}

/** Node's fetch says only `fetch failed`; what failed is in the cause. */
function reason(error: unknown): string {
  const { message, cause } = error as Error;
  const inner = cause as (Error & { code?: string }) | undefined;
  return inner ? `${message} (${inner.message || inner.code})` : message;
}

/**
 * A file behind a URL, read as one stream: ascending reads are served from a single GET and only the current network
 * chunk is kept. Going back to bytes already dropped opens a new GET with a Range header.
 */
import { IoError } from '../errors.js';
import { type ByteSource, checkRange, type SourceOptions } from './bytes.js';

const EMPTY = new Uint8Array(0);

/**
 * Starts the download of `url`. Throws IoError (with URL, status and remedy) if it cannot be fetched or is a web page.
 * `onProgress` hears of every network chunk as phase `download`.
 */
export async function httpSource(url: string, options: SourceOptions = {}): Promise<ByteSource> {
  const source = new HttpSource(url, options);
  await source.start();
  return source;
}

/**
 * The text of a small file behind a URL. With `optional`, a file the server does not have (or answers with its web
 * page) is undefined. Throws IoError like httpSource.
 */
export async function fetchText(url: string, options: { signal?: AbortSignal | undefined }): Promise<string>;
export async function fetchText(
  url: string,
  options: { signal?: AbortSignal | undefined; optional: true },
): Promise<string | undefined>;
export async function fetchText(url: string, { signal, optional }: { signal?: AbortSignal | undefined; optional?: true }) {
  const control = new AbortController();
  return abortable(control, [signal], async () => {
    const response = await request(url, control.signal);
    if (optional && ([403, 404, 410].includes(response.status) || isPage(response))) {
      control.abort();
      return undefined;
    }
    refuse(response, url, control);
    try {
      return await response.text();
    } catch (error) {
      throw new IoError(`${display(url)} broke off while it was downloaded: ${reason(error)}; try again.`, { cause: error });
    }
  });
}

class HttpSource implements ByteSource {
  readonly name: string;
  size = Number.POSITIVE_INFINITY;
  private reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  private control = new AbortController();
  /** The bytes [at, at + chunk.length) of the file: all that is kept of the stream. */
  private chunk: Uint8Array = EMPTY;
  private at = 0;
  private loaded = 0;
  /** What progress counts towards; unlike `size` it may be a guess. */
  private total: number | undefined;
  private closed = false;
  /** Reads take turns: there is one stream. */
  private turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly url: string,
    private readonly options: SourceOptions,
  ) {
    this.name = display(url);
  }

  async start(): Promise<void> {
    const response = await this.connect(0, undefined);
    const length = Number(response.headers.get('content-length') ?? Number.NaN);
    const encoded = (response.headers.get('content-encoding') ?? 'identity') !== 'identity';
    // Under a content encoding this is the length of the compressed body.
    if (encoded || !Number.isSafeInteger(length)) return;
    this.total = length;
    // A cross-origin answer may hide its encoding, so there the length is good enough for a progress bar only.
    if (response.type !== 'cors') this.size = length;
  }

  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    const result = this.turn.then(() => this.take(offset, length, signal));
    this.turn = result.catch(() => {});
    return result;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.disconnect();
  }

  private async take(offset: number, length: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    if (this.closed) throw new IoError(`${this.name} was read after close(); open it again.`);
    signal?.throwIfAborted();
    checkRange(this.name, this.size, offset, length);
    if (length === 0) return EMPTY;
    if (!this.reader || offset < this.at) await this.connect(offset, signal);
    let out: Uint8Array | undefined;
    let have = 0;
    for (;;) {
      const skip = offset + have - this.at;
      if (skip < this.chunk.length) {
        const part = this.chunk.subarray(skip, skip + length - have);
        if (part.length === length) return part;
        out ??= new Uint8Array(length);
        out.set(part, have);
        have += part.length;
        if (have === length) return out;
      }
      await this.pull(offset + length, signal);
    }
  }

  /** Opens the stream at byte `from`. */
  private async connect(from: number, signal: AbortSignal | undefined): Promise<Response> {
    this.disconnect();
    const control = new AbortController();
    this.control = control;
    return abortable(control, [this.options.signal, signal], async () => {
      const response = await request(this.url, control.signal, from);
      refuse(response, this.url, control);
      if (from > 0) {
        const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '');
        if (response.status !== 206 || (range && Number(range[1]) !== from)) {
          control.abort();
          throw new IoError(
            `${this.name} cannot be read again from byte ${from}: its server does not answer Range requests ` +
              `(HTTP ${response.status}); download the file and pass it as a path or File.`,
          );
        }
        if (range && range[2] !== '*' && this.size !== Number.POSITIVE_INFINITY && Number(range[2]) !== this.size) {
          control.abort();
          throw new IoError(`${this.name} changed on the server while it was read; start again.`);
        }
      }
      this.reader = response.body?.getReader();
      this.at = from;
      this.chunk = EMPTY;
      return response;
    });
  }

  /** Moves to the next network chunk. `wanted` is the byte the caller must reach, for the message. */
  private async pull(wanted: number, signal: AbortSignal | undefined): Promise<void> {
    const position = this.at + this.chunk.length;
    const { reader } = this;
    const of = this.size === Number.POSITIVE_INFINITY ? `, before byte ${wanted}` : ` of ${this.size} bytes`;
    try {
      const next = await abortable(this.control, [this.options.signal, signal], async () => {
        try {
          return (await reader?.read()) ?? { done: true as const, value: undefined };
        } catch (error) {
          if (this.closed) throw new IoError(`${this.name} was closed while it was read; open it again.`);
          throw new IoError(`the download of ${this.name} broke after ${position}${of}: ${reason(error)}; try again.`, {
            cause: error,
          });
        }
      });
      if (next.done) throw new IoError(`the download of ${this.name} ended after ${position}${of}; try again.`);
      this.at = position;
      this.chunk = next.value;
    } catch (error) {
      // The next read starts a new request.
      this.disconnect();
      throw error;
    }
    if (position + this.chunk.length > this.loaded) {
      this.loaded = position + this.chunk.length;
      if (this.total !== undefined && this.loaded > this.total) this.total = undefined;
      this.options.onProgress?.({ phase: 'download', loaded: this.loaded, total: this.total });
    }
  }

  private disconnect(): void {
    this.reader = undefined;
    this.chunk = EMPTY;
    this.control.abort();
  }
}

/** Runs `work`, aborting `control` with the first of `signals` to fire; its reason is then what is thrown. */
async function abortable<T>(
  control: AbortController,
  signals: readonly (AbortSignal | undefined)[],
  work: () => Promise<T>,
): Promise<T> {
  for (const s of signals) s?.throwIfAborted();
  const stop = (event: Event) => control.abort((event.target as AbortSignal).reason);
  for (const s of signals) s?.addEventListener('abort', stop);
  try {
    return await work();
  } catch (error) {
    for (const s of signals) s?.throwIfAborted();
    throw error;
  } finally {
    for (const s of signals) s?.removeEventListener('abort', stop);
  }
}

async function request(url: string, signal: AbortSignal, from = 0): Promise<Response> {
  try {
    return await fetch(url, from > 0 ? { signal, headers: { range: `bytes=${from}-` } } : { signal });
  } catch (error) {
    throw new IoError(
      `${display(url)} could not be fetched: ${reason(error)}; check the address and the network ` +
        '(in a browser the server must also allow this page by CORS).',
      { cause: error },
    );
  }
}

/** Throws unless the answer is a file. */
function refuse(response: Response, url: string, control: AbortController): void {
  const { status, statusText } = response;
  if (response.ok && !isPage(response)) return;
  control.abort();
  const hub = /^https?:\/\/huggingface\.co\//.test(url) ? ' On Hugging Face the folder is …/<user>/<model>/resolve/main.' : '';
  if (response.ok)
    throw new IoError(
      `${display(url)} answered with a web page (HTTP ${status}, text/html), not with a file; ` +
        `pass the URL of a folder with config.json and model.safetensors.${hub}`,
    );
  const what = `${display(url)} answered HTTP ${status}${statusText && ` ${statusText}`}`;
  if (status === 404 || status === 410)
    throw new IoError(
      `${what}: there is no such file; pass the URL of a folder with config.json and model.safetensors, ` +
        `or of a .safetensors file with config.json beside it.${hub}`,
    );
  if (status === 401 || status === 403)
    throw new IoError(`${what}: it may not be read without signing in; make it public, or download it and pass the files.`);
  throw new IoError(`${what}; try again later, or download the files and pass them.`);
}

function isPage(response: Response): boolean {
  return response.ok && /^\s*(text\/html|application\/xhtml)/i.test(response.headers.get('content-type') ?? '');
}

/** The URL as messages show it: without the query, which may hold a token. */
function display(url: string): string {
  const q = url.search(/[?#]/);
  return q < 0 ? url : url.slice(0, q);
}

/** Node's fetch says only `fetch failed`; what failed is in the cause. */
function reason(error: unknown): string {
  const { message, cause } = error as Error;
  const inner = cause as (Error & { code?: string }) | undefined;
  return inner ? `${message} (${inner.message || inner.code})` : message;
}

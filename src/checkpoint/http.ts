/** HTTP requests: redirects, what a hub reports about a file, versions, and small files. */
import type { Version } from '../cache/entry.js';
import { IoError } from '../core/errors.js';
import type { SourceOptions } from '../io/bytes.js';
import { display } from '../io/url.js';
import { hasFiles } from '../platform/runtime.js';
import { checkAnswer, HttpError, isMissing, isPage, networkError, safeCause } from './http_error.js';
import { abortable, Pace, retrying, timing, within } from './wait.js';

const REDIRECTS = 20;
/** Most bytes of config.json, classes.json, README.md or an index of shards. */
export const MAX_TEXT = 16 * 2 ** 20;

export interface HttpOptions extends Pick<SourceOptions, 'onProgress' | 'signal'> {
  headers?: Record<string, string> | undefined;
}

/** Whether two answers are about the same content; undefined if they do not say. */
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
  /** The URL that answered, after redirects. */
  url?: string | undefined;
}

interface TextOptions extends HttpOptions {
  /** A file that the server does not have is undefined instead of an error. */
  optional?: boolean | undefined;
  /** How often to try. */
  attempts?: number | undefined;
}

/**
 * Downloads a small file. Throws HttpError with URL, status and remedy, IoError if it has more than MAX_TEXT bytes. With
 * `optional`, a file that the server does not have (or for which it sends its web page) is undefined.
 */
export async function fetchText(url: string, options: TextOptions & { optional?: false }): Promise<TextFile>;
export async function fetchText(url: string, options: TextOptions): Promise<TextFile | undefined>;
export async function fetchText(
  url: string,
  { signal, headers, optional, attempts }: TextOptions,
): Promise<TextFile | undefined> {
  return retrying(
    [signal],
    async () => {
      const control = new AbortController();
      try {
        return await abortable(control, [signal], async () => {
          const answer = await request(url, control, { headers });
          if (optional && isMissing(answer.response)) return undefined;
          checkAnswer(answer.response, url);
          return { text: await readBody(answer.response, url, control, headers), commit: answer.commit, url: answer.url };
        });
      } finally {
        control.abort();
      }
    },
    attempts,
  );
}

async function readBody(
  response: Response,
  url: string,
  control: AbortController,
  headers: Record<string, string> | undefined,
): Promise<string> {
  const reader = (response.body ?? new Blob().stream()).getReader();
  const decoder = new TextDecoder();
  const pace = new Pace();
  let text = '';
  for (let bytes = 0; ; ) {
    let next: ReadableStreamReadResult<Uint8Array>;
    try {
      next = await pace.wait(() =>
        within(
          pace.left,
          control,
          () => stalled(url),
          () => reader.read(),
        ),
      );
    } catch (error) {
      if (error instanceof HttpError) throw error;
      const cause = safeCause(error, headers);
      throw new HttpError(`${display(url)} broke off while it was downloaded: ${cause.message}; try again.`, 0, { cause });
    }
    if (next.done) return text + decoder.decode();
    bytes += next.value.length;
    pace.reached(bytes);
    if (bytes > MAX_TEXT)
      throw new IoError(`${display(url)} has more than ${MAX_TEXT} bytes, too many for such a file; check the address.`);
    text += decoder.decode(next.value, { stream: true });
  }
}

/** The message for a connection that delivers nothing. */
export function stalled(url: string): string {
  return `the download of ${display(url)} stalled for ${timing.idle / 1000} s; try again.`;
}

/** What the server reports about a file now, without its content; undefined if it gives no useful answer in time. */
export async function fetchVersion(url: string, { signal, headers }: HttpOptions): Promise<Version | undefined> {
  const control = new AbortController();
  try {
    return await abortable(control, [signal], () =>
      within(
        timing.version,
        control,
        () => stalled(url),
        async () => {
          const { response } = await request(url, control, { headers, method: 'HEAD' });
          return response.ok && !isPage(response) ? versionOf(response) : undefined;
        },
      ),
    );
  } catch (error) {
    if (error instanceof HttpError) return undefined;
    throw error;
  }
}

export interface Answer {
  response: Response;
  /** The URL that answered, after redirects. */
  url: string;
  /** The SHA-256 that a Hugging Face hub reports for files in its large file storage. */
  sha256: string | undefined;
  /** The commit that a Hugging Face hub reports. */
  commit: string | undefined;
}

interface RequestOptions {
  /** Asks for the bytes from this one on. */
  from?: number;
  headers?: Record<string, string> | undefined;
  method?: string;
}

/**
 * Sends a request, which `control` can stop. Outside of browsers redirects are followed here, because a hub reports the hash
 * of a file in the answer that redirects to its storage. The headers given, such as a token, are sent to the first origin
 * only. Throws HttpError if there is no answer; the status of the answer is up to the caller.
 */
export async function request(
  url: string,
  control: AbortController,
  { from = 0, headers, method = 'GET' }: RequestOptions,
): Promise<Answer> {
  let sha256: string | undefined;
  let commit: string | undefined;
  let own = headers;
  for (let at = url, hop = 0; ; hop++) {
    let response: Response;
    try {
      response = await within(
        timing.answer,
        control,
        () => `${display(url)} did not answer within ${timing.answer / 1000} s; try again.`,
        () =>
          fetch(at, {
            signal: control.signal,
            method,
            headers: { ...own, ...(from > 0 && { range: `bytes=${from}-` }) },
            redirect: hasFiles() ? 'manual' : 'follow',
            // Not into the browser's own cache, which would store a second copy and answer range requests from it.
            cache: 'no-store',
          }),
      );
    } catch (error) {
      if (error instanceof HttpError) throw error;
      throw networkError(error, url, headers);
    }
    const answered = response.headers;
    // Only a hub's ETag is known to be the hash; that of the storage behind it is not.
    const linked = answered.get('x-linked-etag') ?? (answered.has('x-repo-commit') ? answered.get('etag') : undefined);
    sha256 ??= /^(?:W\/)?"?([\da-f]{64})"?$/.exec(linked ?? '')?.[1];
    commit ??= /^[\da-f]{40}$/.exec(answered.get('x-repo-commit') ?? '')?.[0];
    const location = answered.get('location');
    if (![301, 302, 303, 307, 308].includes(response.status) || !location)
      return { response, url: response.url || at, sha256, commit };
    await response.body?.cancel().catch(() => {});
    const fail = (what: string) => new HttpError(`${display(url)} ${what}; check the address.`, response.status);
    if (hop === REDIRECTS) throw fail(`was redirected ${hop} times without end`);
    const next = redirectTarget(location, at);
    if (!next) throw fail('redirects to an address that is no valid http(s) URL');
    if (/^https:/i.test(at) && next.protocol === 'http:')
      throw fail(
        `redirects from https to plain http (${display(next.href)}), which is not followed: anyone on the way could change the file`,
      );
    if (next.origin !== new URL(at).origin) own = undefined;
    at = next.href;
  }
}

function redirectTarget(location: string, from: string): URL | undefined {
  try {
    const next = new URL(location, from);
    return /^https?:$/.test(next.protocol) && !next.username && !next.password ? next : undefined;
  } catch {
    return undefined;
  }
}

export function versionOf(response: Response): Version {
  const { headers, status } = response;
  const total = /^bytes \d+-\d+\/(\d+)$/.exec(headers.get('content-range') ?? '')?.[1];
  // Content-Length counts the encoded body, and browsers hide the Content-Encoding of answers from other origins.
  const whole = status === 206 || isEncoded(response) || response.type === 'cors' ? undefined : bodyLength(response);
  const size = total === undefined ? whole : Number(total);
  return {
    etag: headers.get('etag')?.replace(/^W\//, ''),
    modified: headers.get('last-modified') ?? undefined,
    size: Number.isSafeInteger(size) ? size : undefined,
  };
}

/** Bytes of the body as sent: good enough for a progress bar. */
export function bodyLength(response: Response): number | undefined {
  const text = response.headers.get('content-length');
  return text !== null && /^\d+$/.test(text) && !isEncoded(response) ? Number(text) : undefined;
}

export function isEncoded(response: Response): boolean {
  return (response.headers.get('content-encoding') ?? 'identity') !== 'identity';
}

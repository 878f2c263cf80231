/** What can go wrong between here and a server, in words for the user. Messages never hold tokens, passwords or queries. */
import { IoError } from '../core/errors.js';
import { display, withoutSecrets } from '../io/url.js';
import { environment, hasFiles, runtime } from '../platform/runtime.js';

interface HttpErrorOptions extends ErrorOptions {
  retryAfter?: number | undefined;
  unreachable?: boolean | undefined;
  hubCode?: string | undefined;
}

/** A request that failed. `status` is 0 if there was no answer, or if the connection broke. */
export class HttpError extends IoError {
  readonly status: number;
  /** What the server asks to wait before another attempt, ms. */
  readonly retryAfter: number | undefined;
  /** True if no connection could be made at all. */
  readonly unreachable: boolean;
  /** The X-Error-Code of a Hugging Face hub, such as GatedRepo. */
  readonly hubCode: string | undefined;

  constructor(message: string, status: number, { retryAfter, unreachable = false, hubCode, ...options }: HttpErrorOptions = {}) {
    super(message, options);
    this.status = status;
    this.retryAfter = retryAfter;
    this.unreachable = unreachable;
    this.hubCode = hubCode;
  }

  /** True if another attempt may succeed. */
  get passing(): boolean {
    return [0, 408, 425, 429].includes(this.status) || this.status >= 500;
  }
}

const UNREACHABLE = ['ECONNREFUSED', 'ENOTFOUND', 'ENETUNREACH', 'EHOSTUNREACH'];

/** The error for a request that got no answer. `error` is what fetch rejected with. */
export function networkError(error: unknown, url: string, headers: Record<string, string> | undefined): HttpError {
  const cause = safeCause(error, headers);
  const unreachable = UNREACHABLE.includes(codeOf(error) ?? '') || globalThis.navigator?.onLine === false;
  return new HttpError(
    `${display(url)} could not be fetched: ${cause.message}; check the address and the network` +
      `${hasFiles() ? '' : ' (in a browser the server must also allow this page by CORS)'}.${surroundings(url)}`,
    0,
    { cause, unreachable },
  );
}

/**
 * The text and code of an error of fetch, without the URLs and headers that it may quote. Node's fetch says only `fetch
 * failed`; the reason is in its cause.
 */
export function safeCause(error: unknown, headers: Record<string, string> | undefined): Error {
  const { message, cause } = error as Error;
  const inner = cause as (Error & { code?: string }) | undefined;
  const secrets = Object.values(headers ?? {}).flatMap((value) => [value, value.replace(/^\w+ /, '')]);
  const text = withoutSecrets(inner ? `${message} (${inner.message || inner.code})` : message, secrets);
  return Object.assign(new Error(text), { code: codeOf(error) });
}

function codeOf(error: unknown): string | undefined {
  const { code, cause } = error as { code?: string; cause?: { code?: string } };
  return cause?.code ?? code;
}

/** Circumstances of this process or page that explain why a request failed. */
function surroundings(url: string): string {
  if (globalThis.location?.protocol === 'file:')
    return ' This page was opened as a file (file://), from which browsers fetch little: serve it by a web server, for instance `npx serve`.';
  const name = /^https:/i.test(url) ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const proxy = [name, name.toLowerCase()].find((variable) => environment(variable));
  if (!proxy || runtime().name !== 'node' || environment('NODE_USE_ENV_PROXY') === '1') return '';
  return ` ${proxy} is set, but Node does not use it by itself: run Node 24 or later with NODE_USE_ENV_PROXY=1.`;
}

/** Throws HttpError unless the answer is a file. */
export function checkAnswer(response: Response, url: string): void {
  const { status, statusText, headers } = response;
  if (response.ok && !isPage(response)) return;
  const shown = display(url);
  const fail = (message: string, retryAfter?: number) => {
    throw new HttpError(message, status, { retryAfter, hubCode: headers.get('x-error-code') ?? undefined });
  };
  const hub = /^https?:\/\/huggingface\.co\//.test(url)
    ? " On Hugging Face pass '<user>/<model>', or …/<user>/<model>/resolve/main."
    : '';
  if (response.ok)
    fail(
      `${shown} answered with a web page (HTTP ${status}, text/html), not with a file; ` +
        `pass the URL of a folder with config.json and model.safetensors.${hub}`,
    );
  const what = `${shown} answered HTTP ${status}${statusText && ` ${statusText}`}`;
  if (status === 404 || status === 410)
    fail(
      `${what}: there is no such file; pass the URL of a folder with config.json and model.safetensors, ` +
        `or of a .safetensors file with config.json beside it.${hub}`,
    );
  if (status === 401 || status === 403)
    fail(`${what}: it may not be read without signing in; make it public, pass a token, or download it and pass the files.`);
  const wait = retryAfter(headers);
  const when = wait === undefined ? 'later' : `in ${Math.ceil(wait / 1000)} s`;
  if (status === 429) fail(`${what}: it has had too many requests from here; try again ${when}, or pass a token.`, wait);
  if ([502, 503, 504].includes(status))
    fail(`${what}: the server, or a gateway before it, is out of order at the moment; try again ${when}.`, wait);
  fail(`${what}; try again ${when}, or download the files and pass them.`, wait);
}

/** The Retry-After header, seconds or a date, in ms. */
function retryAfter(headers: Headers): number | undefined {
  const text = headers.get('retry-after');
  if (text === null) return undefined;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

/** True for the answers of servers that do not have a file; some send their web page with status 200. */
export function isMissing({ status, ok, headers }: Pick<Response, 'status' | 'ok' | 'headers'>): boolean {
  return [403, 404, 410].includes(status) || isPage({ ok, headers });
}

export function isPage({ ok, headers }: Pick<Response, 'ok' | 'headers'>): boolean {
  return ok && /^\s*(text\/html|application\/xhtml)/i.test(headers.get('content-type') ?? '');
}

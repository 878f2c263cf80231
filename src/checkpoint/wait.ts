/** Waiting for the network: pauses, abort signals, time limits and further attempts. */
import { HttpError } from './http_error.js';

/** All times in ms. Tests shorten them. */
export const timing = {
  /** Pauses before the further attempts of a request. */
  pauses: [200, 400, 800, 1600],
  /** Longest Retry-After that is waited for; a server that asks for more gets no further attempt. */
  retryAfter: 60_000,
  /** Longest time until a server begins to answer. */
  answer: 60_000,
  /** Longest time in which a connection may deliver less than SLOW bytes before it is replaced. */
  idle: 30_000,
  /** Longest time for which another tab or process that holds the lock may store nothing. */
  lock: 120_000,
  /** Longest time in which a server must say whether a cached file has changed; after it the cached file is used. */
  version: 10_000,
  /** Interval at which the progress of another tab or process is looked at. */
  poll: 200,
};

/** See `timing.idle`. */
export const SLOW = 16 * 1024;

/** Watches the pace of a download, so that a connection that delivers next to nothing is given up like one that delivers nothing. */
export class Pace {
  /** The offset from which on less than SLOW bytes have come, and how long that was waited for, ms. */
  private from = 0;
  private waited = 0;

  /** Begins again at an offset, with a new connection. */
  restart(at: number): void {
    this.from = at;
    this.waited = 0;
  }

  /** How long the next piece may take, ms. */
  get left(): number {
    return Math.max(1, timing.idle - this.waited);
  }

  /** Counts the time that `read` takes. */
  async wait<T>(read: () => Promise<T>): Promise<T> {
    const start = Date.now();
    const result = await read();
    this.waited += Date.now() - start;
    return result;
  }

  reached(at: number): void {
    if (at - this.from >= SLOW) this.restart(at);
  }
}

type Signals = readonly (AbortSignal | undefined)[];

/** Waits for `ms`; rejects with the reason of the first of `signals` that is aborted. */
export async function delay(ms: number, signals: Signals): Promise<void> {
  const control = new AbortController();
  await abortable(
    control,
    signals,
    () =>
      new Promise<void>((resolve, reject) => {
        const timer = setTimeout(resolve, ms);
        control.signal.addEventListener('abort', () => {
          clearTimeout(timer);
          reject(control.signal.reason);
        });
      }),
  );
}

/** Runs `work`; aborts `control` with the first of `signals` that is aborted, and then rejects with the reason of that one. */
export async function abortable<T>(control: AbortController, signals: Signals, work: () => Promise<T>): Promise<T> {
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

/** Runs `work`, a request or read that `control` stops, and rejects with an HttpError of `message` if it takes longer than `ms`. */
export async function within<T>(ms: number, control: AbortController, message: () => string, work: () => Promise<T>): Promise<T> {
  let late: HttpError | undefined;
  const timer = setTimeout(() => {
    late = new HttpError(message(), 0);
    control.abort(late);
  }, ms);
  try {
    return await work();
  } catch (error) {
    throw late ?? error;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Runs `work` again, after a pause, while it fails in a way that may pass (see `pauseBefore`). Rejects with the first of such
 * errors when the attempts are used up, and with any other error at once.
 */
export async function retrying<T>(signals: Signals, work: () => Promise<T>, attempts = timing.pauses.length + 1): Promise<T> {
  let first: unknown;
  for (let failures = 0; ; failures++) {
    try {
      return await work();
    } catch (error) {
      const pause = failures + 1 < attempts ? pauseBefore(error, failures) : undefined;
      const passing = error instanceof HttpError && error.passing;
      first ??= error;
      if (pause === undefined) throw passing ? first : error;
      await delay(pause, signals);
    }
  }
}

/**
 * How long to wait before another attempt, after `failures` earlier ones; undefined if there should be none. A server that
 * cannot be reached at all gets one more attempt only: waiting rarely helps, and offline users would wait for the cache.
 */
export function pauseBefore(error: unknown, failures: number): number | undefined {
  if (!(error instanceof HttpError) || !error.passing) return undefined;
  const pause = timing.pauses[failures];
  if (pause === undefined || (error.unreachable && failures > 0)) return undefined;
  const asked = error.retryAfter ?? 0;
  return asked > timing.retryAfter ? undefined : Math.max(pause, asked);
}

/** What the page does with a worker: calls, listeners, streams of answers, and arguments that can be sent. */
import type { StepInfo } from '../aim.js';
import { isRepositoryId } from '../checkpoint/folder.js';
import type { CheckpointSource, Progress } from '../checkpoint/source.js';
import { DisposedError, OptionError } from '../core/errors.js';
import { checkOption, type OptionSpec, shown } from '../core/options.js';
import { warn } from '../io/bytes.js';
import { AimImage } from '../io/image.js';
import { hasFiles } from '../platform/runtime.js';
import { hasWorkerThreads, type Thread } from '../platform/thread.js';
import { type SentFile, sentFiles } from './files.js';
import { type Calls, type FilePiece, type FromWorker, type PlainStep, revivedError, type ToWorker } from './messages.js';
import { broken } from './start.js';

/** Callbacks and signals of a call, which stay on this side. */
export interface Listeners {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
  onWarning?: ((message: string) => void) | undefined;
  onStep?: ((step: StepInfo) => unknown) | undefined;
}

/** What takes each item of a stream. Resolves to false to end it. */
type Taker = (item: unknown) => Promise<boolean>;

const LISTENERS: Record<keyof Listeners, OptionSpec> = {
  signal: { type: 'signal', about: 'stops the call' },
  onProgress: { type: 'function', about: 'called with the progress' },
  onWarning: { type: 'function', about: 'called with warnings' },
  onStep: { type: 'function', about: 'called after each position of each batch' },
};

/**
 * Divides the options of a call into those that go to the worker, which checks them, and the listeners, which stay here. Throws
 * OptionError where the options are no object or a listener is none.
 */
export function divided<O extends object, K extends keyof Listeners>(call: string, given: O, listeners: readonly K[]) {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new OptionError(`${call}: the options are ${shown(given)}; pass an object, or nothing.`);
  const plain = { ...given } as Record<string, unknown>;
  const heard: Record<string, unknown> = {};
  for (const name of listeners) {
    if (plain[name] !== undefined) heard[name] = checkOption(name, plain[name], LISTENERS[name]);
    delete plain[name];
  }
  return [plain as Omit<O, K>, heard as Listeners] as const;
}

/** Calls that answer with items. */
type StreamCall = { [K in keyof Calls]: ReturnType<Calls[K]> extends void ? K : never }[keyof Calls];

/** A call without an answer yet. */
interface Pending extends Listeners {
  onItem?: Taker | undefined;
  resolve(result: unknown): void;
  reject(reason: unknown): void;
}

/** The connection to one worker. Calls are identified by numbers. */
export class Connection {
  ended = false;
  private next = 1;
  private readonly pending = new Map<number, Pending>();

  constructor(private readonly thread: Thread) {
    thread.onMessage((message) => this.receive(message));
    thread.onFailure((error) => this.end(broken(error)));
  }

  /**
   * Sends a call. Rejects like a call without a worker: with `signal.reason`, with the error of a callback, or with an AimError.
   */
  async call<K extends keyof Calls>(
    call: K,
    args: Parameters<Calls[K]>,
    listeners: Listeners & { onItem?: Taker } = {},
  ): Promise<ReturnType<Calls[K]>> {
    const { signal, onProgress, onStep } = listeners;
    if (this.ended) throw new DisposedError('this AiM');
    signal?.throwIfAborted();
    const id = this.next++;
    const abort = () => this.send({ id, abort: true });
    try {
      return await new Promise((resolve, reject) => {
        this.pending.set(id, { ...listeners, resolve: resolve as Pending['resolve'], reject });
        this.thread.hold(true);
        signal?.addEventListener('abort', abort);
        this.send({ id, call, args, listens: Boolean(onProgress ?? onStep) } as unknown as ToWorker);
      });
    } catch (error) {
      signal?.throwIfAborted();
      // By its name, because the exception may be of another realm.
      if ((error as Error | undefined)?.name === 'DataCloneError')
        throw new OptionError(`${call}: ${(error as Error).message}, so it cannot go to a worker; pass plain values.`);
      throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
      this.pending.delete(id);
      if (this.pending.size === 0) this.thread.hold(false);
    }
  }

  /**
   * Sends a call that answers with items, and yields them. The worker makes the next one when it is asked for. Rejects like `call`;
   * leaving the loop ends the call.
   */
  async *stream<T>(call: StreamCall, args: unknown[], listeners: Listeners = {}): AsyncGenerator<T, void, undefined> {
    type Item = { value: T; release(proceed: boolean): void };
    let give!: (item: Item) => void;
    const coming = () => new Promise<Item>((resolve) => (give = resolve));
    let next = coming();
    const onItem = (value: unknown) => new Promise<boolean>((release) => give({ value: value as T, release }));
    const ended = this.call(call, args as never, { ...listeners, onItem }).then(() => undefined);
    // A failure is reported by the race below, when the next item is asked for.
    ended.catch(() => {});
    for (;;) {
      const item = await Promise.race([next, ended]);
      if (!item) return;
      next = coming();
      let proceed = false;
      try {
        yield item.value;
        proceed = true;
      } finally {
        item.release(proceed);
        if (!proceed) await ended.catch(() => {});
      }
    }
  }

  /** Ends the worker. Calls without an answer reject with `reason`. */
  end(reason: Error = new DisposedError('this AiM')): void {
    if (this.ended) return;
    this.ended = true;
    this.thread.end();
    for (const { reject } of this.pending.values()) reject(reason);
  }

  private receive(message: FromWorker): void {
    const call = this.pending.get(message.id);
    if (!call) return;
    if ('result' in message) call.resolve(message.result);
    else if ('error' in message) call.reject(revivedError(message.error));
    else if ('step' in message) void this.step(message.id, call, message.step);
    else if ('item' in message) void call.onItem?.(message.item).then((proceed) => this.seen(message.id, proceed));
    else if ('warning' in message) warn(call, message.warning);
    else call.onProgress?.(message.progress);
  }

  /** Runs the callback of a step, then lets the worker continue, or end the drawing if the callback threw. */
  private async step(id: number, call: Pending, step: PlainStep): Promise<void> {
    let proceed = true;
    try {
      const preview = async () => (await this.call('preview', [id])).map((image) => new AimImage(image));
      await call.onStep?.({ ...step, preview });
    } catch (error) {
      call.reject(error);
      proceed = false;
    }
    this.seen(id, proceed);
  }

  /** Lets the worker continue a call that waits for this side, or end it. */
  private seen(id: number, proceed: boolean): void {
    if (!this.ended) this.send({ id, seen: proceed });
  }

  private send(message: ToWorker): void {
    this.thread.post(message);
  }
}

/** The source in a form that can be sent. URLs become absolute, because the worker does not know the page's address. */
export async function portable(source: CheckpointSource): Promise<CheckpointSource | SentFile[]> {
  if (typeof source === 'string' || source instanceof URL)
    return hasFiles() || isRepositoryId(String(source)) ? String(source) : absolute(source);
  if (typeof source !== 'object' || source === null) return source;
  if (Symbol.iterator in source) {
    const files = [...source];
    return hasWorkerThreads() && files.every((file) => file instanceof Blob) ? sentFiles(files) : files;
  }
  const { weights } = source;
  if (typeof weights !== 'string' && !(weights instanceof URL)) return source;
  return { ...source, weights: hasFiles() ? String(weights) : absolute(weights) };
}

/** An option that is an absolute or relative URL, as an absolute one. Throws OptionError if it is not valid. */
export function address(name: string, url: string | URL | undefined): string | undefined {
  return url === undefined ? undefined : absolute(checkOption(name, url, { type: 'url', about: 'an address' }));
}

/** An absolute URL. Throws OptionError if it is not valid. */
function absolute(url: string | URL): string {
  const page = globalThis.location?.href;
  if (!page) return String(url);
  try {
    return new URL(url, page).href;
  } catch (error) {
    throw new OptionError(`${url} is not a valid URL; correct it.`, { cause: error });
  }
}

/** The files whose pieces a call gives. */
export async function collected(pieces: AsyncIterable<FilePiece>): Promise<File[]> {
  const parts = new Map<string, Blob[]>();
  for await (const { name, data } of pieces) {
    // Blobs need not stay in memory.
    const piece = new Blob([data]);
    const list = parts.get(name);
    if (list) list.push(piece);
    else parts.set(name, [piece]);
  }
  return [...parts].map(([name, blobs]) => new File(blobs, name));
}

/**
 * The AiM of `aim-js`, running in a worker so that it never blocks the page. Methods have the same meaning as in `aim-js`. Each
 * model has its own worker, which starts when the model is loaded and ends with `dispose`.
 * @module aim-js/worker
 */
import type { EncodeInput, Generated, GenerateOptions, LoadOptions, StepInfo, TuneOptions } from '../aim.js';
import type { BackendName } from '../backend/backend.js';
import type { DeviceName } from '../backend/create.js';
import type { TunedKernel } from '../backend/tune.js';
import { isRepositoryId } from '../checkpoint/folder.js';
import type { CheckpointSource, Progress } from '../checkpoint/source.js';
import { DisposedError, OptionError } from '../core/errors.js';
import { checkOption, type OptionSpec, shown } from '../core/options.js';
import { warn } from '../io/bytes.js';
import { AimImage } from '../io/image.js';
import type { AimConfig, AimConfigJson } from '../model/config.js';
import { checkCodeList, checkImages } from '../model/pixels.js';
import { hasFiles } from '../platform/files.js';
import type { Thread } from '../platform/thread.js';
import { type Calls, type FromWorker, type ModelFacts, type PlainStep, revivedError, type ToWorker } from './messages.js';
import { broken, startThread } from './start.js';

export type { EncodeInput, Generated, GenerateOptions, StepInfo, TuneOptions } from '../aim.js';
export type { DeviceName } from '../backend/create.js';
export type { TunedKernel } from '../backend/tune.js';
export { type CachedFile, type CacheOptions, cachedFiles, clearCache } from '../cache/entry.js';
export type { CheckpointSource, Progress, RemoteOptions, SourceOptions } from '../checkpoint/source.js';
export * from '../core/errors.js';
export { AimImage } from '../io/image.js';
export type { AimConfig, AimConfigJson } from '../model/config.js';
export type { SamplingOptions } from '../model/sampler.js';

/** Options for loading a model in a worker. */
export interface WorkerLoadOptions extends Omit<LoadOptions, 'device'> {
  /** A device by name, default 'auto'. A GPUDevice of the page cannot be sent to a worker. */
  device?: DeviceName;
  /**
   * URL of the worker's script: a copy of `dist/aim.worker.min.js` on your own origin. It is needed only under a
   * Content-Security-Policy that forbids `worker-src blob:`. Default: the library starts the worker from a Blob.
   */
  workerUrl?: string | URL;
}

/**
 * A model in a worker: draws images, encodes and decodes them. Created by `fromPretrained` or `fromConfig`, ended by `dispose`.
 *
 * Arguments are copied to the worker. Images [height, width, 3] and codes [T] come back in typed arrays of the page. Errors have
 * the same classes, codes and messages as in `aim-js`; a worker that fails rejects all its calls with DeviceError.
 */
export class AiM {
  /** The configuration of the checkpoint, with defaults filled in. */
  readonly config: AimConfig;
  /** Class names, if the checkpoint has a classes.json. */
  readonly classes: string[] | undefined;
  /** Names of tensors of the checkpoint that the model does not use. */
  readonly ignored: string[];
  /** The backend that the model computes on: 'wasm' or 'webgpu'. */
  readonly backend: BackendName;
  /** A description of the device, e.g. 'webgpu (NVIDIA H100)'. */
  readonly device: string;
  /** Number of parameters of the two stages. */
  readonly parameters: { model: number; tokenizer: number };
  /** Name and shape of every tensor, as in the checkpoint; `mamba.` is stage 2, `vqvae.` the tokenizer. */
  readonly tensors: { name: string; shape: readonly number[] }[];

  private constructor(
    private readonly connection: Connection,
    facts: ModelFacts,
  ) {
    this.config = facts.config;
    this.classes = facts.classes;
    this.ignored = facts.ignored;
    this.backend = facts.backend;
    this.device = facts.device;
    this.parameters = facts.parameters;
    this.tensors = facts.tensors;
  }

  /** Loads a checkpoint; see `AiM.fromPretrained` of `aim-js`. Also throws DeviceError if the worker cannot be started. */
  static async fromPretrained(source: CheckpointSource, options: WorkerLoadOptions = {}): Promise<AiM> {
    return AiM.load('fromPretrained', portable(source), options);
  }

  /** Creates a model of the given configuration with new random weights, which depend on `seed`. Throws like `fromPretrained`. */
  static async fromConfig(json: AimConfigJson, options: WorkerLoadOptions & { seed?: number } = {}): Promise<AiM> {
    return AiM.load('fromConfig', json, options);
  }

  private static async load<K extends 'fromPretrained' | 'fromConfig'>(
    call: K,
    what: Parameters<Calls[K]>[0],
    given: WorkerLoadOptions,
  ): Promise<AiM> {
    const [{ workerUrl, wasmUrl, ...options }, listeners] = divided(call, given, ['signal', 'onProgress', 'onWarning']);
    listeners.signal?.throwIfAborted();
    if (typeof options.device === 'object' && options.device !== null)
      throw new OptionError("a GPUDevice cannot go to a worker; pass device: 'webgpu', or use AiM of 'aim-js' on this thread.");
    const connection = new Connection(await startThread(address('workerUrl', workerUrl)));
    try {
      const plain = wasmUrl === undefined ? options : { ...options, wasmUrl: address('wasmUrl', wasmUrl) };
      const facts = await connection.call(call, [what, plain] as unknown as Parameters<Calls[K]>, listeners);
      return new AiM(connection, facts as ModelFacts);
    } catch (error) {
      connection.end();
      throw error;
    }
  }

  /** Draws images; see `generate` of `aim-js`. If `onStep` is async, drawing waits for it. */
  async generate(options: GenerateOptions = {}): Promise<Generated> {
    const [plain, listeners] = divided('generate', options, ['signal', 'onStep']);
    const drawn = await this.connection.call('generate', [plain], listeners);
    return { ...drawn, images: drawn.images.map((image) => new AimImage(image)) };
  }

  /** Finds the fastest variants of the kernels for this GPU; see `tune` of `aim-js`. */
  async tune(options: TuneOptions = {}): Promise<TunedKernel[]> {
    const [plain, listeners] = divided('tune', options, ['signal', 'onProgress']);
    return this.connection.call('tune', [plain], listeners);
  }

  /** Encodes images to the codes [T'] of each; see `encode` of `aim-js`. */
  async encode(images: readonly EncodeInput[]): Promise<Uint32Array[]> {
    checkImages(images);
    return this.connection.call('encode', [images.map(({ width, height, data }) => ({ width, height, data }))]);
  }

  /** Decodes the codes of square token grids to images; see `decode` of `aim-js`. */
  async decode(codes: readonly ArrayLike<number>[], options: { signal?: AbortSignal | undefined } = {}): Promise<AimImage[]> {
    const [plain, listeners] = divided('decode', options, ['signal']);
    checkCodeList(codes);
    return (await this.connection.call('decode', [codes, plain], listeners)).map((image) => new AimImage(image));
  }

  /** Frees the model and ends the worker. Calls still running reject. Later calls throw DisposedError. */
  async dispose(): Promise<void> {
    if (this.connection.ended) return;
    await this.connection.call('dispose', []).finally(() => this.connection.end());
  }
}

/** Callbacks and signals of a call, which stay on this side. */
interface Listeners {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
  onWarning?: ((message: string) => void) | undefined;
  onStep?: ((step: StepInfo) => unknown) | undefined;
}

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
function divided<O extends object, K extends keyof Listeners>(call: string, given: O, listeners: readonly K[]) {
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

/** A call without an answer yet. */
interface Pending extends Listeners {
  resolve(result: unknown): void;
  reject(reason: unknown): void;
}

/** The connection to one worker. Calls are identified by numbers. */
class Connection {
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
    listeners: Listeners = {},
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
    if (!this.ended) this.send({ id, seen: proceed });
  }

  private send(message: ToWorker): void {
    this.thread.post(message);
  }
}

/** The source in a form that can be sent. URLs become absolute, because the worker does not know the page's address. */
function portable(source: CheckpointSource): CheckpointSource {
  if (typeof source === 'string' || source instanceof URL)
    return hasFiles() || isRepositoryId(String(source)) ? String(source) : absolute(source);
  if (typeof source !== 'object' || source === null) return source;
  if (Symbol.iterator in source) return [...source];
  const { weights } = source;
  if (typeof weights !== 'string' && !(weights instanceof URL)) return source;
  return { ...source, weights: hasFiles() ? String(weights) : absolute(weights) };
}

/** An option that is an absolute or relative URL, as an absolute one. Throws OptionError if it is not valid. */
function address(name: string, url: string | URL | undefined): string | undefined {
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

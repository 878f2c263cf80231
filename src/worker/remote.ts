/** The AiM of a page whose model is in a worker. */
import type {
  Drawn,
  EncodeInput,
  Generated,
  GenerateOptions,
  LikelihoodOptions,
  LoadOptions,
  SaveOptions,
  TuneOptions,
} from '../aim.js';
import type { BackendName } from '../backend/backend.js';
import type { DeviceName } from '../backend/create.js';
import type { TunedKernel } from '../backend/tune.js';
import type { CheckpointSource, SourceOptions } from '../checkpoint/source.js';
import { OptionError } from '../core/errors.js';
import { AimImage } from '../io/image.js';
import type { AimConfig, AimConfigJson } from '../model/config.js';
import { checkCodeList } from '../model/decode.js';
import type { Classes } from '../model/likelihood.js';
import { checkImages } from '../model/pixels.js';
import type { ModelSampling } from '../model/sampler.js';
import { address, Connection, collected, divided, portable } from './connection.js';
import type { Calls, ModelFacts, PlainDrawn } from './messages.js';
import { startThread } from './start.js';

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
  /** Sampling settings that the checkpoint recommends, which are the defaults of `generate`; see `sampling` of `aim-js`. */
  readonly sampling: ModelSampling;
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

  /** @internal */
  readonly connection: Connection;
  private names: string[] | undefined;

  private constructor(connection: Connection, facts: ModelFacts) {
    this.connection = connection;
    this.config = facts.config;
    this.names = facts.classes;
    this.sampling = facts.sampling;
    this.ignored = facts.ignored;
    this.backend = facts.backend;
    this.device = facts.device;
    this.parameters = facts.parameters;
    this.tensors = facts.tensors;
  }

  /** Class names, if the checkpoint has a classes.json. */
  get classes(): string[] | undefined {
    return this.names;
  }

  /** @internal Called when training has changed the class names in the worker. */
  renamed(classes: string[] | undefined): void {
    this.names = classes;
  }

  /** Loads a checkpoint; see `AiM.fromPretrained` of `aim-js`. Also throws DeviceError if the worker cannot be started. */
  static async fromPretrained(source: CheckpointSource, options: WorkerLoadOptions = {}): Promise<AiM> {
    return AiM.load('fromPretrained', await portable(source), options);
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

  /** Replaces the tokenizer or stage 2 by that of another checkpoint; see `loadPart` of `aim-js`. */
  async loadPart(part: 'vqvae.' | 'mamba.', source: CheckpointSource, options: SourceOptions = {}): Promise<void> {
    const [plain, listeners] = divided('loadPart', options, ['signal', 'onProgress', 'onWarning']);
    return this.connection.call('loadPart', [part, await portable(source), plain], listeners);
  }

  /** Draws images; see `generate` of `aim-js`. If `onStep` is async, drawing waits for it. */
  async generate(options: GenerateOptions = {}): Promise<Generated> {
    const [plain, listeners] = divided('generate', options, ['signal', 'onStep']);
    const drawn = await this.connection.call('generate', [plain], listeners);
    return { ...drawn, images: drawn.images.map((image) => new AimImage(image)) };
  }

  /**
   * Draws the images of `generate` and yields each; see `generateEach` of `aim-js`. The next batch is drawn when its first image is
   * asked for; leaving the loop ends the drawing.
   */
  async *generateEach(options: GenerateOptions = {}): AsyncGenerator<Drawn, void, undefined> {
    const [plain, listeners] = divided('generate', options, ['signal', 'onStep']);
    const drawn = this.connection.stream<PlainDrawn>('generateEach', [plain], listeners);
    for await (const { image, ...rest } of drawn) yield { image: new AimImage(image), ...rest };
  }

  /** The logits [T, V] of known images; see `logits` of `aim-js`. */
  async logits(
    codes: readonly ArrayLike<number>[],
    classes: Classes,
    options: LikelihoodOptions = {},
  ): Promise<Float32Array<ArrayBuffer>[]> {
    const [plain, listeners] = divided('logits', options, ['signal']);
    return this.connection.call('logits', [codes, classes, plain], listeners);
  }

  /** The log-likelihood ln p(codes | class) of each image in nats; see `logLikelihood` of `aim-js`. */
  async logLikelihood(codes: readonly ArrayLike<number>[], classes: Classes, options: LikelihoodOptions = {}): Promise<number[]> {
    const [plain, listeners] = divided('logLikelihood', options, ['signal']);
    return this.connection.call('logLikelihood', [codes, classes, plain], listeners);
  }

  /** Writes the model as a checkpoint into a folder (Node, Deno); see `save` of `aim-js`. */
  async save(folder: string, options: SaveOptions = {}): Promise<void> {
    const [plain, listeners] = divided('save', options, ['signal']);
    return this.connection.call('save', [folder, plain], listeners);
  }

  /** The files that `save` writes, in memory; see `toFiles` of `aim-js`. Weights come from the worker tensor by tensor. */
  async toFiles(options: SaveOptions = {}): Promise<File[]> {
    const [plain, listeners] = divided('toFiles', options, ['signal']);
    return collected(this.connection.stream('toFiles', [plain], listeners));
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

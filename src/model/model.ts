/**
 * A model on a device: configuration, parameters, and the data from which a lost device is restored. AiM, the trainer, `verify`
 * and `tokenize` use this class. It is not part of the public API.
 */
import type { Backend } from '../backend/backend.js';
import { createBackend, DEVICE, type DeviceOptions } from '../backend/create.js';
import type { TunedKernel } from '../backend/tune.js';
import { WebGpuBackend } from '../backend/webgpu.js';
import { CLASSES, downloads, GENERATION } from '../checkpoint/folder.js';
import { type CheckpointFiles, type CheckpointSource, openCheckpoint, type SourceOptions } from '../checkpoint/source.js';
import { unlessAborted } from '../core/abort.js';
import { DeviceError, DisposedError } from '../core/errors.js';
import type { OptionTable } from '../core/options.js';
import type { Progress } from '../core/progress.js';
import type { NumArray, Tensor } from '../core/tensor.js';
import { SOURCE } from '../io/bytes.js';
import type { AimImage } from '../io/image.js';
import { aimParams } from './aim.js';
import { packed } from './arena.js';
import { parseClasses } from './classes.js';
import { type AimConfig, type AimConfigJson, parseConfig } from './config.js';
import { decodeTensor } from './images.js';
import type { ParamValues } from './initial.js';
import { widened } from './layers.js';
import { checkShapes, loadTensors, openWeights, type PlacedParam, type Weights } from './load.js';
import { bringLayers } from './mixers.js';
import { type Computed, type Origin, type Part, restore, withOrigin } from './origin.js';
import { allocate, type ParamTree, replace, walk, zip } from './params.js';
import type { ModelTree, Placed } from './placed.js';
import { Recovery } from './recovery.js';
import type { ModelSampling } from './sampler.js';
import { tokenizerOf } from './tokenizers.js';

/** Options for loading a model. */
export interface LoadOptions extends DeviceOptions, SourceOptions {
  /**
   * Number format of the weights on a WebGPU device. 'f16' halves memory and traffic and rounds weights to float16. 'auto' (the
   * default) uses float16 for weights that are float16 in the file, which loses nothing. States, sums and WASM always use
   * float32.
   */
  dtype?: 'auto' | 'f32' | 'f16';
}

export const LOAD = {
  ...DEVICE,
  ...SOURCE,
  dtype: {
    type: 'choice',
    choices: ['auto', 'f32', 'f16'],
    about: 'number format of weights on WebGPU; f16 rounds them to float16, auto uses float16 where the file does',
  },
  signal: { type: 'signal', about: 'stops the loading' },
} as const satisfies OptionTable<LoadOptions>;

const treeOf = (config: AimConfig): ModelTree => ({
  mamba: { backbone: aimParams(config) },
  vqvae: tokenizerOf(config.tokenizer).params(config.tokenizer),
});

const walkTree = (tree: ModelTree) => walk(tree as unknown as ParamTree);
const zipTree = (tree: ModelTree, params: Placed['params']) => zip(tree as unknown as ParamTree, params);

/** See the head of this file. */
export class Model {
  /** Class names, if the checkpoint has a classes.json. */
  classes: string[] | undefined;
  /** The settings of generation_config.json, which are the defaults of drawing. */
  sampling: ModelSampling = {};
  /** Names of tensors of the checkpoint that the model does not use. */
  ignored: string[] = [];
  /** True if weights were rounded to float16 from another format. */
  rounded = false;
  /** The origins of the weights, from which they are restored on another device; empty if the device cannot be replaced. */
  origins: readonly Origin[] = [];
  private readonly recovery: Recovery<Placed>;

  private constructor(
    be: Backend,
    readonly config: AimConfig,
    readonly tree: ModelTree,
    private readonly options: LoadOptions,
    half: (name: string) => boolean,
  ) {
    const place = (on: Backend): Placed => ({
      be: on,
      params: allocate(on, tree as unknown as ParamTree, half) as unknown as Placed['params'],
    });
    const { description } = be;
    const remake = async (signal: AbortSignal) => {
      const other = await openBackend({ ...options, device: 'webgpu', signal });
      try {
        if (other.description !== description)
          throw new DeviceError(`${description} is gone, there is now ${other.description}; load the model again on that.`);
        const on = place(other);
        await restore(this, on, signal);
        signal.throwIfAborted();
        return on;
      } catch (error) {
        other.dispose();
        throw error;
      }
    };
    this.recovery = new Recovery(place(be), be.traits.replaceable ? remake : undefined);
  }

  /** Loads a checkpoint. See AiM.fromPretrained. */
  static async load(source: CheckpointSource, options: LoadOptions): Promise<Model> {
    const { dtype = 'auto', signal } = options;
    const readable = reusable(source);
    // A device takes about as long to open as a checkpoint, so both are opened at once.
    const opening = openBackend(options);
    // A failure counts when the device is needed.
    opening.catch(() => {});
    let files: CheckpointFiles | undefined;
    let model: Model | undefined;
    try {
      files = await openCheckpoint(readable, options);
      const config = parseConfig(await files.config(), `${files.name}: config.json`);
      await bringLayers(config);
      const tree = treeOf(config);
      const weights = await openWeights(files, signal);
      // Compare before allocating memory: the config may ask for far more than the file has.
      checkShapes(weights, walkTree(tree));
      const isHalf = (name: string) => weights.header.tensors.get(name)?.dtype === 'F16';
      model = await Model.open(opening, config, tree, options, (name) => dtype === 'f16' || (dtype === 'auto' && isHalf(name)));
      model.ignored = await model.loadWeights(readable, files, '', options, weights);
      const [classes, generation] = await Promise.all([files.text(CLASSES), files.text(GENERATION)]);
      model.classes = parseClasses(classes, config.num_classes);
      if (generation !== undefined) {
        const { recommended } = await import('./generation_config.js');
        model.sampling = recommended(generation, `${files.name}: ${GENERATION}`, options);
      }
      return model;
    } catch (error) {
      if (model) model.dispose();
      else
        opening.then(
          (be) => be.dispose(),
          () => {},
        );
      throw error;
    } finally {
      await files?.close();
    }
  }

  /** Creates a model with new random weights, which depend only on `seed`. */
  static async initialise(json: AimConfigJson, options: LoadOptions, seed: number): Promise<Model> {
    return Model.made(json, options, { from: 'initialisation', seed });
  }

  /** Creates a model whose parameters are computed by `values`. For measurements. */
  static async filled(json: AimConfigJson, options: LoadOptions, values: ParamValues): Promise<Model> {
    return Model.made(json, options, { from: 'function', values });
  }

  private static async made(json: AimConfigJson, options: LoadOptions, origin: Computed): Promise<Model> {
    const config = parseConfig(json);
    await bringLayers(config);
    const model = await Model.open(openBackend(options), config, treeOf(config), options, () => options.dtype === 'f16');
    try {
      const { fill } = await import('./initial.js');
      await model.attempt((on) => fill(model, on, origin));
      model.remember(origin);
      return model;
    } catch (error) {
      model.dispose();
      throw error;
    }
  }

  /** Creates a model of unspecified weights. `half` selects the weights that are float16 if the device supports that. */
  private static async open(
    opening: Promise<Backend>,
    config: AimConfig,
    tree: ModelTree,
    options: LoadOptions,
    half: (name: string) => boolean,
  ): Promise<Model> {
    const be = await opening;
    try {
      return new Model(be, config, tree, options, (name) => be.traits.halves && half(name));
    } catch (error) {
      be.dispose();
      throw error;
    }
  }

  /** Replaces the weights of one part by those of another checkpoint. See AiM.loadPart. */
  async loadPart(part: Part, source: CheckpointSource, options: SourceOptions): Promise<void> {
    this.assertLive();
    const readable = reusable(source);
    const files = await openCheckpoint(readable, options);
    try {
      await this.loadWeights(readable, files, part, options);
    } finally {
      await files.close();
    }
  }

  /** Loads the weights of one part and remembers their origin. Returns the names of tensors that the model does not use. */
  private async loadWeights(
    source: CheckpointSource,
    files: CheckpointFiles,
    part: Part,
    options: SourceOptions,
    opened?: Weights,
  ): Promise<string[]> {
    const { signal } = options;
    let ready = opened;
    const { ignored, digest } = await this.attempt(async (on) => {
      const weights = ready ?? (await openWeights(files, signal));
      ready = undefined;
      const wanted = this.named(on, part);
      const ignored = await loadTensors(on.be, wanted, weights, signal);
      const { tensors } = weights.header;
      this.rounded ||= [...wanted].some(([name, { tensor }]) => tensor.dtype === 'f16' && tensors.get(name)!.dtype !== 'F16');
      return { ignored, digest: weights.source.digest() };
    }, signal);
    this.remember({ from: 'checkpoint', part, source, options: { ...options, onProgress: undefined }, digest });
    return ignored;
  }

  /** Adds an origin of the weights, for `restore`. Ignored if the device cannot be replaced, because sources may be large. */
  remember(origin: Origin): void {
    if (this.replaceable) this.origins = withOrigin(this.origins, origin);
  }

  /** A model is its own ModelHandle (handle.ts), so internal callers need no AiM. */
  get model(): Model {
    return this;
  }
  /** True if a lost device is replaced by another one. */
  get replaceable(): boolean {
    return this.recovery.replaceable;
  }
  /** The number of times a lost device was replaced. */
  get recoveries(): number {
    return this.recovery.count;
  }
  /** A signal that `dispose` aborts with a DisposedError. */
  get ended(): AbortSignal {
    return this.recovery.ended;
  }

  /** Runs work on the device. If the device is lost and replaced meanwhile, runs the work again from its start. */
  async attempt<R>(work: (on: Placed) => Promise<R>, signal?: AbortSignal): Promise<R> {
    this.assertLive();
    return this.recovery.attempt(work, signal);
  }

  /** The current device and the parameters on it. Work that must survive a lost device uses the argument of `attempt` instead. */
  get on(): Placed {
    return this.recovery.on;
  }
  get be(): Backend {
    return this.on.be;
  }
  get params(): Placed['params'] {
    return this.on.params;
  }

  /** Parameters by checkpoint name, in the order of the checkpoint: all, or those whose names begin with `part`. */
  named(on = this.on, part: Part = ''): Map<string, PlacedParam> {
    const all = [...zipTree(this.tree, on.params)].map(([name, spec, tensor]) => [name, { spec, tensor }] as const);
    return new Map(all.filter(([name]) => name.startsWith(part)));
  }

  /** The values of a parameter, in the layout that the device uses. */
  async read(name: string): Promise<Float32Array<ArrayBuffer>> {
    return Float32Array.from(await this.attempt((on) => on.be.read(this.named(on).get(name)!.tensor)));
  }

  /** Converts every weight to float32, as training requires. */
  widen(): void {
    if (this.widenWeights(this.on)) this.remember({ from: 'widening' });
  }

  /** `widen` on the given device. Returns false if all weights are float32 already. */
  widenWeights({ be, params }: Placed): boolean {
    const narrow = [...zipTree(this.tree, params)].filter(([, , t]) => t.dtype === 'f16');
    if (narrow.length === 0) return false;
    const { tensors } = packed(
      be,
      narrow.map(([, , t]) => t.shape),
    );
    const wide = new Map<Tensor, Tensor>(narrow.map(([, , t], i) => [t, tensors[i]!]));
    for (const [x, y] of wide) widened(be, x, y);
    be.free(...wide.keys());
    replace(this.tree as unknown as ParamTree, params, (t) => wide.get(t) ?? t);
    return true;
  }

  /** Encodes pixels [n, h, w, 3] in [-1, 1] to codes [n·T'], in chunks that bound the memory of activations. */
  async encodePixels(
    pixels: Float32Array,
    shape: readonly [number, number, number, number],
    signal?: AbortSignal,
  ): Promise<Uint32Array> {
    return (await import('./encode.js')).encodePixels(this, pixels, shape, signal);
  }

  /** Decodes codes [rows, length] of square token grids to images. */
  async decode(codes: NumArray, [rows, length]: readonly [number, number], signal?: AbortSignal): Promise<AimImage[]> {
    return this.attempt(async (on) => {
      const t = on.be.from(codes, [rows, length], 'u32');
      try {
        return await decodeTensor(on, this.config, t, signal);
      } finally {
        on.be.free(t);
      }
    }, signal);
  }

  /** Measures the kernels of everything that was run or recorded on the device so far. See AiM.tune. */
  async tune(options: {
    onProgress?: ((progress: Progress) => void) | undefined;
    signal?: AbortSignal | undefined;
  }): Promise<TunedKernel[]> {
    const { be } = this;
    if (!(be instanceof WebGpuBackend)) return [];
    const { tuneKernels } = await import('../backend/tune.js');
    try {
      return await tuneKernels(be, options);
    } finally {
      await (await downloads()).keepTuning(be, this.options);
    }
  }

  /** Waits for `work`, until `signal` is aborted or the model is disposed. */
  whileLive<T>(work: PromiseLike<T>, signal?: AbortSignal): Promise<T> {
    return unlessAborted(work, signal, this.ended);
  }

  /** Frees the device memory. Later calls throw DisposedError, and so does work that is still running. */
  dispose(): void {
    if (!this.ended.aborted) this.recovery.dispose(new DisposedError('this AiM'));
  }

  /** Throws DisposedError after `dispose`. */
  assertLive(): void {
    if (this.ended.aborted) throw new DisposedError('this AiM');
  }
}

/** Opens a backend with the stored measurements of its device, if there are any. */
async function openBackend(options: LoadOptions): Promise<Backend> {
  const be = await createBackend(options);
  if (be instanceof WebGpuBackend) await (await downloads()).recallTuning(be, options);
  return be;
}

/** Replaces an iterable of Files by a list, because some iterables can be read only once. */
const reusable = (source: CheckpointSource): CheckpointSource =>
  typeof source === 'object' && source !== null && Symbol.iterator in source ? [...source] : source;

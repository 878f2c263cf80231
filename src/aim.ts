/** The public face: load a model, draw images, encode and decode. */
import type { Backend, BackendName } from './backend/backend.js';
import { createBackend, type DeviceOptions } from './backend/create.js';
import type { TunedKernel } from './backend/tune.js';
import { WebGpuBackend } from './backend/webgpu.js';
import { downloads } from './checkpoint/folder.js';
import { type CheckpointFiles, type CheckpointSource, openCheckpoint, type SourceOptions } from './checkpoint/source.js';
import { CheckpointError, DeviceError, DisposedError, OptionError } from './core/errors.js';
import type { Progress } from './core/progress.js';
import { threefry2x32 } from './core/random.js';
import type { NumArray, Tensor } from './core/tensor.js';
import { sampled } from './io/bytes.js';
import { AimImage } from './io/image.js';
import { parseHeader } from './io/safetensors.js';
import { type AimParams, aimParams } from './model/aim.js';
import { packed } from './model/arena.js';
import { type AimConfig, type AimConfigJson, parseConfig } from './model/config.js';
import { widened } from './model/layers.js';
import { loadTensors } from './model/load.js';
import { allocate, countParams, type ParamSpec, type ParamTree, replace, toDevice, zip } from './model/params.js';
import { Recovery } from './model/recovery.js';
import { checkSampling, drawTokens, Sampler, type SamplingOptions } from './model/sampler.js';
import { decodeForward, encodeForward, quantizeForward, type TokenizerParams, tokenizerParams } from './model/tokenizer.js';

export interface LoadOptions extends DeviceOptions, SourceOptions {
  /**
   * How weights lie on a WebGPU device: 'f16' halves memory and traffic, rounding them to float16; 'auto' (the default) does so
   * where the file holds float16, which loses nothing. States, sums and WASM are float32 always.
   */
  dtype?: 'auto' | 'f32' | 'f16';
}

export interface GenerateOptions extends SamplingOptions {
  /** Class numbers or names, taken in turn until `count` images are drawn; 'all' (the default) is every class. */
  classes?: readonly (number | string)[] | number | string;
  /** Number of images. Default: one per class given. */
  count?: number;
  /** Image i is drawn with seed + i, so any image can be drawn again alone. Default 0. */
  seed?: number;
  /** Images drawn at once; changes speed and memory, never an image. Default: by backend. */
  batchSize?: number;
  /** Called after each position of each batch; may be async. */
  onStep?: (step: StepInfo) => unknown;
  signal?: AbortSignal | undefined;
}

export interface StepInfo {
  /** Tokens drawn of each image in this batch, from 1 to `steps`. */
  step: number;
  steps: number;
  /** Images first … first + batch − 1 of `count` are being drawn. */
  first: number;
  batch: number;
  count: number;
  /** Images decoded from the tokens so far; the part not drawn yet is grey. */
  preview(): Promise<AimImage[]>;
}

export interface Generated {
  images: AimImage[];
  /** [T] codes of each image, raster order. */
  tokens: Uint32Array[];
  labels: number[];
  seeds: number[];
}

export interface TuneOptions extends Pick<SamplingOptions, 'cfgScale'> {
  /** How many images will be drawn at once; one number or several. Default 1. */
  batchSize?: number | readonly number[];
  /** Hears how many choices are made, with the phase 'tune'. */
  onProgress?: ((progress: Progress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Pixels to encode: an AimImage, or ImageData-like RGBA bytes. */
export type EncodeInput = AimImage | { width: number; height: number; data: Uint8ClampedArray | Uint8Array };

/** Largest single activation of the tokenizer, per chunk of images: WebGPU's default binding limit. */
const ACTIVATION_BYTES = 128 * 2 ** 20;

/** A model on its device; `params` goes with the device. */
export interface Placed {
  readonly be: Backend;
  readonly params: { readonly mamba: { readonly backbone: AimParams }; readonly vqvae: TokenizerParams };
}

/** Brings the weights onto a new device as they were on the one that was lost. */
export type Restore = (on: Placed, signal?: AbortSignal) => Promise<void>;

/** A loaded model on a device: draws images, encodes and decodes them. Made by `fromPretrained` or `fromConfig`. */
export class AiM {
  /** Tensors of the checkpoint that the model has no place for. */
  ignored: string[] = [];
  /** Class names, where the checkpoint comes with a classes.json. */
  classes: string[] | undefined;
  /** @internal Set where the device is the library's to replace. Whoever changes the weights puts another in its place. */
  restore: Restore | undefined;
  /** @internal Whether weights were rounded to float16, which the checkpoint has in another format. */
  rounded = false;
  private disposed = false;
  /** @internal */
  readonly tree: { mamba: { backbone: ParamTree }; vqvae: ParamTree };
  private readonly recovery: Recovery<Placed>;

  private constructor(
    be: Backend,
    readonly config: AimConfig,
    private readonly options: LoadOptions,
    half: (name: string) => boolean,
  ) {
    this.tree = { mamba: { backbone: aimParams(config) }, vqvae: tokenizerParams(config.tokenizer) };
    const place = (on: Backend): Placed => ({ be: on, params: allocate(on, this.tree, half) as unknown as Placed['params'] });
    const { description } = be;
    const replaceable = be.name === 'webgpu' && typeof options.device !== 'object';
    const remake = async (signal: AbortSignal) => {
      const other = await openBackend({ ...options, device: 'webgpu', signal });
      try {
        if (other.description !== description)
          throw new DeviceError(`${description} is gone, there is now ${other.description}; load the model again on that.`);
        const on = place(other);
        await this.restore!(on, signal);
        signal.throwIfAborted();
        return on;
      } catch (error) {
        other.dispose();
        throw error;
      }
    };
    this.recovery = new Recovery(place(be), replaceable ? remake : undefined);
    this.restore = replaceable ? async () => {} : undefined;
  }

  /**
   * Loads a checkpoint in the authors' format: a folder or a .safetensors path (Node, Deno), an http(s) URL of either, the id
   * `owner/name` of a Hugging Face repository, dropped Files, or `{ config, weights }`; large ones may be in several files with
   * their index. In Node and Deno a local folder of that name goes before a repository; in a browser a folder beside the page
   * is written `./owner/name`.
   *
   * A download that breaks is taken up again, now or by the next load, and is kept (`cache`, `cacheDir`). A model that is kept
   * costs one request asking whether it has changed, for a repository, else one per file; none where `revision` is a commit's
   * hash. It loads offline too. Its SHA-256 is verified where `sha256`, the hub or the model card tells it. On WebGPU the source is
   * kept: should the device be lost later, the weights are read from it again.
   *
   * Throws IoError, CheckpointError, OptionError, DeviceError or OutOfMemoryError, each saying what to do.
   */
  static async fromPretrained(source: CheckpointSource, options: LoadOptions = {}): Promise<AiM> {
    checkDtype(options.dtype);
    const { signal } = options;
    const kept = reusable(source);
    const files = await openCheckpoint(kept, options);
    let aim: AiM | undefined;
    try {
      const config = parseConfig(await files.config(), `${files.name}: config.json`);
      const weights = await openWeights(files, signal);
      const { tensors } = weights.header;
      aim = await AiM.empty(config, options, options.dtype ?? 'auto', (name) => tensors.get(name)?.dtype === 'F16');
      aim.ignored = await aim.load(kept, files, '', options, weights);
      aim.classes = parseClasses(await files.text('classes.json'), config.num_classes);
      return aim;
    } catch (error) {
      await aim?.dispose();
      throw error;
    } finally {
      await files.close();
    }
  }

  /** A model of the given configuration with freshly initialised weights (model.md, Initialisation), the same for a seed. */
  static async fromConfig(json: AimConfigJson, options: LoadOptions & { seed?: number } = {}): Promise<AiM> {
    const { seed = 0 } = options;
    return AiM.filled(json, options, (spec, index, out) => spec.init(spec.shape, counterRandom(seed, index), out));
  }

  /** @internal The same with each parameter's values, in checkpoint order, from `values`. */
  static async filled(
    json: AimConfigJson,
    options: LoadOptions,
    values: (spec: ParamSpec, index: number, out: Float32Array) => void,
  ): Promise<AiM> {
    checkDtype(options.dtype);
    const config = parseConfig(json);
    const aim = await AiM.empty(config, options, options.dtype ?? 'f32');
    const fill: Restore = async (on) => {
      let index = 0;
      for (const { spec, tensor } of aim.named(on).values()) {
        const data = new Float32Array(tensor.size);
        values(spec, index++, data);
        on.be.write(tensor, toDevice(spec, data));
      }
      await on.be.settle();
    };
    try {
      await aim.attempt(fill);
      if (aim.restore) aim.restore = fill;
      return aim;
    } catch (error) {
      await aim.dispose();
      throw error;
    }
  }

  /** @param stored whether the checkpoint has a tensor as float16. */
  private static async empty(
    config: AimConfig,
    options: LoadOptions,
    dtype: NonNullable<LoadOptions['dtype']>,
    stored: (name: string) => boolean = () => false,
  ): Promise<AiM> {
    const be = await openBackend(options);
    try {
      return new AiM(be, config, options, (name) => be.halves && (dtype === 'f16' || (dtype === 'auto' && stored(name))));
    } catch (error) {
      be.dispose();
      throw error;
    }
  }

  /**
   * Replaces the weights whose names begin with `part` ('vqvae.' is the tokenizer, 'mamba.' stage 2) by those of another
   * checkpoint. Throws CheckpointError when its tensors have other shapes.
   */
  async loadPart(part: 'vqvae.' | 'mamba.', source: CheckpointSource, options: SourceOptions = {}): Promise<void> {
    this.assertLive();
    const kept = reusable(source);
    const files = await openCheckpoint(kept, options);
    try {
      await this.load(kept, files, part, options);
    } finally {
      await files.close();
    }
  }

  /** Fills the weights whose names begin with `part`, and keeps what it takes to do it again. Returns tensors without a place. */
  private async load(
    source: CheckpointSource,
    files: CheckpointFiles,
    part: string,
    options: SourceOptions,
    opened?: Weights,
  ): Promise<string[]> {
    const fill = async (on: Placed, from: CheckpointFiles, stop?: AbortSignal) => {
      const weights = opened ?? (await openWeights(from, stop));
      opened = undefined;
      const wanted = new Map([...this.named(on)].filter(([name]) => name.startsWith(part)));
      const { tensors } = weights.header;
      const ignored = await loadTensors(on.be, wanted, weights.source, { header: weights.header, signal: stop });
      this.rounded ||= [...wanted].some(([name, { tensor }]) => tensor.dtype === 'f16' && tensors.get(name)?.dtype !== 'F16');
      return { ignored, digest: weights.source.digest() };
    };
    const { ignored, digest } = await this.attempt((on) => fill(on, files, options.signal), options.signal);
    const before = this.restore;
    if (before)
      this.restore = async (on, stop) => {
        await before(on, stop);
        const again = await openCheckpoint(source, { ...options, onProgress: undefined, signal: stop });
        try {
          if ((await fill(on, again, stop)).digest === digest) return;
          throw new CheckpointError(`${again.name} is no longer the file that was loaded; load the model again.`);
        } finally {
          await again.close();
        }
      };
    return ignored;
  }

  /** @internal Runs work on the device, again from its start when that was lost meanwhile and replaced. */
  async attempt<R>(work: (on: Placed) => Promise<R>, signal?: AbortSignal): Promise<R> {
    this.assertLive();
    return this.recovery.attempt(work, signal);
  }

  /** @internal As long as the device lives; what outlasts it takes `on` from `attempt`. */
  get on(): Placed {
    return this.recovery.on;
  }
  /** @internal */
  get be(): Backend {
    return this.on.be;
  }
  /** @internal */
  get params(): Placed['params'] {
    return this.on.params;
  }
  /** @internal The values of a parameter as they lie on the device. */
  async read(name: string): Promise<Float32Array<ArrayBuffer>> {
    return Float32Array.from(await this.attempt((on) => on.be.read(this.named(on).get(name)!.tensor)));
  }
  /** @internal How often a lost device was replaced. */
  get recoveries(): number {
    return this.recovery.count;
  }

  /** 'wasm', 'webgpu' or 'reference'. */
  get backend(): BackendName {
    return this.be.name;
  }
  /** The device in words, e.g. 'webgpu (NVIDIA H100)'. */
  get device(): string {
    return this.be.description;
  }
  /** Number of parameters of the two stages. */
  get parameters(): { model: number; tokenizer: number } {
    return { model: countParams(this.tree.mamba), tokenizer: countParams(this.tree.vqvae) };
  }

  /** Every tensor by its checkpoint name; `mamba.` is stage 2, `vqvae.` the tokenizer. */
  get tensors(): { name: string; shape: readonly number[] }[] {
    return [...this.named()].map(([name, { spec }]) => ({ name, shape: spec.shape }));
  }

  /**
   * Draws images. An image depends on the checkpoint, its class, its own seed and the sampling options alone.
   * Throws OptionError for values out of range; rejects with `signal.reason` when aborted.
   */
  async generate(options: GenerateOptions = {}): Promise<Generated> {
    this.assertLive();
    const { config, backend } = this;
    const { cfgScale, temperature, topK, topP, positions } = options;
    const sampling = checkSampling({ cfgScale, temperature, topK, topP, positions });
    const classes = this.resolveClasses(options.classes);
    const count = integer('count', options.count ?? classes.length, 1, 1e6);
    const first = integer('seed', options.seed ?? 0, 0, Number.MAX_SAFE_INTEGER - count);
    const batchSize = Math.min(count, integer('batchSize', options.batchSize ?? (backend === 'webgpu' ? 64 : 10), 1, 4096));
    const labels = Array.from({ length: count }, (_, i) => classes[i % classes.length]!);
    const seeds = Array.from({ length: count }, (_, i) => first + i);
    const images: AimImage[] = [];
    const tokens: Uint32Array[] = [];
    const { signal, onStep } = options;

    let sampler: Sampler | undefined;
    try {
      for (let at = 0; at < count; at += batchSize) {
        signal?.throwIfAborted();
        const n = Math.min(batchSize, count - at);
        let told = 0;
        const batch = await this.attempt(async (on) => {
          if (sampler?.be !== on.be || sampler.count !== n) {
            sampler?.dispose();
            sampler = undefined;
            sampler = new Sampler(on.be, config, on.params.mamba.backbone, n, sampling);
          }
          const current = sampler;
          current.start(labels.slice(at, at + n), seeds.slice(at, at + n));
          const preview = (step: number) => () => this.preview(on, current, step);
          const onDone = async (step: number) => {
            // Told already, should this batch be drawn again.
            if (step <= told) return;
            await onStep!({ step, steps: config.num_tokens, first: at, batch: n, count, preview: preview(step) });
            told = step;
          };
          await drawTokens(on.be, current, config.num_tokens, { signal, onDone: onStep && onDone });
          const [codes, logits] = await Promise.all([on.be.read(current.tokens), on.be.read(current.logits)]);
          assertFinite('the logits', logits);
          return { codes: codes as Uint32Array, decoded: await this.decodeTensor(on, current.tokens, signal) };
        }, signal);
        for (let i = 0; i < n; i++) tokens.push(batch.codes.slice(i * config.num_tokens, (i + 1) * config.num_tokens));
        batch.decoded.forEach(({ width, height, data }, i) => {
          images.push(new AimImage({ width, height, data, label: labels[at + i], seed: seeds[at + i] }));
        });
      }
    } finally {
      sampler?.dispose();
    }
    return { images, tokens, labels, seeds };
  }

  /**
   * Finds out which launches of the kernels are the fastest on this GPU for drawing `batchSize` images at once, takes them from
   * then on, and keeps them in the cache (`cache`, `cacheDir`) for every later load on the same GPU with the same `dawn` flags.
   * No result depends on it, only speed. Takes seconds. Returns what was measured; nothing on WASM, which has no such choice, and
   * for what is known already. Rejects with `signal.reason` when aborted, with what is found so far kept.
   */
  async tune({ batchSize = 1, cfgScale, onProgress, signal }: TuneOptions = {}): Promise<TunedKernel[]> {
    this.assertLive();
    const sampling = checkSampling({ cfgScale });
    const sizes = [batchSize].flat().map((n) => integer('batchSize', n, 1, 4096));
    return this.attempt(async ({ be, params }) => {
      for (const n of sizes) new Sampler(be, this.config, params.mamba.backbone, n, sampling).dispose();
      return this.tuneAsked({ onProgress, signal });
    }, signal);
  }

  /** @internal `tune` for whatever was run or recorded on the device so far. */
  async tuneAsked(options: Pick<TuneOptions, 'onProgress' | 'signal'>): Promise<TunedKernel[]> {
    const { be } = this;
    if (!(be instanceof WebGpuBackend)) return [];
    const { tuneKernels } = await import('./backend/tune.js');
    try {
      return await tuneKernels(be, options);
    } finally {
      await (await downloads()).keepTuning(be, this.options);
    }
  }

  /** Images → codes [T'] each (T' = tokens of that size), by the tokenizer's encoder. Sides must suit its downsampling. */
  async encode(images: readonly EncodeInput[]): Promise<Uint32Array[]> {
    this.assertLive();
    const factor = 2 ** (this.config.tokenizer.ch_mult.length - 1);
    for (const { width, height } of images) {
      if (width < 1 || height < 1 || width % factor || height % factor)
        throw new OptionError(
          `encode: an image is ${width}×${height}; its sides must be multiples of ${factor}: resize or crop it.`,
        );
    }
    const out: Uint32Array[] = [];
    for (let at = 0; at < images.length; ) {
      // Neighbours of one size go together.
      const { width, height } = images[at]!;
      let end = at + 1;
      while (end < images.length && images[end]!.width === width && images[end]!.height === height) end++;
      const pixels = new Float32Array((end - at) * width * height * 3);
      images.slice(at, end).forEach((image, k) => {
        pixels.set(image instanceof AimImage ? image.data : fromRgba(image), k * width * height * 3);
      });
      const codes = await this.encodePixels(pixels, [end - at, height, width, 3]);
      const T = codes.length / (end - at);
      for (let k = 0; k < codes.length; k += T) out.push(codes.slice(k, k + T));
      at = end;
    }
    return out;
  }

  /** @internal Pixels [n, h, w, 3] in [-1, 1] → codes [n·T'], in chunks that bound the activations' memory. */
  async encodePixels(
    pixels: Float32Array,
    shape: readonly [number, number, number, 3],
    signal?: AbortSignal,
  ): Promise<Uint32Array> {
    const [n, h, w] = shape;
    const chunk = this.imagesAtOnce(h, w);
    const parts: Uint32Array[] = [];
    for (let at = 0; at < n; at += chunk) {
      signal?.throwIfAborted();
      const k = Math.min(chunk, n - at);
      const part = await this.attempt(async ({ be, params }) => {
        const x = be.from(pixels.subarray(at * h * w * 3, (at + k) * h * w * 3), [k, h, w, 3]);
        const z = encodeForward(be, params.vqvae, x);
        const codes = quantizeForward(be, params.vqvae, z);
        try {
          return (await be.read(codes)) as Uint32Array;
        } finally {
          be.free(x, z, codes);
        }
      }, signal);
      parts.push(part);
    }
    const out = new Uint32Array(parts.reduce((sum, p) => sum + p.length, 0));
    let filled = 0;
    for (const part of parts) {
      out.set(part, filled);
      filled += part.length;
    }
    return out;
  }

  /** Codes of square token grids (as `encode` and `generate` give them) → images. */
  async decode(codes: readonly ArrayLike<number>[], { signal }: { signal?: AbortSignal } = {}): Promise<AimImage[]> {
    this.assertLive();
    for (const code of codes) {
      const bad = Array.prototype.findIndex.call(
        code,
        (c: number) => !(Number.isInteger(c) && c >= 0 && c < this.config.vocab_size),
      );
      if (bad >= 0)
        throw new OptionError(`decode: code ${bad} is ${code[bad]}; codes go from 0 to ${this.config.vocab_size - 1}.`);
      if (!Number.isInteger(Math.sqrt(code.length)) || code.length === 0)
        throw new OptionError(`decode: ${code.length} codes do not fill a square; pass h·w codes with h = w.`);
    }
    const images: AimImage[] = [];
    for (let at = 0; at < codes.length; ) {
      // Neighbours of one size go together.
      const { length } = codes[at]!;
      let end = at + 1;
      while (end < codes.length && codes[end]!.length === length) end++;
      const all = new Uint32Array((end - at) * length);
      for (let i = at; i < end; i++) all.set(Uint32Array.from(codes[i]!), (i - at) * length);
      const rows = end - at;
      const decoded = await this.attempt(async (on) => {
        const t = on.be.from(all, [rows, length], 'u32');
        try {
          return await this.decodeTensor(on, t, signal);
        } finally {
          on.be.free(t);
        }
      }, signal);
      images.push(...decoded);
      at = end;
    }
    return images;
  }

  /** Frees the model and its device memory. Everything after it throws DisposedError. */
  async dispose(): Promise<void> {
    if (this.disposed) return;
    this.disposed = true;
    this.recovery.dispose(new DisposedError('this AiM'));
  }

  /** @internal Makes every weight float32, as training wants them. */
  widen({ be, params } = this.on): void {
    const narrow = [...zip(this.tree, params)].filter(([, , t]) => t.dtype === 'f16');
    const { tensors } = packed(
      be,
      narrow.map(([, , t]) => t.shape),
    );
    const wide = new Map(narrow.map(([, , t], i) => [t, tensors[i]!]));
    for (const [x, y] of wide) widened(be, x, y);
    be.free(...wide.keys());
    replace(this.tree, params, (t) => wide.get(t) ?? t);
  }

  /** @internal Every parameter by checkpoint name. */
  named(on = this.on): Map<string, { spec: ParamSpec; tensor: Tensor }> {
    return new Map([...zip(this.tree, on.params)].map(([name, spec, tensor]) => [name, { spec, tensor }]));
  }

  /** tokens [n, T] on the device → images, in chunks that bound the activations' memory. */
  private async decodeTensor({ be, params }: Placed, tokens: Tensor, signal?: AbortSignal): Promise<AimImage[]> {
    const { config } = this;
    const [n, length] = tokens.shape as [number, number];
    const side = Math.sqrt(length);
    const size = (side * config.image_size) / Math.sqrt(config.num_tokens);
    const chunk = this.imagesAtOnce(size, size);
    const images: AimImage[] = [];
    const codes = n > chunk ? ((await be.read(tokens)) as Uint32Array) : undefined;
    const take = async (first: number, count: number, pixels: Promise<NumArray>) => {
      const values = await pixels;
      const data = values instanceof Float32Array ? values : Float32Array.from(values);
      assertFinite('the decoded pixels', data);
      const one = size * size * 3;
      for (let i = 0; i < count; i++)
        images[first + i] = new AimImage({ width: size, height: size, data: data.slice(i * one, (i + 1) * one) });
    };
    // A chunk is fetched while the device makes the next.
    let before: Promise<void> | undefined;
    for (let at = 0; at < n; at += chunk) {
      signal?.throwIfAborted();
      const k = Math.min(chunk, n - at);
      const part = codes
        ? be.from(codes.subarray(at * length, (at + k) * length), [k * length], 'u32')
        : be.reshape(tokens, [n * length]);
      const pixels = decodeForward(be, params.vqvae, part, [k, side, side]);
      const taken = take(at, k, be.read(pixels));
      be.free(pixels, codes && part);
      // Its failure is for when it is waited for; should the one before have failed, nobody waits for it any more.
      taken.catch(() => {});
      await before;
      before = taken;
    }
    await before;
    return images;
  }

  private imagesAtOnce(height: number, width: number): number {
    const { ch, ch_mult } = this.config.tokenizer;
    const perImage = height * width * ch * Math.max(ch_mult[0]!, ch_mult[1] ?? 1) * 4;
    return Math.max(1, Math.floor(ACTIVATION_BYTES / perImage));
  }

  /** The device may be some steps ahead of what is reported; what is shown is not. */
  private async preview(on: Placed, sampler: Sampler, step: number): Promise<AimImage[]> {
    const images = await this.decodeTensor(on, sampler.tokens);
    const side = Math.sqrt(this.config.num_tokens);
    images.forEach((image) => {
      const patch = image.width / side;
      for (let t = step; t < this.config.num_tokens; t++) {
        const [y0, x0] = [Math.floor(t / side) * patch, (t % side) * patch];
        for (let y = y0; y < y0 + patch; y++) image.data.fill(0, (y * image.width + x0) * 3, (y * image.width + x0 + patch) * 3);
      }
    });
    return images;
  }

  private resolveClasses(classes: GenerateOptions['classes'] = 'all'): number[] {
    const { num_classes } = this.config;
    if (classes === 'all') return Array.from({ length: num_classes }, (_, i) => i);
    const list = Array.isArray(classes) ? (classes as (number | string)[]) : [classes as number | string];
    if (list.length === 0) throw new OptionError("classes is empty; name at least one class, or 'all'.");
    return list.map((c) => {
      if (typeof c === 'number' && Number.isInteger(c) && c >= 0 && c < num_classes) return c;
      const name = String(c).trim().toLowerCase();
      const index = typeof c === 'string' ? (this.classes?.findIndex((n) => n.toLowerCase() === name) ?? -1) : -1;
      if (index >= 0) return index;
      if (typeof c === 'string' && /^\d+$/.test(name) && Number(name) < num_classes) return Number(name);
      const names = this.classes ? ` or one of ${this.classes.join(', ')}` : ' (this model has no class names)';
      throw new OptionError(`there is no class ${JSON.stringify(c)}; use a number from 0 to ${num_classes - 1}${names}.`);
    });
  }

  private assertLive(): void {
    if (this.disposed) throw new DisposedError('this AiM');
  }
}

/** A backend that knows what was measured on its device before. */
async function openBackend(options: LoadOptions): Promise<Backend> {
  const be = await createBackend(options);
  if (be instanceof WebGpuBackend) await (await downloads()).recallTuning(be, options);
  return be;
}

function checkDtype(dtype: LoadOptions['dtype']): void {
  if (dtype !== undefined && !['auto', 'f32', 'f16'].includes(dtype))
    throw new OptionError(`dtype is ${JSON.stringify(dtype)}; it must be 'auto', 'f32' or 'f16'.`);
}

/** An iterable of Files may be one that gives them once. */
const reusable = (source: CheckpointSource): CheckpointSource =>
  typeof source === 'object' && Symbol.iterator in source ? [...source] : source;

async function openWeights(files: CheckpointFiles, signal: AbortSignal | undefined) {
  const source = sampled(await files.weights());
  return { source, header: await parseHeader(source, { signal }) };
}
type Weights = Awaited<ReturnType<typeof openWeights>>;

/** Weights that are finite each can still overflow together, and then every token would be drawn from nothing. */
function assertFinite(what: string, values: ArrayLike<number>): void {
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i]))
      throw new CheckpointError(
        `${what} are not finite: the weights are damaged or too large for float32; load another checkpoint.`,
      );
  }
}

function integer(name: string, value: number, least: number, most: number): number {
  if (!Number.isInteger(value) || value < least || value > most)
    throw new OptionError(`${name} is ${value}; it must be an integer from ${least} to ${most}.`);
  return value;
}

function parseClasses(text: string | undefined, count: number): string[] | undefined {
  if (text === undefined) return undefined;
  let names: unknown;
  try {
    names = JSON.parse(text);
  } catch {}
  if (!Array.isArray(names) || names.length !== count || !names.every((n) => typeof n === 'string'))
    throw new CheckpointError(`classes.json must be a list of ${count} names, one per class; correct it or take it away.`);
  return names;
}

function fromRgba({ width, height, data }: { width: number; height: number; data: ArrayLike<number> }): Float32Array {
  if (data.length !== width * height * 4)
    throw new OptionError(`encode: ${width}×${height} RGBA needs ${width * height * 4} bytes, got ${data.length}.`);
  const out = new Float32Array(width * height * 3);
  for (let i = 0, j = 0; i < data.length; i += 4) {
    for (let c = 0; c < 3; c++) out[j++] = data[i + c]! / 127.5 - 1;
  }
  return out;
}

/** Uniforms in [0, 1) of stream `index` of a seed, from the generator that sampling uses. */
function counterRandom(seed: number, index: number): () => number {
  let n = 0;
  return () => {
    const [a, b] = threefry2x32(seed >>> 0, index, n++, 1);
    return ((a >>> 5) * 67108864 + (b >>> 6)) / 9007199254740992;
  };
}

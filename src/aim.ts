/** The public API: load a model, draw images, encode and decode them. */
import type { BackendName } from './backend/backend.js';
import type { TunedKernel } from './backend/tune.js';
import type { CheckpointSource, SourceOptions } from './checkpoint/source.js';
import { checkOption, checkOptions, type OptionTable } from './core/options.js';
import { SOURCE } from './io/bytes.js';
import type { AimImage } from './io/image.js';
import type { AimConfig, AimConfigJson } from './model/config.js';
import { type Drawn, type Generated, type GenerateOptions, generate, generateEach } from './model/generate.js';
import type { ModelHandle } from './model/handle.js';
import type { Classes, LikelihoodOptions } from './model/likelihood.js';
import { LOAD, type LoadOptions, Model } from './model/model.js';
import { countParams } from './model/params.js';
import { type EncodeInput, pixelBatches } from './model/pixels.js';
import type { ModelSampling } from './model/sampler.js';
import type { SaveOptions } from './model/save.js';
import { tokenizerOf } from './model/tokenizers.js';
import type { TuneOptions } from './model/tune.js';

export type { ClassMix, Drawn, Generated, GenerateOptions, SeedMix, StartFrom, StepInfo } from './model/generate.js';
export type { LikelihoodOptions } from './model/likelihood.js';
export type { LoadOptions } from './model/model.js';
export type { EncodeInput } from './model/pixels.js';
export type { SaveOptions } from './model/save.js';
export type { TuneOptions } from './model/tune.js';

const FROM_CONFIG = {
  ...LOAD,
  seed: { type: 'integer', min: 0, default: 0, about: 'seed of the initial weights' },
} as const satisfies OptionTable<LoadOptions & { seed?: number }>;

const PARTS = { type: 'choice', choices: ['vqvae.', 'mamba.'], about: 'the tokenizer, or stage 2' } as const;

/** A model on a device: draws images, encodes and decodes them. Created by `fromPretrained` or `fromConfig`. */
export class AiM implements ModelHandle {
  /** @internal The model below this class, for modules of the library. */
  readonly model: Model;

  private constructor(model: Model) {
    this.model = model;
  }

  /**
   * Loads a checkpoint in the authors' format. The source is a folder or a .safetensors path (Node, Deno), an http(s) URL of
   * either, the id `owner/name` of a Hugging Face repository, dropped Files, or `{ config, weights }`. Weights may be divided
   * into several files with an index. In Node and Deno, a local folder `owner/name` takes precedence over the repository; in a
   * browser, write a folder next to the page as `./owner/name`.
   *
   * Downloads are cached (`cache`, `cacheDir`), and an interrupted download continues, immediately or at the next load. Loading a
   * cached model sends one request for a repository, or one per file, to see whether it has changed; none if `revision` is a
   * commit hash. It also works offline. The SHA-256 is verified if `sha256`, the hub or the model card provides it. On WebGPU the
   * source is retained: if the device is lost later, the weights are read from it again.
   *
   * Throws IoError, CheckpointError, OptionError, DeviceError or OutOfMemoryError, each with advice.
   */
  static async fromPretrained(source: CheckpointSource, options: LoadOptions = {}): Promise<AiM> {
    checkOptions<LoadOptions, typeof LOAD>('fromPretrained', options, LOAD);
    return new AiM(await Model.load(source, options));
  }

  /** Creates a model of the given configuration with new random weights, which depend on `seed`. Throws like `fromPretrained`. */
  static async fromConfig(json: AimConfigJson, options: LoadOptions & { seed?: number } = {}): Promise<AiM> {
    const { seed } = checkOptions<LoadOptions & { seed?: number }, typeof FROM_CONFIG>('fromConfig', options, FROM_CONFIG);
    const { seed: _, ...load } = options;
    return new AiM(await Model.initialise(json, load, seed));
  }

  /**
   * Replaces the weights whose names begin with `part` ('vqvae.' is the tokenizer, 'mamba.' stage 2) by those of another
   * checkpoint. Throws CheckpointError if its tensors have other shapes.
   */
  async loadPart(part: 'vqvae.' | 'mamba.', source: CheckpointSource, options: SourceOptions = {}): Promise<void> {
    this.model.assertLive();
    checkOption('part', part, PARTS);
    // Options for `fromPretrained` may be passed on, so their names are allowed too.
    checkOptions<SourceOptions, typeof SOURCE>('loadPart', options, { ...LOAD, ...SOURCE });
    await this.model.loadPart(part, source, options);
  }

  /** The configuration of the checkpoint, with defaults filled in. */
  get config(): AimConfig {
    return this.model.config;
  }
  /** Class names, if the checkpoint has a classes.json. */
  get classes(): string[] | undefined {
    return this.model.classes;
  }
  set classes(names: string[] | undefined) {
    this.model.classes = names;
  }
  /**
   * Sampling settings that the checkpoint recommends, which are the defaults of `generate`: `guidance_scale`, `temperature`, `top_k`,
   * `top_p` and `min_p` of its generation_config.json. Empty without that file.
   */
  get sampling(): ModelSampling {
    return { ...this.model.sampling };
  }
  /** Names of tensors of the checkpoint that the model does not use. */
  get ignored(): string[] {
    return this.model.ignored;
  }
  /** The backend that the model computes on. */
  get backend(): BackendName {
    return this.model.be.name;
  }
  /** A description of the device, e.g. 'webgpu (NVIDIA H100)'. */
  get device(): string {
    return this.model.be.description;
  }
  /** Number of parameters of the two stages. */
  get parameters(): { model: number; tokenizer: number } {
    const { mamba, vqvae } = this.model.tree;
    return { model: countParams(mamba.backbone), tokenizer: countParams(vqvae) };
  }
  /** @internal What `console.log` shows in Node and Deno, instead of everything inside. */
  [Symbol.for('nodejs.util.inspect.custom')](_depth: number, _options: object, inspect: (value: object) => string): string {
    const { device, parameters, config } = this;
    return `AiM ${inspect({ device, parameters, image_size: config.image_size, num_classes: config.num_classes })}`;
  }
  /** Name and shape of every tensor, as in the checkpoint; `mamba.` is stage 2, `vqvae.` the tokenizer. */
  get tensors(): { name: string; shape: readonly number[] }[] {
    return [...this.model.named()].map(([name, { spec }]) => ({ name, shape: spec.shape }));
  }

  /**
   * Draws images. Each image depends only on the checkpoint, its class, its own seed, what it starts from and the sampling options,
   * whose defaults are the model's own (`sampling`) where it has some.
   * Throws OptionError for values out of range and unknown options, and IoError for a picture to start from that cannot be read.
   * Rejects with `signal.reason` when aborted.
   */
  async generate(options: GenerateOptions = {}): Promise<Generated> {
    this.model.assertLive();
    return generate(this.model, options);
  }

  /**
   * Draws the images of `generate` and yields each as soon as its batch is drawn; `batchSize: 1` yields them one by one. Leaving the
   * loop ends the drawing. Throws like `generate`, at the first image.
   */
  generateEach(options: GenerateOptions = {}): AsyncGenerator<Drawn, void, undefined> {
    return generateEach(this.model, options);
  }

  /**
   * The logits of known images (teacher forcing), without guidance: for each image [T, V], row by row, where row t are the logits of
   * its token t, given its class and its tokens before t. T is `config.num_tokens`, V `config.vocab_size`.
   *
   * @param codes The codes [T] of each image, as `encode` and `generate` return them.
   * @param classes The class of all images, or one for each, as numbers or names; null is the unconditional class of guidance.
   *
   * Throws OptionError for codes or classes that this model does not have.
   */
  async logits(
    codes: readonly ArrayLike<number>[],
    classes: Classes,
    options: LikelihoodOptions = {},
  ): Promise<Float32Array<ArrayBuffer>[]> {
    return (await import('./model/likelihood.js')).logits(this.model, codes, classes, options);
  }

  /**
   * The log-likelihood ln p(codes | class) of each image in nats: the sum over its T tokens, at most 0. Divided by −T it is the
   * cross-entropy in nats per token that training reports, and that divided by ln 2 is bits per token. Arguments and errors are
   * those of `logits`.
   */
  async logLikelihood(codes: readonly ArrayLike<number>[], classes: Classes, options: LikelihoodOptions = {}): Promise<number[]> {
    return (await import('./model/likelihood.js')).logLikelihood(this.model, codes, classes, options);
  }

  /**
   * Writes the model as a checkpoint in the authors' format (config.json, model.safetensors, classes.json if it has class names,
   * generation_config.json if it has sampling settings) into a folder (Node, Deno), which is created if needed; files of these names
   * are replaced once all are complete. `fromPretrained`, `aim` and PyTorch load it. Throws IoError, and CheckpointError for a weight that is too large for `dtype`.
   */
  async save(folder: string, options: SaveOptions = {}): Promise<void> {
    await (await import('./model/save.js')).save(this.model, folder, options);
  }

  /** The files that `save` writes, in memory: a checkpoint for `fromPretrained`, or for a download from a page. Throws like `save`. */
  async toFiles(options: SaveOptions = {}): Promise<File[]> {
    return (await import('./model/save.js')).toFiles(this.model, options);
  }

  /**
   * Measures which variants of the kernels are fastest on this GPU for drawing `batchSize` images at once, and uses them from
   * then on. The result is stored in the cache (`cache`, `cacheDir`) for later loads on the same GPU with the same `dawn`
   * toggles. Affects only speed, never a result. Takes seconds. Returns the new measurements: none on WASM, which has no such
   * choice, or if everything is known already. Rejects with `signal.reason` when aborted; measurements made until then are
   * stored.
   */
  async tune(options: TuneOptions = {}): Promise<TunedKernel[]> {
    return (await import('./model/tune.js')).tune(this.model, options);
  }

  /**
   * Encodes images with the tokenizer. Returns the codes [T'] of each, where T' is the number of tokens of an image of that size.
   * Throws OptionError if a side is not a multiple of the tokenizer's downsampling factor, or if pixels are not finite.
   */
  async encode(images: readonly EncodeInput[]): Promise<Uint32Array[]> {
    const { model } = this;
    model.assertLive();
    const out: Uint32Array[] = [];
    for (const { shape, pixels } of pixelBatches(images, tokenizerOf(this.config.tokenizer).factor(this.config.tokenizer))) {
      const codes = await model.encodePixels(pixels, shape);
      const T = codes.length / shape[0];
      for (let k = 0; k < codes.length; k += T) out.push(codes.slice(k, k + T));
    }
    return out;
  }

  /**
   * Decodes the codes of square token grids, as `encode` and `generate` return them, to images. Throws OptionError for codes out
   * of range or that do not fill a square. Rejects with `signal.reason` when aborted.
   */
  async decode(codes: readonly ArrayLike<number>[], options: { signal?: AbortSignal | undefined } = {}): Promise<AimImage[]> {
    return (await import('./model/decode.js')).decode(this.model, codes, options);
  }

  /** Frees the model and its device memory. Later calls throw DisposedError, and so do calls that are still running. */
  async dispose(): Promise<void> {
    this.model.dispose();
  }
}

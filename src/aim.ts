/** The public face: load a model, draw images, encode and decode them. */
import type { BackendName } from './backend/backend.js';
import type { TunedKernel } from './backend/tune.js';
import type { CheckpointSource, SourceOptions } from './checkpoint/source.js';
import { OptionError } from './core/errors.js';
import { checkOption, checkOptions, type OptionTable, shown } from './core/options.js';
import type { Progress } from './core/progress.js';
import { SOURCE } from './io/bytes.js';
import type { AimImage } from './io/image.js';
import type { AimConfig, AimConfigJson } from './model/config.js';
import { type Generated, type GenerateOptions, generate } from './model/generate.js';
import type { ModelHandle } from './model/handle.js';
import { LOAD, type LoadOptions, Model } from './model/model.js';
import { countParams } from './model/params.js';
import { type EncodeInput, pixelBatches } from './model/pixels.js';
import { checkSampling, SAMPLING, Sampler, type SamplingOptions } from './model/sampler.js';
import { tokenizerOf } from './model/tokenizers.js';

export type { Generated, GenerateOptions, StepInfo } from './model/generate.js';
export type { LoadOptions } from './model/model.js';
export type { EncodeInput } from './model/pixels.js';

export interface TuneOptions extends Pick<SamplingOptions, 'cfgScale'> {
  /** How many images will be drawn at once; one number or several. Default 1. */
  batchSize?: number | readonly number[];
  /** Called with the number of choices made so far, with the phase 'tune'. */
  onProgress?: ((progress: Progress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

const BATCH_SIZE = { type: 'integer', min: 1, max: 4096, about: 'images that will be drawn at once' } as const;

export const TUNE = {
  cfgScale: SAMPLING.cfgScale,
  batchSize: { type: 'other', default: 1, about: 'images that will be drawn at once; one number or several' },
  onProgress: { type: 'function', about: 'called with the number of choices made so far' },
  signal: { type: 'signal', about: 'stops the measurements' },
} as const satisfies OptionTable<TuneOptions>;

const FROM_CONFIG = {
  ...LOAD,
  seed: { type: 'integer', min: 0, default: 0, about: 'of the initial weights' },
} as const satisfies OptionTable<LoadOptions & { seed?: number }>;

const PARTS = { type: 'choice', choices: ['vqvae.', 'mamba.'], about: 'the tokenizer, or stage 2' } as const;

/** A loaded model on a device: draws images, encodes and decodes them. Made by `fromPretrained` or `fromConfig`. */
export class AiM implements ModelHandle {
  /** @internal Everything below this class: what the library's own modules work with. */
  readonly model: Model;

  private constructor(model: Model) {
    this.model = model;
  }

  /**
   * Loads a checkpoint in the authors' format: a folder or a .safetensors path (Node, Deno), an http(s) URL of either, the id
   * `owner/name` of a Hugging Face repository, dropped Files, or `{ config, weights }`; large ones may be in several files with
   * their index. In Node and Deno a local folder of that name goes before a repository; in a browser a folder beside the page
   * is written `./owner/name`.
   *
   * A download that breaks is continued, now or by the next load, and is cached (`cache`, `cacheDir`). A cached model costs one
   * request that asks whether it has changed, for a repository, else one per file; none where `revision` is a commit's hash. It
   * loads offline too. Its SHA-256 is verified where `sha256`, the hub or the model card gives it. On WebGPU the source is kept:
   * should the device be lost later, the weights are read from it again.
   *
   * Throws IoError, CheckpointError, OptionError, DeviceError or OutOfMemoryError, each saying what to do.
   */
  static async fromPretrained(source: CheckpointSource, options: LoadOptions = {}): Promise<AiM> {
    checkOptions<LoadOptions, typeof LOAD>('fromPretrained', options, LOAD);
    return new AiM(await Model.load(source, options));
  }

  /** A model of the given configuration with freshly initialised weights, the same for a seed. Throws like `fromPretrained`. */
  static async fromConfig(json: AimConfigJson, options: LoadOptions & { seed?: number } = {}): Promise<AiM> {
    const { seed } = checkOptions<LoadOptions & { seed?: number }, typeof FROM_CONFIG>('fromConfig', options, FROM_CONFIG);
    const { seed: _, ...load } = options;
    return new AiM(await Model.initialise(json, load, seed));
  }

  /**
   * Replaces the weights whose names begin with `part` ('vqvae.' is the tokenizer, 'mamba.' stage 2) by those of another
   * checkpoint. Throws CheckpointError when its tensors have other shapes.
   */
  async loadPart(part: 'vqvae.' | 'mamba.', source: CheckpointSource, options: SourceOptions = {}): Promise<void> {
    this.model.assertLive();
    checkOption('part', part, PARTS);
    // Options of `fromPretrained` may be passed on, so the names of those are known here too.
    checkOptions<SourceOptions, typeof SOURCE>('loadPart', options, { ...LOAD, ...SOURCE });
    await this.model.loadPart(part, source, options);
  }

  get config(): AimConfig {
    return this.model.config;
  }
  /** Class names, where the checkpoint comes with a classes.json. */
  get classes(): string[] | undefined {
    return this.model.classes;
  }
  set classes(names: string[] | undefined) {
    this.model.classes = names;
  }
  /** Tensors of the checkpoint that the model has no place for. */
  get ignored(): string[] {
    return this.model.ignored;
  }
  /** 'wasm', 'webgpu' or 'reference'. */
  get backend(): BackendName {
    return this.model.be.name;
  }
  /** The device in words, e.g. 'webgpu (NVIDIA H100)'. */
  get device(): string {
    return this.model.be.description;
  }
  /** Number of parameters of the two stages. */
  get parameters(): { model: number; tokenizer: number } {
    const { mamba, vqvae } = this.model.tree;
    return { model: countParams(mamba.backbone), tokenizer: countParams(vqvae) };
  }
  /** Every tensor by its checkpoint name; `mamba.` is stage 2, `vqvae.` the tokenizer. */
  get tensors(): { name: string; shape: readonly number[] }[] {
    return [...this.model.named()].map(([name, { spec }]) => ({ name, shape: spec.shape }));
  }

  /**
   * Draws images. An image depends on the checkpoint, its class, its own seed and the sampling options alone.
   * Throws OptionError for values out of range and unknown options; rejects with `signal.reason` when aborted.
   */
  async generate(options: GenerateOptions = {}): Promise<Generated> {
    this.model.assertLive();
    return generate(this.model, options);
  }

  /**
   * Finds out which launches of the kernels are the fastest on this GPU for drawing `batchSize` images at once, uses them from
   * then on, and stores them in the cache (`cache`, `cacheDir`) for every later load on the same GPU with the same `dawn` flags.
   * No result depends on it, only speed. Takes seconds. Returns what was measured; nothing on WASM, which has no such choice, and
   * for what is known already. Rejects with `signal.reason` when aborted; what was measured by then is stored.
   */
  async tune(options: TuneOptions = {}): Promise<TunedKernel[]> {
    const { model } = this;
    model.assertLive();
    const { batchSize, cfgScale, onProgress, signal } = checkOptions<TuneOptions, typeof TUNE>('tune', options, TUNE);
    const sampling = checkSampling({ cfgScale });
    const sizes = [batchSize].flat().map((n) => checkOption('batchSize', n, BATCH_SIZE));
    return model.attempt(async ({ be, params }) => {
      for (const n of sizes) new Sampler(be, model.config, params.mamba.backbone, n, sampling).dispose();
      return model.tune({ onProgress, signal });
    }, signal);
  }

  /**
   * Images → codes [T'] each (T' = tokens of that size), by the tokenizer's encoder. Throws OptionError for sides that do not
   * suit its downsampling, and for pixels that are not finite.
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

  /** Codes of square token grids (as `encode` and `generate` give them) → images. Throws OptionError for what is none. */
  async decode(codes: readonly ArrayLike<number>[], { signal }: { signal?: AbortSignal } = {}): Promise<AimImage[]> {
    const { model } = this;
    model.assertLive();
    if (!Array.isArray(codes))
      throw new OptionError(`decode: the codes are ${shown(codes)}; pass a list with the codes of each image.`);
    for (const code of codes as readonly ArrayLike<number>[]) checkCodeGrid(code, this.config.vocab_size);
    const images: AimImage[] = [];
    for (let at = 0; at < codes.length; ) {
      // Neighbours of one size are decoded together.
      const { length } = codes[at]!;
      let end = at + 1;
      while (end < codes.length && codes[end]!.length === length) end++;
      const all = new Uint32Array((end - at) * length);
      for (let i = at; i < end; i++) all.set(Uint32Array.from(codes[i]!), (i - at) * length);
      images.push(...(await model.decode(all, [end - at, length], signal)));
      at = end;
    }
    return images;
  }

  /** Frees the model and its device memory. Everything after it throws DisposedError, calls that still run included. */
  async dispose(): Promise<void> {
    this.model.dispose();
  }
}

function checkCodeGrid(code: ArrayLike<number>, vocabulary: number): void {
  const length = code?.length;
  if (!Number.isInteger(Math.sqrt(length)) || length === 0)
    throw new OptionError(`decode: ${length} codes do not fill a square; pass h·w codes with h = w.`);
  const bad = Array.prototype.findIndex.call(code, (c: number) => !(Number.isInteger(c) && c >= 0 && c < vocabulary));
  if (bad >= 0) throw new OptionError(`decode: code ${bad} is ${code[bad]}; codes go from 0 to ${vocabulary - 1}.`);
}

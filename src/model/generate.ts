/** Draws images in batches: checks the options, then makes tokens, images and previews. */
import { OptionError } from '../core/errors.js';
import { checkOptions, type OptionTable } from '../core/options.js';
import { AimImage } from '../io/image.js';
import { findClasses } from './classes.js';
import { assertFinite, decodeTensor, greyFrom } from './images.js';
import type { Model } from './model.js';
import type { Placed } from './placed.js';
import { checkSampling, drawTokens, guidanceModule, SAMPLING, Sampler, type Sampling, type SamplingOptions } from './sampler.js';

/** Options of `generate`. */
export interface GenerateOptions extends SamplingOptions {
  /**
   * Class numbers or names, used in turn until `count` images are drawn. 'all' (the default) means every class. In a model of 1000
   * classes without a classes.json, names are ImageNet's: 'golden retriever', or a synonym.
   */
  classes?: readonly (number | string)[] | number | string;
  /** Number of images. Default: one per given class. */
  count?: number;
  /** Image i is drawn with seed + i, so any image can be drawn again by itself. Default 0. */
  seed?: number;
  /** Images to draw at once. Affects speed and memory, never an image. The default depends on the backend. */
  batchSize?: number;
  /** Called after each position of each batch. It may be async; drawing then waits for it. */
  onStep?: (step: StepInfo) => unknown;
  /** Aborts the drawing. */
  signal?: AbortSignal | undefined;
}

export const GENERATE = {
  ...SAMPLING,
  classes: { type: 'other', about: "class numbers or names, taken in turn; 'all' is every class" },
  count: { type: 'integer', min: 1, max: 1e6, about: 'number of images; by default one per class given' },
  seed: { type: 'integer', min: 0, default: 0, about: 'image i is drawn with seed + i' },
  batchSize: { type: 'integer', min: 1, max: 4096, about: 'images drawn at once; changes speed and memory only' },
  onStep: { type: 'function', about: 'called after each position of each batch' },
  signal: { type: 'signal', about: 'stops the drawing' },
} as const satisfies OptionTable<GenerateOptions>;

/** Progress of `generate`, as passed to `onStep`. */
export interface StepInfo {
  /** Number of tokens drawn for each image of this batch, from 1 to `steps`. */
  step: number;
  /** T, the number of tokens of an image. */
  steps: number;
  /** Index of the first image of this batch. */
  first: number;
  /** Number of images in this batch. */
  batch: number;
  /** Number of images in all. */
  count: number;
  /** Decodes the tokens drawn so far to images, in which the part that is not drawn yet is grey. */
  preview(): Promise<AimImage[]>;
}

/** The result of `generate`. All lists are in the order of the images. */
export interface Generated {
  images: AimImage[];
  /** For each image, its codes [T] in raster order. */
  tokens: Uint32Array[];
  /** The class number of each image. */
  labels: number[];
  /** The seed of each image. */
  seeds: number[];
}

/** One image of `generateEach`. */
export interface Drawn {
  image: AimImage;
  /** Its codes [T] in raster order. */
  tokens: Uint32Array;
  /** Its class number. */
  label: number;
  seed: number;
  /** Its place among all images, from 0. */
  index: number;
}

/** The checked options: what to draw, and in which batches. */
interface Order {
  labels: number[];
  seeds: number[];
  batchSize: number;
  sampling: Sampling;
  onStep: GenerateOptions['onStep'];
  signal: AbortSignal | undefined;
}

async function checkGenerate(model: Model, given: GenerateOptions | undefined): Promise<Order> {
  const {
    classes: choice,
    count: n,
    seed,
    batchSize,
    onStep,
    signal,
    ...sampling
  } = checkOptions<GenerateOptions, typeof GENERATE>('generate', given, GENERATE);
  const classes = await findClasses(choice, model.config.num_classes, model.classes);
  const count = n ?? classes.length;
  if (seed > Number.MAX_SAFE_INTEGER - count)
    throw new OptionError(`seed is ${seed}; with ${count} images it must be at most ${Number.MAX_SAFE_INTEGER - count}.`);
  return {
    labels: Array.from({ length: count }, (_, i) => classes[i % classes.length]!),
    seeds: Array.from({ length: count }, (_, i) => seed + i),
    batchSize: Math.min(count, batchSize ?? model.be.traits.defaultBatch),
    sampling: checkSampling(sampling),
    onStep,
    signal,
  };
}

/** Draws images. See AiM.generate. */
export async function generate(model: Model, given: GenerateOptions | undefined): Promise<Generated> {
  const result: Generated = { images: [], tokens: [], labels: [], seeds: [] };
  for await (const { image, tokens, label, seed } of generateEach(model, given)) {
    result.images.push(image);
    result.tokens.push(tokens);
    result.labels.push(label);
    result.seeds.push(seed);
  }
  return result;
}

/** Draws images and yields each. See AiM.generateEach. */
export async function* generateEach(model: Model, given: GenerateOptions | undefined): AsyncGenerator<Drawn, void, undefined> {
  const order = await checkGenerate(model, given);
  const { labels, seeds, batchSize, signal } = order;
  const samplers = new SamplerCache(model, order.sampling, await guidanceModule(order.sampling));
  try {
    for (let first = 0; first < labels.length; first += batchSize) {
      signal?.throwIfAborted();
      const { codes, images } = await drawBatch(model, order, samplers, first);
      const T = model.config.num_tokens;
      for (const [i, { width, height, data }] of images.entries()) {
        const index = first + i;
        const [label, seed] = [labels[index]!, seeds[index]!];
        const image = new AimImage({ width, height, data, label, seed });
        yield { image, tokens: codes.slice(i * T, (i + 1) * T), label, seed, index };
      }
    }
  } finally {
    samplers.dispose();
  }
}

/** Caches the sampler of the latest device and batch size, so that batches can share it while both stay the same. */
class SamplerCache {
  private sampler: Sampler | undefined;

  constructor(
    private readonly model: Model,
    private readonly sampling: Sampling,
    private readonly kinds: Awaited<ReturnType<typeof guidanceModule>>,
  ) {}

  get({ be, params }: Placed, count: number): Sampler {
    if (this.sampler?.be === be && this.sampler.count === count) return this.sampler;
    this.dispose();
    this.sampler = new Sampler(be, this.model.config, params.mamba.backbone, count, this.sampling, this.kinds);
    return this.sampler;
  }

  dispose(): void {
    this.sampler?.dispose();
    this.sampler = undefined;
  }
}

/** Draws the images first, …, first + batchSize − 1. If the device is lost meanwhile, starts again from their first token. */
function drawBatch(
  model: Model,
  { labels, seeds, batchSize, onStep, signal }: Order,
  samplers: SamplerCache,
  first: number,
): Promise<{ codes: Uint32Array; images: AimImage[] }> {
  const { config } = model;
  const count = labels.length;
  const batch = Math.min(batchSize, count - first);
  let reported = 0;
  return model.attempt(async (on) => {
    const sampler = samplers.get(on, batch);
    sampler.start(labels.slice(first, first + batch), seeds.slice(first, first + batch));
    const onDone = async (step: number) => {
      // A batch that is drawn again does not report a step twice.
      if (step <= reported) return;
      const preview = async () => {
        const images = await decodeTensor(on, config, sampler.tokens);
        // The device may be some steps ahead of the reported step.
        greyFrom(images, step, config.num_tokens);
        return images;
      };
      // Do not wait for a callback that never settles once the call is aborted.
      const seen = onStep!({ step, steps: config.num_tokens, first, batch, count, preview });
      if (isPromise(seen)) await model.whileLive(seen, signal);
      reported = step;
    };
    await drawTokens(on.be, sampler, config.num_tokens, { signal, onDone: onStep && onDone });
    const [codes, logits] = await Promise.all([on.be.read(sampler.tokens), on.be.read(sampler.logits)]);
    assertFinite('the logits', logits);
    return { codes: codes as Uint32Array, images: await decodeTensor(on, config, sampler.tokens, signal) };
  }, signal);
}

const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as Partial<PromiseLike<unknown>> | null | undefined)?.then === 'function';

/** Draws images in batches: checks the options, then makes tokens, images and previews. */
import { OptionError } from '../core/errors.js';
import { checkOption, checkOptions, type OptionSpec, type OptionTable } from '../core/options.js';
import { AimImage } from '../io/image.js';
import type { Between, ClassMix, SeedMix } from './between.js';
import { findClasses } from './classes.js';
import { assertFinite, decodeTensor, greyFrom } from './images.js';
import type { Model } from './model.js';
import type { Placed } from './placed.js';
import {
  checkSampling,
  drawTokens,
  guidanceModule,
  SAMPLING,
  Sampler,
  type SamplerAbilities,
  type Sampling,
  type SamplingOptions,
} from './sampler.js';
import type { StartFrom } from './start_from.js';

export type { ClassMix, SeedMix } from './between.js';
export type { StartFrom } from './start_from.js';

/** Options of `generate`. */
export interface GenerateOptions extends SamplingOptions {
  /**
   * Class numbers or names, used in turn until `count` images are drawn. 'all' (the default) means every class. In a model of 1000
   * classes without a classes.json, names are ImageNet's: 'golden retriever', or a synonym. `{ from: 'flower', to: 'heart', at: 0.5 }`
   * is a point between two.
   */
  classes?: readonly (number | string | ClassMix)[] | number | string | ClassMix;
  /** Number of images. Default: as many as the longest of the lists `classes`, `seed` and `from` has; one per given class. */
  count?: number;
  /**
   * Image i is drawn with seed + i, so any image can be drawn again by itself. Default 0. A list holds the seeds themselves, used
   * in turn; `[7]` is 7 for every image. `{ from: 7, to: 8, at: 0.5 }` is a point between the random numbers of two seeds.
   */
  seed?: number | SeedMix | readonly (number | SeedMix)[];
  /**
   * What images start from: the first rows of a picture or of codes are kept, the rest is drawn. One for all images, or several, used
   * in turn. Kept tokens come back exactly, and those after them are the ones that a drawing with the same first tokens has.
   */
  from?: StartFrom | readonly StartFrom[];
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
  seed: { type: 'other', default: 0, about: 'image i is drawn with seed + i; a list holds the seeds themselves' },
  from: { type: 'other', about: 'the picture or codes whose first rows are kept' },
  batchSize: { type: 'integer', min: 1, max: 4096, about: 'images drawn at once; changes speed and memory only' },
  onStep: { type: 'function', about: 'called after each position of each batch' },
  signal: { type: 'signal', about: 'stops the drawing' },
} as const satisfies OptionTable<GenerateOptions>;

/** One seed. */
export const SEED = { type: 'integer', min: 0, about: 'image i is drawn with seed + i' } as const satisfies OptionSpec;

/** Progress of `generate`, as passed to `onStep`. */
export interface StepInfo {
  /** Number of tokens that each image of this batch has, kept ones included, from 1 to `steps`. */
  step: number;
  /** T, the number of tokens of an image. */
  steps: number;
  /** Index of the first image of this batch. */
  first: number;
  /** Number of images in this batch. */
  batch: number;
  /** Number of images in all. */
  count: number;
  /**
   * Decodes the tokens so far to images, in which the part that is not drawn yet is grey. What is kept of `from` is there at the
   * first step.
   */
  preview(): Promise<AimImage[]>;
}

/** The result of `generate`. All lists are in the order of the images. */
export interface Generated {
  images: AimImage[];
  /** For each image, its codes [T] in raster order. */
  tokens: Uint32Array[];
  /** The class number of each image; of a point between two, that of the nearer one. */
  labels: number[];
  /** The seed of each image; of a point between two, the nearer one. */
  seeds: number[];
}

/** One image of `generateEach`. */
export interface Drawn {
  image: AimImage;
  /** Its codes [T] in raster order. */
  tokens: Uint32Array;
  /** Its class number, as in `Generated`. */
  label: number;
  seed: number;
  /** Its place among all images, from 0. */
  index: number;
}

/** The checked options: what to draw, and in which batches. All lists are in the order of the images. */
interface Order {
  classes: Between<number>[];
  seeds: Between<number>[];
  /** What images that lie between two classes or two seeds need, if there are any. */
  between: typeof import('./between.js') | undefined;
  /** Whether some image lies between two classes, or between two seeds; and guidance by position. */
  can: SamplerAbilities;
  /** The codes that each image starts with; undefined if none starts from something. */
  kept: Uint32Array[] | undefined;
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
    from,
    batchSize,
    onStep,
    signal,
    ...sampling
  } = checkOptions<GenerateOptions, typeof GENERATE>('generate', given, GENERATE, model.sampling);
  const classes = await classPoints(model, choice);
  const starts = from === undefined ? undefined : ([from].flat() as StartFrom[]);
  if (starts?.length === 0) throw new OptionError('from is empty; give a picture or codes to start from, or leave it out.');
  const count = n ?? Math.max(classes.length, Array.isArray(seed) ? seed.length : 0, starts?.length ?? 0);
  const inTurn = <T>(list: readonly T[]) => Array.from({ length: count }, (_, i) => list[i % list.length]!);
  const checked = checkSampling(sampling);
  const seeds = Array.isArray(seed) ? inTurn(await seedPoints(seed)) : await seedsFrom(seed as number | SeedMix, count);
  const [mixes, noise] = [classes.some(isBetween), seeds.some(isBetween)];
  const between = mixes || noise ? await import('./between.js') : undefined;
  const order = {
    classes: inTurn(classes),
    seeds,
    between,
    can: { mixes: mixes ? between : undefined, noise, guidance: await guidanceModule(checked) },
    batchSize: Math.min(count, batchSize ?? model.be.traits.defaultBatch),
    sampling: checked,
    onStep,
    signal,
  };
  // Last, because it computes.
  const kept = starts && inTurn(await (await import('./start_from.js')).keptCodes(model, starts, signal));
  return { ...order, kept };
}

/** A value as a point that is no way off it, or the point that is given. Throws OptionError, naming the option. */
async function pointOf<T>(option: string, given: T | Between<T>): Promise<Between<T>> {
  // Whoever uses the value refuses lists, with a better message.
  const plain = typeof given !== 'object' || given === null || Array.isArray(given);
  return plain ? at(given as T) : (await import('./between.js')).between(option, given as Between<T>);
}

const at = <T>(value: T): Between<T> => ({ from: value, to: value, at: 0 });

/** The classes that are chosen, by their numbers. */
async function classPoints(model: Model, choice: GenerateOptions['classes']): Promise<Between<number>[]> {
  const find = (names: Parameters<typeof findClasses>[0]) => findClasses(names, model.config.num_classes, model.classes);
  const chosen = choice === undefined || choice === 'all' ? [] : [choice].flat();
  const points = await Promise.all(chosen.map((one) => pointOf('classes', one)));
  if (points.every(({ from, to }) => from === to)) {
    const all = await find(points.length ? points.map(({ from }) => from) : (choice as 'all'));
    return all.map(at);
  }
  const [from, to] = [await find(points.map((p) => p.from)), await find(points.map((p) => p.to))];
  return points.map(({ at }, i) => ({ from: from[i]!, to: to[i]!, at }));
}

/** Seeds as points, checked. */
async function seedPoints(list: readonly (number | SeedMix)[]): Promise<Between<number>[]> {
  if (list.length === 0) throw new OptionError('seed is an empty list; give at least one seed, or leave it out.');
  const points = list.map(async (one) => {
    const point = await pointOf('seed', one);
    checkOption('seed', point.from, SEED);
    checkOption('seed', point.to, SEED);
    return point;
  });
  return Promise.all(points);
}

/** The seeds of `count` images, from the first one's on. */
async function seedsFrom(first: number | SeedMix, count: number): Promise<Between<number>[]> {
  const [{ from, to, at }] = (await seedPoints([first])) as [Between<number>];
  const largest = Math.max(from, to);
  if (largest > Number.MAX_SAFE_INTEGER - count)
    throw new OptionError(`seed is ${largest}; with ${count} images it must be at most ${Number.MAX_SAFE_INTEGER - count}.`);
  return Array.from({ length: count }, (_, i) => ({ from: from + i, to: to + i, at }));
}

/** The end that a point is nearer to. */
const nearer = ({ from, to, at }: Between<number>) => (at > 0.5 ? to : from);
const isBetween = ({ at }: Between<number>) => at > 0;

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
  const { classes, seeds, batchSize, signal } = order;
  const samplers = new SamplerCache(model, order);
  try {
    for (let first = 0; first < classes.length; first += batchSize) {
      signal?.throwIfAborted();
      const { codes, images } = await drawBatch(model, order, samplers, first);
      const T = model.config.num_tokens;
      for (const [i, { width, height, data }] of images.entries()) {
        const index = first + i;
        const [label, seed] = [nearer(classes[index]!), nearer(seeds[index]!)];
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
    private readonly order: Order,
  ) {}

  get({ be, params }: Placed, count: number): Sampler {
    if (this.sampler?.be === be && this.sampler.count === count) return this.sampler;
    this.dispose();
    const { sampling, can } = this.order;
    this.sampler = new Sampler(be, this.model.config, params.mamba.backbone, count, sampling, can);
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
  order: Order,
  samplers: SamplerCache,
  first: number,
): Promise<{ codes: Uint32Array; images: AimImage[] }> {
  const { config } = model;
  const { num_tokens: T } = config;
  const { batchSize, onStep, signal } = order;
  const count = order.classes.length;
  const batch = Math.min(batchSize, count - first);
  const part = <V>(list: readonly V[]) => list.slice(first, first + batch);
  const [classes, seeds, kept] = [part(order.classes), part(order.seeds), order.kept && part(order.kept)];
  const mix = { values: classes.map(({ to }) => to), shares: classes.map(({ at }) => at) };
  const noise = order.can.noise ? seeds.map((seed) => order.between!.noiseBetween(seed, T)) : undefined;
  const keptCounts = seeds.map((_, i) => kept?.[i]?.length ?? 0);
  const fromOf = ({ from }: Between<number>) => from;
  let reported = 0;
  return model.attempt(async (on) => {
    const sampler = samplers.get(on, batch);
    await sampler.compile();
    sampler.start(classes.map(fromOf), seeds.map(fromOf), { mix, noise, kept });
    const onDone = async (step: number) => {
      // A batch that is drawn again does not report a step twice.
      if (step <= reported) return;
      const preview = async () => {
        const images = await decodeTensor(on, config, sampler.tokens);
        // The device may be some steps ahead of the reported step.
        greyFrom(images, step, T, keptCounts);
        return images;
      };
      // Do not wait for a callback that never settles once the call is aborted.
      const seen = onStep!({ step, steps: T, first, batch, count, preview });
      if (isPromise(seen)) await model.whileLive(seen, signal);
      reported = step;
    };
    await drawTokens(on.be, sampler, T, { signal, onDone: onStep && onDone });
    const [codes, logits] = await Promise.all([on.be.read(sampler.tokens), on.be.read(sampler.logits)]);
    assertFinite('the logits', logits);
    return { codes: codes as Uint32Array, images: await decodeTensor(on, config, sampler.tokens, signal) };
  }, signal);
}

const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as Partial<PromiseLike<unknown>> | null | undefined)?.then === 'function';

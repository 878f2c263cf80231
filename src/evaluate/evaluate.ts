/**
 * Compares samples with a reference by the field's metrics. Definitions: FID (Heusel et al. 2017), sFID (Nash et al. 2021),
 * Inception Score (Salimans et al. 2016), precision and recall (Kynkäänniemi et al. 2019), KID (Bińkowski et al. 2018).
 */
import { createBackend, DEVICE, type DeviceOptions } from '../backend/create.js';
import { openSource } from '../checkpoint/source.js';
import { OptionError } from '../core/errors.js';
import { checkOptions, type Filled, type OptionTable, shown } from '../core/options.js';
import type { ByteSource } from '../io/bytes.js';
import { openFile } from '../io/file_source.js';
import type { Rgb } from '../io/images/index.js';
import { openNpz } from '../io/npy.js';
import { frechetDistance, kernelDistanceSteps, precisionRecallSteps } from '../metrics/index.js';
import { ABANDONED, removeDeadTemporaries } from '../platform/files.js';
import { pause } from '../platform/runtime.js';
import type { FeatureNetwork } from './features.js';
import { type ImageSource, kindOf, npzImages, openNpzImages, openPictures, otherSize } from './images.js';
import type { Network } from './inception.js';
import { Inception } from './inception_features.js';
import { ownNetwork } from './own.js';
import { type Described, describe, readStatistics } from './statistics.js';

/**
 * A path (Node, Deno) of a folder of pictures, of a .zip of one, or of an .npz with images `arr_0`; the Files of a folder, or that of an
 * archive alone; or images from elsewhere.
 */
export type SampleSource = string | Iterable<File> | ImageSource;

/**
 * As samples, and a data set (a folder of IDX files, or of class folders, perhaps in `train` and `val`, or a .zip of one), or an .npz of statistics
 * `mu`, `sigma` (and `mu_s`, `sigma_s`). An .npz may have both images and statistics, which are then of more images.
 */
export type ReferenceSource = SampleSource;

/** How far `evaluate` is. In the phase 'metrics' `done` and `total` count hundredths. */
export interface EvaluateProgress {
  phase: 'network' | 'samples' | 'reference' | 'metrics';
  done: number;
  total: number;
}

/** Options of `evaluate`. */
export interface EvaluateOptions extends Omit<DeviceOptions, 'precision'> {
  /**
   * Weights of the FID network: pt_inception-2015-12-05-6726825d.pth of pytorch-fid or torch-fidelity, or a safetensors file with its
   * tensors, as a path, URL, Blob or bytes.
   */
  inception?: string | URL | Blob | Uint8Array | ArrayBuffer | undefined;
  /**
   * 'own' takes features of a small classifier that is trained on the reference, a data set with at least two classes. Its results
   * have other names, because they are not comparable with those of the FID network. Default 'inception'.
   */
  features?: 'inception' | 'own' | undefined;
  /** Folder in which features are kept by content, so that an interrupted evaluation continues (Node, Deno). Default: none. */
  cache?: string | undefined;
  /** Images whose features are computed and cached together. Default 250. */
  shard?: number | undefined;
  /** Most images of both kinds, the first ones, that precision, recall and KID compare. Default 10000. */
  neighbours?: number | undefined;
  /** Subsets of 1000 images that KID averages. Default 100. */
  kidSubsets?: number | undefined;
  /** Part of a reference that has its held-out images apart. Default 'train'. */
  split?: 'train' | 'eval' | undefined;
  /** Behind transparent pixels of pictures. Default white. */
  background?: Rgb | undefined;
  onProgress?: ((progress: EvaluateProgress) => void) | undefined;
  /** Called with reasons why a value is not reliable. Default: console.warn. */
  onWarning?: ((message: string) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** @internal Another network than that of the FID. Tests use a small one. */
  network?: Network | undefined;
}

const { precision: _, ...DEVICES } = DEVICE;

export const EVALUATE = {
  ...DEVICES,
  inception: { type: 'other', about: 'weights of the FID network' },
  features: { type: 'choice', choices: ['inception', 'own'], default: 'inception', about: 'what features are compared' },
  cache: { type: 'string', about: 'folder that keeps features by content' },
  shard: { type: 'integer', min: 1, max: 1e5, default: 250, about: 'images whose features are computed and cached together' },
  neighbours: {
    type: 'integer',
    min: 4,
    max: 1e5,
    default: 10000,
    about: 'most images of both kinds that precision, recall and KID compare',
  },
  kidSubsets: { type: 'integer', min: 1, max: 1e4, default: 100, about: 'subsets of 1000 images that KID averages' },
  split: {
    type: 'choice',
    choices: ['train', 'eval'],
    default: 'train',
    about: 'part of a reference that has its held-out images apart',
  },
  background: { type: 'other', about: 'red, green and blue behind transparent pixels, from 0 to 255; by default white' },
  onProgress: { type: 'function', about: 'called as images and metrics are done' },
  onWarning: { type: 'function', about: 'called with reasons why a value is not reliable' },
  signal: { type: 'signal', about: 'stops the evaluation' },
  network: { type: 'other', about: 'another network (for tests)' },
} as const satisfies OptionTable<EvaluateOptions>;

/** Metrics of the FID network's features. Lower is better for `fid`, `sfid` and `kid`, higher for the others. */
export interface InceptionMetrics {
  fid: number;
  sfid: number;
  /** Inception Score, of the samples alone. */
  is: number;
  isStd: number;
  precision: number;
  recall: number;
  kid: number;
  kidStd: number;
}

/** The same functions of the features of a classifier trained on this reference. They are no FID and no Inception Score. */
export interface OwnMetrics {
  ownFrechetDistance: number;
  ownScore: number;
  ownScoreStd: number;
  ownPrecision: number;
  ownRecall: number;
  ownKernelDistance: number;
  ownKernelDistanceStd: number;
}

export type MetricName = keyof InceptionMetrics | keyof OwnMetrics;

/** The result of `evaluate`. */
export interface Evaluation {
  features: 'inception' | 'own';
  /** Where the features were computed. */
  device: string;
  /** Numbers of images; undefined for statistics, which do not say it. */
  samples: number;
  reference: number | undefined;
  /** What could be computed of InceptionMetrics or, with own features, of OwnMetrics. */
  metrics: Partial<InceptionMetrics & OwnMetrics>;
  /** What could not be computed, and why. */
  missing: { metric: MetricName; reason: string }[];
  warnings: string[];
}

type Checked = Filled<EvaluateOptions, typeof EVALUATE>;

/** Names of the results by features. */
const NAMES = {
  inception: {
    distance: 'fid',
    spatial: 'sfid',
    score: ['is', 'isStd'],
    precision: 'precision',
    recall: 'recall',
    kernel: ['kid', 'kidStd'],
  },
  own: {
    distance: 'ownFrechetDistance',
    spatial: undefined,
    score: ['ownScore', 'ownScoreStd'],
    precision: 'ownPrecision',
    recall: 'ownRecall',
    kernel: ['ownKernelDistance', 'ownKernelDistanceStd'],
  },
} as const satisfies Record<string, Record<string, MetricName | readonly MetricName[] | undefined>>;

/**
 * Compares samples with a reference. Features are computed in shards on the chosen device, so that memory is bounded whatever the
 * number of images; statistics in float64.
 *
 * Throws OptionError for images of other sizes, too few images and wrong options, CheckpointError for weights or statistics of another
 * network and damaged files, IoError for what cannot be read. Rejects with `signal.reason` when aborted; with a cache, at most the
 * features of one shard are then lost.
 */
export async function evaluate(
  givenSamples: SampleSource,
  givenReference: ReferenceSource,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const [samples, reference] = [reusable(givenSamples), reusable(givenReference)];
  const o: Checked = checkOptions<EvaluateOptions, typeof EVALUATE>('evaluate', options, EVALUATE);
  const { signal, onProgress } = o;
  for (const [name, source] of Object.entries({ samples, reference }))
    if (typeof source !== 'string' && (typeof source !== 'object' || source === null))
      throw new OptionError(`${name} are ${shown(source)}; pass a path, the File objects of a folder, or a source of images.`);
  if (o.features === 'own' && o.inception !== undefined)
    throw new OptionError('inception and own features are both asked for; give the weights, or features: own, not both.');
  if (o.features === 'inception' && o.inception === undefined)
    throw new OptionError(
      'inception is missing, the weights of the FID network (pt_inception-2015-12-05-6726825d.pth of pytorch-fid or ' +
        "torch-fidelity); pass them, or features: 'own' for figures that are comparable with nobody else's.",
    );
  signal?.throwIfAborted();
  // What evaluations left that were killed. A cache that nobody may write to still serves what it holds.
  if (o.cache !== undefined) await removeDeadTemporaries(o.cache, { age: ABANDONED }).catch(() => {});
  const warnings: string[] = [];
  const onWarning = (message: string) => {
    warnings.push(message);
    (o.onWarning ?? console.warn)(message);
  };
  let net: FeatureNetwork | undefined;
  const images = await openSamples(samples, o);
  try {
    net = o.features === 'own' ? await trainOwn(reference, images, o) : await openInception(o);
    const set = async (phase: 'samples' | 'reference', source: ImageSource, withScore: boolean) => {
      const total = source.length;
      onProgress?.({ phase, done: 0, total });
      const { shard, cache, neighbours } = o;
      return describe(source, net!, {
        ...{ shard, cache, signal, onWarning, withScore, keep: neighbours },
        onImages: (done) => onProgress?.({ phase, done, total }),
      });
    };
    // The reference is opened first, so that a mistake in it costs no drawing.
    const known = await openReference(reference, images, net, o);
    try {
      const drawn = await set('samples', images, true);
      const ofImages = known.images && (await set('reference', known.images, false));
      const real = { ...ofImages, ...known.statistics } as Described;
      return await compare(drawn, { ...real, kept: ofImages?.kept }, net, o, warnings, onWarning);
    } finally {
      await known.images?.close?.();
    }
  } finally {
    await images.close?.();
    net?.dispose();
  }
}

/** Replaces an iterable of Files by a list, because some iterables can be read only once. */
const reusable = (source: SampleSource): SampleSource =>
  typeof source === 'object' && source !== null && Symbol.iterator in source ? [...source] : source;

const isSource = (source: SampleSource): source is ImageSource =>
  typeof source === 'object' && 'images' in source && typeof source.images === 'function';

async function openSamples(source: SampleSource, { background, signal }: Checked): Promise<ImageSource> {
  if (isSource(source)) return source;
  if (typeof source !== 'string') {
    const file = onlyNpz(source);
    return file ? openNpzImages(await openSource(file), signal) : openPictures(source, { background, signal });
  }
  const kind = await kindOf(source);
  if (kind === 'npz') return openNpzImages(await openFile(source), signal);
  if (kind === 'folder') return openPictures(source, { background, signal });
  throw new OptionError(
    `${source} is no folder or .zip of pictures and no .npz; of a model, pass drawn(aim, { count }) (on the command line its folder or id).`,
  );
}

/** The one file of a list if it is an .npz. */
function onlyNpz(source: Iterable<File>): File | undefined {
  const files = [...source];
  return files.length === 1 && /\.npz$/i.test(files[0]!.name) ? files[0] : undefined;
}

interface Reference {
  images?: ImageSource | undefined;
  statistics?: Described | undefined;
}

async function openReference(source: ReferenceSource, samples: ImageSource, net: FeatureNetwork, o: Checked): Promise<Reference> {
  const { split, background, signal } = o;
  const size = { width: samples.width, height: samples.height };
  const sized = (images: ImageSource): Reference => {
    if (images.width !== size.width || images.height !== size.height) throw otherSize(images.name, images, size);
    return { images };
  };
  if (isSource(source)) return sized(source);
  const npz = typeof source === 'string' ? (await kindOf(source)) === 'npz' : onlyNpz(source);
  if (!npz) {
    if (typeof source === 'string' && (await kindOf(source)) === undefined)
      throw new OptionError(`${source} is no folder or .zip of images and no .npz; the reference is a data set or an .npz.`);
    return sized(await openPictures(source, { size, split, background, signal }));
  }
  const file: ByteSource = typeof source === 'string' ? await openFile(source) : await openSource(npz as File);
  let keeps = false;
  try {
    const archive = await openNpz(file, signal);
    const has = (name: string) => archive.names.includes(name);
    const statistics = has('mu') || !has('arr_0') ? await readStatistics(archive, file, net, signal) : undefined;
    if (!has('arr_0')) return { statistics };
    const { images } = sized(await npzImages(archive, file, signal));
    keeps = true;
    return { images, statistics };
  } finally {
    if (!keeps) await file.close();
  }
}

async function openInception({ inception, signal, onProgress, ...o }: Checked): Promise<Inception> {
  onProgress?.({ phase: 'network', done: 0, total: 1 });
  const weights = await openSource(inception!, { signal });
  try {
    const { device, dawn, wasmUrl, threads, backend, network } = o;
    const be = await createBackend({
      ...(device !== undefined && { device }),
      ...(dawn && { dawn }),
      ...(wasmUrl && { wasmUrl }),
      ...(threads !== undefined && { threads }),
      backend,
      signal,
    });
    const net = await Inception.load(be, weights, { ...(network && { network }), signal });
    onProgress?.({ phase: 'network', done: 1, total: 1 });
    return net;
  } finally {
    await weights.close();
  }
}

async function trainOwn(reference: ReferenceSource, samples: ImageSource, o: Checked): Promise<FeatureNetwork> {
  const { cache, background, signal, onProgress } = o;
  if (isSource(reference) || (typeof reference === 'string' && (await kindOf(reference)) !== 'folder'))
    throw new OptionError('own features are of a classifier of the reference; pass a data set with classes as reference.');
  if (samples.width !== samples.height)
    throw new OptionError(`own features need square images, and the samples are ${samples.width}×${samples.height}.`);
  const total = 4;
  onProgress?.({ phase: 'network', done: 0, total });
  const onEpoch = (done: number) => onProgress?.({ phase: 'network', done, total });
  return ownNetwork(reference, { size: samples.width, cache, background, signal, onEpoch });
}

async function compare(
  samples: Described,
  reference: Described,
  net: FeatureNetwork,
  { signal, onProgress, kidSubsets }: Checked,
  warnings: string[],
  onWarning: (message: string) => void,
): Promise<Evaluation> {
  const names = NAMES[net.kind];
  const metrics: Evaluation['metrics'] = {};
  const missing: Evaluation['missing'] = [];
  const progress = (share: number) => onProgress?.({ phase: 'metrics', done: Math.round(100 * share), total: 100 });
  /** Runs a computation in steps, which takes the time from share `from` to `to`. */
  const run = async <T>(steps: Generator<number, T>, from: number, to: number): Promise<T> => {
    for (;;) {
      signal?.throwIfAborted();
      const step = steps.next();
      if (step.done) return step.value;
      progress(from + (to - from) * step.value);
      await pause();
    }
  };
  progress(0);
  await pause();
  metrics[names.distance] = frechetDistance(samples.pool, reference.pool, { onWarning });
  progress(0.1);
  await pause();
  signal?.throwIfAborted();
  if (names.spatial) {
    if (reference.spatial && samples.spatial)
      metrics[names.spatial] = frechetDistance(samples.spatial, reference.spatial, { onWarning: () => {} });
    else missing.push({ metric: names.spatial, reason: `${reference.name} has no statistics mu_s and sigma_s` });
  }
  if (samples.score) {
    metrics[names.score[0]] = samples.score.mean;
    metrics[names.score[1]] = samples.score.std;
  } else missing.push({ metric: names.score[0], reason: 'it takes at least 10 samples' });
  const [a, b] = [samples.kept!, reference.kept];
  const few = Math.min(a.length, b?.length ?? 0) / net.size <= NEIGHBOURS;
  if (!b || few) {
    const reason = b ? `it takes more than ${NEIGHBOURS} images of both kinds` : `${reference.name} has statistics and no images`;
    for (const metric of [names.precision, names.recall, names.kernel[0]]) missing.push({ metric, reason });
  } else {
    const { precision, recall } = await run(precisionRecallSteps(a, b, net.size, { k: NEIGHBOURS }), 0.2, 0.6);
    metrics[names.precision] = precision;
    metrics[names.recall] = recall;
    const kernel = await run(kernelDistanceSteps(a, b, net.size, { subsets: kidSubsets }), 0.6, 1);
    metrics[names.kernel[0]] = kernel.mean;
    metrics[names.kernel[1]] = kernel.std;
  }
  progress(1);
  return {
    features: net.kind,
    device: net.device,
    samples: samples.count!,
    reference: reference.count,
    metrics,
    missing,
    warnings,
  };
}

/** k of precision and recall. */
const NEIGHBOURS = 3;

/** What is kept of a set of images to compare it with another: statistics of all, features of some. Memory is bounded. */
import { CheckpointError, OptionError } from '../core/errors.js';
import type { ByteSource } from '../io/bytes.js';
import type { Npz } from '../io/npy.js';
import { type Gaussian, InceptionScore, Moments } from '../metrics/index.js';
import type { FeatureNetwork } from './features.js';
import type { ImageSource } from './images.js';
import { type ShardOptions, shardFeatures } from './shards.js';

/** A set of images as the metrics see it. */
export interface Described {
  readonly name: string;
  /** Number of images, if it is known. */
  readonly count: number | undefined;
  readonly pool: Gaussian;
  readonly spatial?: Gaussian | undefined;
  /** Features of the first images, [n, size]. */
  readonly kept?: Float32Array | undefined;
  readonly score?: { mean: number; std: number } | undefined;
}

/** Splits of the Inception Score. */
const SPLITS = 10;

/**
 * Computes statistics of all images, and keeps the features of the first `keep`. Throws OptionError for fewer than two images.
 *
 * @param withScore Whether to compute the Inception Score; there is none of fewer than 10 images.
 */
export async function describe(
  source: ImageSource,
  net: FeatureNetwork,
  { keep, withScore, ...shards }: ShardOptions & { keep: number; withScore: boolean },
): Promise<Described> {
  const { length, name } = source;
  if (length < 2)
    throw new OptionError(`${name} has ${length} image${length ? '' : 's'}, and a distance needs at least two; pass thousands.`);
  const [pool, spatial] = [new Moments(net.size), net.spatial ? new Moments(net.spatial) : undefined];
  const kept = new Float32Array(Math.min(keep, length) * net.size);
  const score = withScore && length >= SPLITS ? new InceptionScore(length, net.classes, SPLITS) : undefined;
  let at = 0;
  for await (const features of shardFeatures(source, net, shards)) {
    pool.add(features.pool);
    spatial?.add(features.spatial);
    score?.add(features.logits);
    if (at < kept.length) kept.set(features.pool.subarray(0, kept.length - at), at);
    at += features.pool.length;
  }
  return { name, count: length, pool: pool.gaussian(), spatial: spatial?.gaussian(), kept, score: score?.result() };
}

/**
 * Reads published statistics: `mu` [d] and `sigma` [d, d], and `mu_s`, `sigma_s` of the spatial features if they are there. Throws
 * CheckpointError if their sizes are not those of the network's features.
 */
export async function readStatistics(npz: Npz, file: ByteSource, net: FeatureNetwork, signal?: AbortSignal): Promise<Described> {
  const read = async (mu: string, sigma: string, size: number): Promise<Gaussian> => {
    const mean = await npz.floats(mu, signal);
    const covariance = await npz.floats(sigma, signal);
    if (mean.shape.join() !== `${size}` || covariance.shape.join() !== `${size},${size}`)
      throw new CheckpointError(
        `${file.name}: ${mu} is [${mean.shape.join(', ')}] and ${sigma} [${covariance.shape.join(', ')}], and this network has ` +
          `${size} features: these are statistics of another one; pass some that were made with the same network.`,
      );
    return { mean: mean.data, covariance: covariance.data };
  };
  const has = (...names: string[]) => names.every((name) => npz.names.includes(name));
  const spatial = net.spatial && has('mu_s', 'sigma_s') ? await read('mu_s', 'sigma_s', net.spatial) : undefined;
  return { name: file.name, count: undefined, pool: await read('mu', 'sigma', net.size), spatial };
}

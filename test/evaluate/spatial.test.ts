/** sFID against an implementation of its definition that shares nothing with the library; inception.test.ts has the real network's features. */
import { expect, it } from 'vitest';
import { ReferenceBackend } from '../../src/backend/reference.js';
import { evaluate } from '../../src/evaluate/evaluate.js';
import type { ImageSource } from '../../src/evaluate/images.js';
import { inceptionNetwork } from '../../src/evaluate/inception.js';
import { Inception } from '../../src/evaluate/inception_features.js';
import { bytesSource } from '../../src/io/bytes.js';
import { noise, noiseWeights } from './inception_noise.js';
import { plainDistance, plainFeatures, plainWeights } from './plain_inception.js';

/** The largest difference as a share of the largest value. */
function off(got: ArrayLike<number>, want: ArrayLike<number>): number {
  expect(got.length).toBe(want.length);
  let [most, largest] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    most = Math.max(most, Math.abs(got[i]! - want[i]!));
    largest = Math.max(largest, Math.abs(want[i]!));
  }
  return most / largest;
}

const network = inceptionNetwork({ divisor: 32, side: 75, classes: 6 });
const SIDE = 8;

/** Images of a distribution: noise around a colour of each image. */
function images(n: number, seed: number): Uint8Array {
  const per = 3 * SIDE * SIDE;
  const u = noise(`spatial ${seed}`, n * (per + 1));
  return Uint8Array.from({ length: n * per }, (_, i) =>
    Math.round(127.5 + 60 * u[n * per + Math.floor(i / per)]! + 40 * u[i]! + 20 * seed),
  );
}
const source = (n: number, seed: number): ImageSource => ({
  ...{ name: `set ${seed}`, length: n, width: SIDE, height: SIDE },
  async images(first, count) {
    const per = 3 * SIDE * SIDE;
    return { count, width: SIDE, height: SIDE, data: images(n, seed).slice(first * per, (first + count) * per) };
  },
});

it('sFID is the Fréchet distance of these features', async () => {
  // Larger than He et al. 2015 begin networks, so that features differ between images.
  const larger = (name: string, shape: readonly number[], data: Float32Array) => ({
    ...{ name, shape, dtype: 'F32' as const },
    data: shape.length === 4 ? data.map((v) => 2 * v) : data,
  });
  const file = noiseWeights(network, larger);
  const weights = await plainWeights(file);
  const features = (n: number, seed: number) => {
    const all = images(n, seed);
    const per = all.length / n;
    const one = (i: number) => ({ bytes: all.subarray(i * per, (i + 1) * per), width: SIDE, height: SIDE });
    return Array.from({ length: n }, (_, i) => plainFeatures(weights, one(i), network.side).spatial);
  };
  // More images than features in one of the sets, and fewer in the other.
  const [n, m] = [70, 20];
  const [a, b] = [features(n, 0), features(m, 1)];
  expect(a[0]).toHaveLength(network.spatialSide ** 2 * network.spatialChannels);
  expect(a[0]!.length).toBeGreaterThan(m);
  expect(a[0]!.length).toBeLessThan(n);
  const want = plainDistance(a, b);
  expect(want).toBeGreaterThan(1e-3);
  const reference = await Inception.load(new ReferenceBackend(), bytesSource(file), { network });
  const few = await reference.run({ count: 3, width: SIDE, height: SIDE, data: images(n, 0).subarray(0, 9 * SIDE * SIDE) });
  // On its way out of the device a value becomes a float32.
  expect(off(few.spatial, Float64Array.from(a.slice(0, 3).flatMap((row) => [...row])))).toBeLessThan(1e-6);
  reference.dispose();
  const options = { network, inception: file, device: 'wasm', threads: 1, onWarning: () => {} } as const;
  const { metrics } = await evaluate(source(n, 0), source(m, 1), options);
  expect(Math.abs(metrics.sfid! - want) / want).toBeLessThan(1e-4);
});

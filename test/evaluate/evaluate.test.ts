/** `evaluate()` with a small network: what it compares, that it continues, and what it refuses. */
import { existsSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { type Zippable, zipSync } from 'fflate';
import { beforeAll, describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { CheckpointError, IoError, OptionError } from '../../src/core/errors.js';
import { type DrawnOptions, drawn } from '../../src/evaluate/drawn.js';
import { type EvaluateOptions, type EvaluateProgress, evaluate } from '../../src/evaluate/evaluate.js';
import type { ImageSource } from '../../src/evaluate/images.js';
import { inceptionNetwork } from '../../src/evaluate/inception.js';
import { Inception } from '../../src/evaluate/inception_features.js';
import { bytesSource } from '../../src/io/bytes.js';
import { encodeNpz } from '../../src/io/npz.js';
import { frechetDistance, inceptionScore, kernelDistance, moments, precisionRecall } from '../../src/metrics/index.js';
import { wasmBackend } from '../backends.js';
import { type Files, fileListOf, folderOf, idxSet, png } from '../data/data_folders.js';
import { CONFIG } from '../train/tiny_model.js';
import { noise, noiseWeights } from './inception_noise.js';

const network = inceptionNetwork({ divisor: 32, side: 75, classes: 6 });
const weights = noiseWeights(network);
const warnings: string[] = [];
const small: EvaluateOptions = {
  network,
  inception: weights,
  device: 'wasm',
  threads: 1,
  onWarning: (message) => warnings.push(message),
};

/** n images of size × size; another `seed` is another distribution. */
function bytes(n: number, seed: number, size = 8): Uint8Array {
  const u = noise(`images ${seed}`, n * (size * size * 3 + 1));
  return Uint8Array.from({ length: n * size * size * 3 }, (_, i) => {
    const image = Math.floor(i / (size * size * 3));
    return Math.round(127.5 + 60 * u[n * size * size * 3 + image]! + 40 * u[i]! + 20 * seed);
  });
}
const npz = async (n: number, seed: number, size = 8) =>
  folderFile(await encodeNpz({ arr_0: { dtype: '|u1', shape: [n, size, size, 3], data: bytes(n, seed, size) } }));
function folderFile(data: Uint8Array, name = 'images.npz'): string {
  return `${folderOf({ [name]: data })}/${name}`;
}
/** The same images as pictures, in folders. */
function pictures(n: number, seed: number, size = 8): Files {
  const data = bytes(n, seed, size);
  return Object.fromEntries(
    Array.from({ length: n }, (_, i) => {
      const at = (x: number, y: number) => ((i * size + y) * size + x) * 3;
      const name = `${i < n / 2 ? 'a' : 'b'}/${String(i).padStart(3, '0')}.png`;
      return [name, png(size, size, (x, y) => [...data.subarray(at(x, y), at(x, y) + 3)] as [number, number, number])];
    }),
  );
}

const prefixed = (prefix: string, files: Files): Files =>
  Object.fromEntries(Object.entries(files).map(([name, file]) => [prefix + name, file]));
/** The path of an archive of these files. */
function zipped(files: Files): string {
  return `${folderOf({ 'set.zip': zipSync(files as Zippable) })}/set.zip`;
}

describe('with the features of a small network', () => {
  let [one, two]: string[] = [];
  let expected: Record<string, number>;
  beforeAll(async () => {
    [one, two] = [await npz(30, 0), await npz(24, 1)];
    const net = await Inception.load(await wasmBackend(), bytesSource(weights), { network });
    const [a, b] = [
      await net.run({ count: 30, width: 8, height: 8, data: bytes(30, 0) }),
      await net.run({ count: 24, width: 8, height: 8, data: bytes(24, 1) }),
    ];
    const [d, quiet] = [net.size, { onWarning: () => {} }];
    const score = inceptionScore(a.logits, 6);
    const { precision, recall } = precisionRecall(a.pool, b.pool, d);
    const kernel = kernelDistance(a.pool, b.pool, d);
    expected = {
      fid: frechetDistance(moments(a.pool, d), moments(b.pool, d), quiet),
      sfid: frechetDistance(moments(a.spatial, net.spatial), moments(b.spatial, net.spatial), quiet),
      is: score.mean,
      isStd: score.std,
      precision,
      recall,
      kid: kernel.mean,
      kidStd: kernel.std,
    };
    net.dispose();
  });

  it('gives the metrics of all images, however they are divided and wherever they are read from', async () => {
    const whole = await evaluate(one!, two!, { ...small, shard: 100 });
    expect(whole.metrics).toEqual(expected);
    expect(whole).toMatchObject({ features: 'inception', samples: 30, reference: 24, missing: [] });
    expect(expected.fid).toBeGreaterThan(0);
    expect(whole.warnings[0]).toMatch(/30 images are fewer than the 64 features/);
    const folders = [folderOf(pictures(30, 0)), folderOf(pictures(24, 1))] as const;
    const parts: EvaluateProgress[] = [];
    const divided = await evaluate(...folders, { ...small, shard: 7, onProgress: (at) => parts.push(at) });
    expect(divided.metrics).toEqual(expected);
    expect([...new Set(parts.map(({ phase }) => phase))]).toEqual(['network', 'samples', 'reference', 'metrics']);
    for (const phase of ['samples', 'reference', 'metrics']) {
      const done = parts.filter((at) => at.phase === phase).map((at) => at.done);
      expect([...done].sort((x, y) => x - y)).toEqual(done);
      expect(done.at(-1)).toBe(parts.find((at) => at.phase === phase)!.total);
    }
    const files = [pictures(30, 0), pictures(24, 1)].map((set) => fileListOf(set)) as [File[], File[]];
    expect((await evaluate(...files, small)).metrics).toEqual(expected);
  });

  it('reads a zip archive as the folder in it', async () => {
    const zips = [zipped(prefixed('mine/', pictures(30, 0))), zipped(pictures(24, 1))] as const;
    expect((await evaluate(...zips, small)).metrics).toEqual(expected);
    const file = (path: string) => [new File([readFileSync(path)], 'x.ZIP')];
    expect((await evaluate(file(zips[0]), file(zips[1]), small)).metrics).toEqual(expected);
    // A data set with its held-out images apart, and pictures side by side.
    const parts = zipped({ ...prefixed('train/', pictures(24, 1)), ...prefixed('val/', pictures(12, 2)) });
    expect((await evaluate(zips[0], parts, small)).metrics).toEqual(expected);
    expect((await evaluate(zips[0], parts, { ...small, split: 'eval' })).reference).toBe(12);
    const flat = Object.entries(pictures(30, 0)).map(([name, file]) => [name.slice(2), file]);
    expect((await evaluate(zipped(Object.fromEntries(flat)), zips[1], small)).metrics).toEqual(expected);
    // A folder may have such a name.
    const folder = `${folderOf(prefixed('x.zip/', pictures(24, 1)))}/x.zip`;
    expect((await evaluate(zips[0], folder, small)).metrics).toEqual(expected);
    const sets = zipped({ ...idxSet(20), ...idxSet(12, 't10k') });
    expect((await evaluate(await npz(20, 0, 32), sets, small)).reference).toBe(20);
  });

  it('takes statistics as reference, alone or with images', async () => {
    const net = await Inception.load(await wasmBackend(), bytesSource(weights), { network });
    const b = await net.run({ count: 24, width: 8, height: 8, data: bytes(24, 1) });
    net.dispose();
    const [pool, spatial] = [moments(b.pool, net.size), moments(b.spatial, net.spatial)];
    const floats = ({ mean, covariance }: typeof pool, d: number, [mu, sigma]: [string, string]) => ({
      [mu]: { dtype: '<f8' as const, shape: [d], data: mean },
      [sigma]: { dtype: '<f8' as const, shape: [d, d], data: covariance },
    });
    const mu = floats(pool, net.size, ['mu', 'sigma']);
    const file = async (arrays: Parameters<typeof encodeNpz>[0]) => folderFile(await encodeNpz(arrays));
    const alone = await evaluate(one!, await file(mu), small);
    expect(alone.metrics.fid).toBe(expected.fid);
    expect(alone.reference).toBeUndefined();
    expect(Object.keys(alone.metrics)).toEqual(['fid', 'is', 'isStd']);
    expect(alone.missing.map(({ metric }) => metric)).toEqual(['sfid', 'precision', 'recall', 'kid']);
    const images = { dtype: '|u1' as const, shape: [24, 8, 8, 3], data: bytes(24, 1) };
    const all = { ...mu, ...floats(spatial, net.spatial, ['mu_s', 'sigma_s']), arr_0: images };
    const both = await evaluate(one!, await file(all), small);
    expect(both.metrics).toEqual(expected);
    const other = evaluate(one!, await file(floats(moments(noise('x', 40), 4), 4, ['mu', 'sigma'])), small);
    await expect(other).rejects.toThrow(/mu is \[4\] and sigma \[4, 4\], and this network has 64 features/);
    await expect(other).rejects.toBeInstanceOf(CheckpointError);
  });

  it('keeps features by content: an interrupted evaluation continues, and damaged files are made again', async () => {
    const cache = `${folderOf({})}/features`;
    let made = 0;
    const source = (seed: number, n = 30): ImageSource => ({
      name: 'counted',
      length: n,
      width: 8,
      height: 8,
      async images(first, count) {
        made += count;
        const per = 8 * 8 * 3;
        return { count, width: 8, height: 8, data: bytes(n, seed).slice(first * per, (first + count) * per) };
      },
      key: async (first, count) => `${seed} ${first} ${count}`,
    });
    const stop = new AbortController();
    const options = { ...small, shard: 10, cache };
    const interrupted = evaluate(source(0), two!, {
      ...options,
      signal: stop.signal,
      onProgress: ({ phase, done }) => phase === 'samples' && done > 20 && stop.abort(new Error('stopped')),
    });
    await expect(interrupted).rejects.toThrow('stopped');
    expect([made, readdirSync(cache).length]).toEqual([30, 2]);
    expect((await evaluate(source(0), two!, options)).metrics).toEqual(expected);
    expect([made, readdirSync(cache).length]).toEqual([40, 6]);
    // What a process that was killed hours ago left; a younger one may belong to another machine.
    const [old, young] = [`${cache}/a.safetensors.4194303-x.tmp`, `${cache}/b.safetensors.4194303-x.tmp`];
    for (const name of [old, young]) writeFileSync(name, '');
    const then = Date.now() / 1000 - 5 * 3600;
    utimesSync(old, then, then);
    expect((await evaluate(source(0), two!, options)).metrics).toEqual(expected);
    expect([made, existsSync(old), existsSync(young)]).toEqual([40, false, true]);
    rmSync(young);
    for (const name of readdirSync(cache).slice(0, 3)) writeFileSync(`${cache}/${name}`, 'damaged');
    warnings.length = 0;
    expect((await evaluate(source(0), two!, options)).metrics).toEqual(expected);
    expect(warnings.filter((text) => /is damaged and is computed again/.test(text))).toHaveLength(3);
    // Other images, and other weights, are other features.
    const other = await evaluate(source(1), two!, options);
    expect(other.metrics.fid).not.toBe(expected.fid);
    const inception = noiseWeights(network, (name, shape, data) => {
      return { name, dtype: 'F32', shape, data: name === 'fc.weight' ? data.map((v) => 2 * v) : data };
    });
    const heavier = await evaluate(source(0), two!, { ...options, inception });
    expect([heavier.metrics.fid, heavier.metrics.is === expected.is]).toEqual([expected.fid, false]);
    rmSync(cache, { recursive: true });
  });

  it('draws the samples of a model in shards, and not again', async () => {
    const aim = await AiM.fromConfig(CONFIG, { device: 'wasm', threads: 1, seed: 1 });
    const [size, cache] = [aim.config.image_size, folderOf({})];
    const reference = await npz(12, 1, size);
    const [options, how] = [
      { ...small, shard: 5, cache },
      { count: 12, cfgScale: 2, seed: 3 },
    ];
    const phases: EvaluateProgress[] = [];
    const first = await evaluate(drawn(aim, how), reference, { ...options, onProgress: (at) => phases.push(at) });
    expect(first.samples).toBe(12);
    expect(phases.some(({ phase, done }) => phase === 'samples' && done % 1 !== 0)).toBe(true);
    const { images } = await aim.generate(how);
    const data = new Uint8Array(images.flatMap((image) => [...image.toRGB()]));
    const saved = await encodeNpz({ arr_0: { dtype: '|u1', shape: [12, size, size, 3], data } });
    expect((await evaluate(folderFile(saved), reference, small)).metrics).toEqual(first.metrics);
    const files = readdirSync(cache).length;
    const generate = aim.model.attempt;
    let attempts = 0;
    aim.model.attempt = (...args: Parameters<typeof generate>) => {
      attempts++;
      return generate.apply(aim.model, args) as never;
    };
    expect((await evaluate(drawn(aim, how), reference, options)).metrics).toEqual(first.metrics);
    // Weights are read, to see that they are the same; nothing is drawn.
    expect(attempts).toBe([...aim.model.named().keys()].length);
    expect(readdirSync(cache)).toHaveLength(files);
    const other = await evaluate(drawn(aim, { ...how, cfgScale: 1 }), reference, options);
    expect(other.metrics.fid).not.toBe(first.metrics.fid);
    expect(() => drawn(aim, { count: 0 })).toThrow(OptionError);
    expect(() => drawn(aim, { topp: 1 } as DrawnOptions)).toThrow(/no option "topp"; did you mean topP/);
    expect(() => drawn({} as AiM)).toThrow(/must be an AiM/);
    await aim.dispose();
  });

  it('refuses what cannot be compared, and says what to do', async () => {
    const [wide, float, tiny] = [await npz(12, 0, 10), folderOf({}), await npz(1, 0)];
    writeFileSync(
      `${float}/x.npz`,
      await encodeNpz({ arr_0: { dtype: '<f4', shape: [2, 2, 2, 3], data: new Float32Array(24) } }),
    );
    const mixed = folderOf({ 'a.png': png(8, 8, () => [1, 2, 3]), 'b.png': png(9, 8, () => [1, 2, 3]) });
    const cases: [unknown, unknown, EvaluateOptions, typeof OptionError | typeof IoError, RegExp][] = [
      [one, wide, small, OptionError, /has images of 10×10 and the samples are 8×8; compare images of one size/],
      [tiny, two, small, OptionError, /has 1 image, and a distance needs at least two/],
      [`${float}/x.npz`, two, small, OptionError, /arr_0 is <f4 of \[2, 2, 2, 3\], and pixels are bytes from 0 to 255/],
      [mixed, two, small, OptionError, /b\.png is 9×8 and a\.png 8×8; samples have one size/],
      [folderOf({ 'x.txt': '' }), two, small, IoError, /in it have no .*PNG.* pictures; pass a folder/],
      ['/nonexistent', two, small, OptionError, /is no folder or \.zip of pictures and no \.npz; of a model, pass drawn/],
      ['/nonexistent.zip', two, small, IoError, /\/nonexistent\.zip/],
      [one, '/nonexistent.zip', small, IoError, /\/nonexistent\.zip/],
      [folderFile(new Uint8Array(100), 'x.zip'), two, small, IoError, /x\.zip.* no zip directory/],
      [zipped({ 'x.txt': new Uint8Array(1) }), two, small, IoError, /set\.zip and the folders in it have no .*PNG.* pictures/],
      [one, '/nonexistent', small, OptionError, /the reference is a data set or an \.npz/],
      [one, undefined, small, OptionError, /reference are undefined/],
      [one, two, { ...small, inception: undefined }, OptionError, /inception is missing, the weights of the FID network/],
      [one, two, { ...small, features: 'own' }, OptionError, /give the weights, or features: own, not both/],
      [one, two, { ...small, shard: 0 }, OptionError, /shard is 0/],
    ];
    for (const [samples, reference, options, Kind, message] of cases) {
      const error = await evaluate(samples as string, reference as string, options).catch((e) => e);
      expect(error, String(message)).toBeInstanceOf(Kind);
      expect(error.message).toMatch(message);
    }
  });

  it('crops pictures of a data set to the samples, and takes IDX files', async () => {
    const large = folderOf(pictures(12, 1, 16));
    const cropped = await evaluate(one!, large, small);
    expect(cropped.reference).toBe(12);
    const sets = folderOf({ ...idxSet(20), ...idxSet(12, 't10k') });
    const samples = await npz(20, 0, 32);
    expect((await evaluate(samples, sets, small)).reference).toBe(20);
    expect((await evaluate(samples, sets, { ...small, split: 'eval' })).reference).toBe(12);
    await expect(evaluate(sets, samples, small)).rejects.toThrow(/is a data set of IDX files; as samples pass/);
  });
});

describe('with own features', () => {
  it('gives figures with other names, the same each time, from a classifier of the reference', async () => {
    const [reference, cache] = [folderOf(pictures(40, 1)), folderOf({})];
    const { inception: _, network: __, ...own } = { ...small, features: 'own' as const, cache };
    const samples = await npz(40, 0);
    const first = await evaluate(samples, reference, own);
    expect(Object.keys(first.metrics)).toEqual([
      'ownFrechetDistance',
      'ownScore',
      'ownScoreStd',
      'ownPrecision',
      'ownRecall',
      'ownKernelDistance',
      'ownKernelDistanceStd',
    ]);
    expect(first.features).toBe('own');
    const epochs: EvaluateProgress[] = [];
    const again = await evaluate(samples, reference, { ...own, onProgress: (at) => epochs.push(at) });
    expect(again.metrics).toEqual(first.metrics);
    // The classifier is kept too.
    expect(epochs.filter(({ phase, done }) => phase === 'network' && done > 0)).toEqual([]);
    const same = await evaluate(reference, reference, own);
    expect(Math.abs(same.metrics.ownFrechetDistance!)).toBeLessThan(first.metrics.ownFrechetDistance! / 100);
    const archive = await evaluate(samples, zipped(pictures(40, 1)), own);
    expect(archive.metrics).toEqual(first.metrics);
    await expect(evaluate(samples, samples, own)).rejects.toThrow(/pass a data set with classes as reference/);
    const single = folderOf({ 'a/1.png': png(8, 8, () => [1, 2, 3]), 'a/2.png': png(8, 8, () => [3, 2, 1]) });
    await expect(evaluate(samples, single, own)).rejects.toThrow(/the reference has the one class a/);
  });
});

/** The metrics against torch-fidelity's values (../shared/goldens) and against cases that can be worked out by hand. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it, type TestContext } from 'vitest';
import { OptionError, ShapeError } from '../../src/core/errors.js';
import { bytesSource } from '../../src/io/bytes.js';
import { parseHeader, readFloats, readInts } from '../../src/io/safetensors.js';
import {
  frechetDistance,
  InceptionScore,
  inceptionScore,
  kernelDistance,
  kernelDistanceSteps,
  Moments,
  moments,
  precisionRecall,
  precisionRecallSteps,
  resizeForInception,
} from '../../src/metrics/index.js';
import { cholesky, eigenvalues } from '../../src/metrics/linear_algebra.js';
import { addProducts, matrix } from '../../src/metrics/products.js';
import { SHARED_GOLDENS } from '../goldens.js';

/** Reads tensors of a golden file, or skips the test where the goldens are not beside the project. */
async function golden(context: TestContext, name: string) {
  const path = `${SHARED_GOLDENS}/${name}/expected.safetensors`;
  if (!existsSync(path)) return context.skip(`the golden values (${path}) are not here`);
  const source = bytesSource(readFileSync(path));
  const header = await parseHeader(source);
  return {
    floats: (tensor: string) => readFloats(source, header, tensor),
    ints: (tensor: string) => readInts(source, header, tensor),
  };
}

/** The same numbers in [-0.5, 0.5) each time. */
function numbers(n: number, seed = 1): Float64Array {
  let s = seed;
  return Float64Array.from({ length: n }, () => (s = (Math.imul(s, 1664525) + 1013904223) >>> 0) / 2 ** 32 - 0.5);
}
const quiet = { onWarning: () => {} };
const close = (got: number, want: number, relative: number) =>
  expect(Math.abs(got - want), `${got} is not ${want}`).toBeLessThanOrEqual(relative * Math.abs(want));

describe('results equal those of torch-fidelity', () => {
  it('FID from features and from statistics, also with a singular covariance', async (context) => {
    const { floats } = (await golden(context, 'metrics'))!;
    const [one, two] = [await floats('features.1'), await floats('features.2')];
    const [fid] = await floats('fid');
    close(frechetDistance(moments(one, 48), moments(two, 48)), fid!, 1e-5);
    const published = async (i: 1 | 2) => ({
      mean: Float64Array.from(await floats(`mu.${i}`)),
      covariance: Float64Array.from(await floats(`sigma.${i}`)),
    });
    close(frechetDistance(await published(1), await published(2)), fid!, 1e-3);
    const warnings: string[] = [];
    const few = moments(one.subarray(0, 30 * 48), 48);
    const [singular] = await floats('fid.first30-of-1');
    const onWarning = (message: string) => warnings.push(message);
    close(frechetDistance(few, moments(two, 48), { onWarning }), singular!, 1e-3);
    close(frechetDistance(moments(two, 48), few, { onWarning }), singular!, 1e-3);
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toMatch(/30 images are fewer than the 48 features/);
  });

  it('Inception Score', async (context) => {
    const { floats } = (await golden(context, 'metrics'))!;
    const { mean, std } = inceptionScore(await floats('logits'), 100);
    const [wantedMean, wantedStd] = await floats('isc.splits10');
    close(mean, wantedMean!, 1e-6);
    close(std, wantedStd!, 1e-5);
    expect(Math.abs(std - wantedStd!)).toBeLessThan(1e-6);
  });

  it('precision and recall', async (context) => {
    const { floats } = (await golden(context, 'metrics'))!;
    const { precision, recall, f } = precisionRecall(await floats('features.1'), await floats('features.2'), 48);
    const wanted = await floats('prc.k3');
    [precision, recall, f].forEach((value, i) => {
      expect(Math.abs(value - wanted[i]!)).toBeLessThan(1e-6);
    });
  });

  it('resized images', async (context) => {
    const { floats, ints } = (await golden(context, 'inception'))!;
    const pixels = (await ints('image.32')).subarray(0, 32 * 32);
    const wanted = await floats('resized.32');
    const got = resizeForInception(pixels, 32, 32, { channels: 1 });
    let most = 0;
    // The golden values are those before the scaling.
    for (let i = 0; i < wanted.length; i++) most = Math.max(most, Math.abs(got[i]! - (wanted[i]! - 128) / 128));
    expect(most).toBeLessThan(1e-5);
  });
});

describe('the Fréchet distance', () => {
  const gaussian = (mean: number[], covariance: number[]) => ({
    mean: Float64Array.from(mean),
    covariance: Float64Array.from(covariance),
  });

  it('equals the closed form for known Gaussians', () => {
    const diagonal = frechetDistance(gaussian([1, 0], [4, 0, 0, 9]), gaussian([0, 2], [1, 0, 0, 25]));
    expect(diagonal).toBeCloseTo(1 + 4 + (2 - 1) ** 2 + (3 - 5) ** 2, 12);
    // Matrices that do not commute; of 2×2, tr M^½ = (tr M + 2·(det M)^½)^½, here with tr M = 17, det M = 5·2.
    const [a, b] = [gaussian([0, 0], [2, 1, 1, 3]), gaussian([0, 0], [2, 2, 2, 3])];
    expect(frechetDistance(a, b)).toBeCloseTo(5 + 5 - 2 * Math.sqrt(17 + 2 * Math.sqrt(10)), 12);
    expect(frechetDistance(b, a)).toBeCloseTo(frechetDistance(a, b), 12);
    expect(frechetDistance(gaussian([3], [0]), gaussian([1], [0]))).toBe(4);
  });

  it('is 0 between equal sets, for any rank and for several tiles', () => {
    for (const n of [20, 400]) {
      const set = moments(
        numbers(n * 150).map((v, i) => (i % 5 ? v : 0)),
        150,
      );
      expect(Math.abs(frechetDistance(set, set, quiet))).toBeLessThan(1e-6);
    }
  });

  it('does not depend on how the images are split into batches', () => {
    const [n, d] = [333, 70];
    const features = numbers(n * d, 3).map((v, i) => v + 1000 * (i % d));
    const whole = moments(features, d);
    const merged = new Moments(d);
    for (const [first, last] of [
      [0, 1],
      [1, 100],
      [100, 100],
      [100, 333],
    ] as const)
      merged.merge(new Moments(d).add(features.subarray(first * d, last * d)));
    const other = merged.gaussian();
    expect(other.count).toBe(n);
    for (let i = 0; i < d; i++) expect(Math.abs(other.mean[i]! - whole.mean[i]!)).toBeLessThan(1e-9);
    for (let i = 0; i < d * d; i++) expect(Math.abs(other.covariance[i]! - whole.covariance[i]!)).toBeLessThan(1e-12);
    // Two vectors by hand, over n − 1.
    const { mean, covariance } = moments([1, 2, 3, 6, 5, 1], 2);
    expect([...mean]).toEqual([3, 3]);
    expect([...covariance]).toEqual([4, -1, -1, 7]);
  });

  it('refuses sets without a defined distance', () => {
    const set = moments(numbers(40), 4);
    expect(() => moments(numbers(4), 4)).toThrow(OptionError);
    expect(() => moments(numbers(4), 4)).toThrow(/statistics of 1 image have no covariance/);
    expect(() => moments([1, 2, Number.NaN, 4], 2)).toThrow(/feature 0 of image 1 is NaN/);
    expect(() => moments(numbers(5), 4)).toThrow(ShapeError);
    expect(() => frechetDistance(set, moments(numbers(40), 5))).toThrow(/one set has 4 features and the other 5/);
    expect(() => new Moments(4).merge(new Moments(5))).toThrow(ShapeError);
    expect(() => new Moments(0)).toThrow(OptionError);
  });
});

describe('linear algebra', () => {
  it('products by the WASM kernel and in JavaScript are the same but for rounding, of any sizes and ranges', () => {
    for (const [m, n, depth] of [
      [1, 1, 1],
      [5, 3, 7],
      [64, 66, 257],
      [131, 70, 600],
    ] as const) {
      const [a, b] = [numbers(m * depth, 3), numbers(n * depth, 4)];
      const single = { data: Float32Array.from(b), at: 0, stride: depth };
      const range = (i: number, j: number) => (j > i + 64 ? undefined : ([Math.min(i, depth - 1), depth] as const));
      const [fast, plain] = [new Float64Array(m * n).fill(1), new Float64Array(m * n).fill(1)];
      addProducts(matrix(fast, n), matrix(a, depth), single, m, n, -1, range);
      addProducts(matrix(plain, n), matrix(a, depth), single, m, n, -1, range, null);
      let most = 0;
      for (let i = 0; i < fast.length; i++) most = Math.max(most, Math.abs(fast[i]! - plain[i]!));
      expect(most).toBeLessThan(1e-13);
      const [first] = range(0, 0)!;
      let sum = 1;
      for (let k = first; k < depth; k++) sum -= a[k]! * single.data[k]!;
      expect(fast[0]).toBeCloseTo(sum, 12);
    }
  });

  it('eigenvalues match the trace and the sum of squares of the matrix, for every size', () => {
    for (const n of [1, 2, 3, 5, 31, 32, 33, 67, 130]) {
      const random = numbers(n * n, n);
      const M = random.map((_, i) => random[i]! + random[(i % n) * n + Math.floor(i / n)]!);
      const values = eigenvalues(M, n);
      const trace = M.reduce((sum, v, i) => (i % (n + 1) ? sum : sum + v), 0);
      expect(values.reduce((sum, v) => sum + v, 0)).toBeCloseTo(trace, 9);
      expect(values.reduce((sum, v) => sum + v * v, 0)).toBeCloseTo(
        M.reduce((sum, v) => sum + v * v, 0),
        8,
      );
      expect([...values].sort((a, b) => a - b)).toEqual([...values]);
    }
    // Second differences have the eigenvalues 2 − 2·cos(πk/(n + 1)).
    const n = 50;
    const M = Float64Array.from({ length: n * n }, (_, i) => [2, -1][Math.abs((i % n) - Math.floor(i / n))] ?? 0);
    eigenvalues(M, n).forEach((value, k) => {
      expect(value).toBeCloseTo(2 - 2 * Math.cos((Math.PI * (k + 1)) / (n + 1)), 12);
    });
  });

  it('the Cholesky factor reproduces the matrix and stops at its rank', () => {
    for (const [n, rank] of [
      [150, 150],
      [150, 90],
      [7, 1],
    ] as const) {
      const x = numbers(n * rank, 5);
      const S = Float64Array.from({ length: n * n }, (_, at) => {
        let sum = 0;
        for (let k = 0; k < rank; k++) sum += x[Math.floor(at / n) * rank + k]! * x[(at % n) * rank + k]!;
        return sum;
      });
      const { L, rank: found, order } = cholesky(S, n);
      expect(found).toBe(rank);
      for (let i = 0; i < n; i++) {
        for (let j = 0; j <= i; j++) {
          let sum = 0;
          for (let k = 0; k < found; k++) sum += L[i * n + k]! * L[j * n + k]!;
          expect(Math.abs(sum - S[order[i]! * n + order[j]!]!)).toBeLessThan(1e-11);
        }
      }
    }
  });
});

describe('metrics in pieces', () => {
  it('Inception Score: any division gives the same bits, and only the announced images are accepted', () => {
    const logits = numbers(37 * 5).map((v) => 8 * v);
    const whole = inceptionScore(logits, 5, { splits: 4 });
    const pieces = new InceptionScore(37, 5, 4);
    for (const [first, end] of [
      [0, 1],
      [1, 20],
      [20, 20],
      [20, 37],
    ] as const)
      pieces.add(logits.subarray(first * 5, end * 5));
    expect(pieces.result()).toEqual(whole);
    expect(whole.mean).toBeGreaterThan(1.1);
    expect(() => new InceptionScore(38, 5, 4).add(logits).result()).toThrow(/37 images were added and 38 announced/);
  });

  it('precision, recall and KID report a growing share up to 1', () => {
    const [a, b] = [numbers(700 * 3, 1), numbers(520 * 3, 2)];
    for (const steps of [precisionRecallSteps(a, b, 3), kernelDistanceSteps(a, b, 3, { subsets: 4, subsetSize: 50 })]) {
      const shares = [...steps];
      expect(shares.length).toBeGreaterThan(3);
      expect([...shares].sort((x, y) => x - y)).toEqual(shares);
      expect(shares.at(-1)).toBeCloseTo(1, 12);
    }
  });
});

describe('the other metrics', () => {
  it('Inception Score: 1 for equal predictions, the number of classes for certain and evenly spread ones', () => {
    expect(inceptionScore(new Float32Array(40), 4, { splits: 2 })).toEqual({ mean: 1, std: 0 });
    const sure = Float32Array.from({ length: 16 * 4 }, (_, i) => (i % 4 === Math.floor(i / 4) % 4 ? 1000 : 0));
    expect(inceptionScore(sure, 4, { splits: 4 }).mean).toBeCloseTo(4, 12);
    expect(() => inceptionScore(sure, 4, { splits: 17 })).toThrow(/16 images cannot be divided into 17 splits/);
  });

  it('precision and recall: 1 within the same set, 0 between distant ones', () => {
    const set = numbers(100 * 3);
    expect(precisionRecall(set, set, 3)).toEqual({ precision: 1, recall: 1, f: 1 });
    const far = set.map((v) => v + 100);
    expect(precisionRecall(set, far, 3)).toEqual({ precision: 0, recall: 0, f: 0 });
    expect(() => precisionRecall(set.subarray(0, 9), set, 3)).toThrow(/3 images have no 3 neighbours/);
  });

  it('KID: near 0 within one distribution, and the value of the formula for small sets', () => {
    const [a, b] = [numbers(300 * 4, 1), numbers(300 * 4, 2)];
    const same = kernelDistance(a, b, 4, { subsets: 5, subsetSize: 200 });
    expect(Math.abs(same.mean)).toBeLessThan(0.01);
    expect(
      kernelDistance(
        a,
        b.map((v) => v + 1),
        4,
        { subsets: 5, subsetSize: 200 },
      ).mean,
    ).toBeGreaterThan(0.5);
    // k(x, y) = (x·y + 1)³: the pairs within {0, 1} give 1, within {2, 3} 343; across 1, 1, 27, 64.
    const known = kernelDistance([0, 1], [2, 3], 1, { subsets: 3 });
    expect(known.mean).toBeCloseTo(1 + 343 - 2 * ((1 + 1 + 27 + 64) / 4), 12);
    expect(known.std).toBeCloseTo(0, 12);
    // Two subsets of nearly all images come from products of all images; one is computed by itself. It is the first of the two.
    const [c, d] = [numbers(600 * 3, 5), numbers(560 * 3, 6).map((v) => v + 0.1)];
    const both = kernelDistance(c, d, 3, { subsets: 2, subsetSize: 500 });
    const first = kernelDistance(c, d, 3, { subsets: 1, subsetSize: 500 });
    expect(both.std).toBeGreaterThan(1e-6);
    expect(Math.abs(Math.abs(first.mean - both.mean) - both.std)).toBeLessThan(1e-12);
    expect(() => kernelDistance([1], [1, 2], 1)).toThrow(OptionError);
  });

  it('resizing aligns the top left corner and is exact for one colour', () => {
    const flat = resizeForInception(new Uint8Array(2 * 3 * 3).fill(192), 2, 3);
    expect(flat).toHaveLength(299 * 299 * 3);
    expect(flat.every((v) => v === 0.5)).toBe(true);
    expect([...resizeForInception([0, 128], 2, 1, { side: 4, channels: 1 }).subarray(0, 4)]).toEqual([-1, -0.5, 0, 0]);
    expect(() => resizeForInception([1], 2, 1)).toThrow(ShapeError);
  });
});

/** `npm run quality`: its figures on sets whose distance is known, its classifier, and the command on a few images. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Classifier, FEATURES } from '../scripts/classifier.mjs';
import { eigen, frechet, moments } from '../scripts/frechet.mjs';
import { folderOf, idxSet } from './data/files.js';

/** The same numbers between -1 and 1 each time. */
const values = (n: number, seed: number) => Float64Array.from({ length: n }, (_, i) => (Math.sin(i * 7.13 + seed) * 1e4) % 1);
const gaussian = (mean: number[], covariance: number[]) => ({
  mean: Float64Array.from(mean),
  covariance: Float64Array.from(covariance),
});

describe('the Fréchet distance', () => {
  it('takes mean and covariance over n − 1', () => {
    expect(moments([1, 2, 3, 6, 5, 1], 2)).toEqual(gaussian([3, 3], [4, -1, -1, 7]));
    for (const few of [[], [1, 2], [1, 2, 3]]) expect(() => moments(few, 2)).toThrow(/give more images/);
  });

  it('is 0 between equal sets, also where features are always 0 or fewer vectors than features', () => {
    for (const n of [20, 400]) {
      const set = moments(
        values(n * 40, 1).map((v, i) => (i % 5 ? v : 0)),
        40,
      );
      expect(Math.abs(frechet(set, set))).toBeLessThan(1e-6);
    }
  });

  it('is that of known Gaussians', () => {
    // Diagonal: Σ (μa − μb)² + (σa − σb)².
    const diagonal = frechet(gaussian([1, 0], [4, 0, 0, 9]), gaussian([0, 2], [1, 0, 0, 25]));
    expect(diagonal).toBeCloseTo(1 + 4 + (2 - 1) ** 2 + (3 - 5) ** 2, 12);
    // Matrices that do not commute; of 2×2, tr M^½ = (tr M + 2·(det M)^½)^½, here with tr M = 17, det M = 5·2.
    const a = gaussian([0, 0], [2, 1, 1, 3]);
    const b = gaussian([0, 0], [2, 2, 2, 3]);
    expect(frechet(a, b)).toBeCloseTo(5 + 5 - 2 * Math.sqrt(17 + 2 * Math.sqrt(10)), 12);
    expect(frechet(b, a)).toBeCloseTo(frechet(a, b), 12);
  });

  it('finds eigenvectors', () => {
    const d = 30;
    const { covariance } = moments(values(d * 100, 2), d);
    const { values: found, vectors } = eigen(covariance, d);
    for (let i = 0; i < d; i++) {
      for (let j = 0; j < d; j++) {
        const product = covariance.slice(i * d, i * d + d).reduce((sum, v, k) => sum + v * vectors[k * d + j]!, 0);
        expect(product).toBeCloseTo(found[j]! * vectors[i * d + j]!, 12);
      }
    }
  });
});

describe('the classifier', () => {
  const images = Uint8Array.from(values(12 * 64, 3), (v) => 128 + 127 * v);
  const labels = Array.from({ length: 12 }, (_, i) => i % 3);
  const index = Uint32Array.from(labels.keys());

  it('has the gradient that differences have', () => {
    const net = new Classifier(8, 3);
    net.gradient(images, labels, index);
    for (const { w, dw } of net.layers) {
      const analytic = dw.slice();
      const largest = analytic.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
      for (let i = 0; i < w.length; i += Math.ceil(w.length / 20)) {
        const [before, step] = [w[i]!, 2e-4];
        const lossAt = (v: number) => {
          w[i] = v;
          return net.gradient(images, labels, index);
        };
        const difference = (lossAt(before + step) - lossAt(before - step)) / (2 * step);
        w[i] = before;
        // Float32 sums, and ReLUs that the step may cross.
        expect(Math.abs(difference - analytic[i]!)).toBeLessThan(0.02 * largest);
      }
    }
  });

  it('learns, alike each time, and is what it was after being kept', () => {
    const train = () => {
      const net = new Classifier(8, 3);
      const many = Array.from({ length: 600 }, (_, i) => i % 12);
      const pixels = Uint8Array.from(many.flatMap((i) => [...images.subarray(i * 64, (i + 1) * 64)]));
      const losses: number[] = [];
      net.train(
        pixels,
        Uint16Array.from(many, (i) => labels[i]!),
        (_: number, loss: number) => losses.push(loss),
      );
      expect(losses.at(-1)!).toBeLessThan(losses[0]!);
      return net;
    };
    const [net, again] = [train(), train()];
    const seen = net.classify(images);
    expect([...seen.labels]).toEqual(labels);
    expect(seen.features).toHaveLength(12 * FEATURES);
    expect(again.save()).toEqual(net.save());
    expect(new Classifier(8, 3, net.save()).classify(images)).toEqual(seen);
  });
});

it('scripts/sample-quality.mjs', () => {
  const data = folderOf({ ...idxSet(60), ...idxSet(40, 't10k') });
  const cwd = folderOf({});
  const quality = (...args: string[]) =>
    spawnSync(
      process.execPath,
      [fileURLToPath(new URL('../scripts/sample-quality.mjs', import.meta.url)), '--data', data, '--device', 'wasm', ...args],
      { cwd, encoding: 'utf8' },
    );
  const first = quality('--count', '10', '--against', 'wasm');
  expect(first.status, first.stderr).toBe(0);
  expect(first.stderr).toMatch(/training the classifier on 60 images/);
  expect(first.stdout).toMatch(/^images +3 +3 +10$/m);
  expect(first.stdout).toMatch(/^Trouser +(\d+\.\d% +){2}\d+\.\d%$/m);
  expect(first.stdout).toMatch(/^Bag +– +– +\d+\.\d%$/m);
  expect(first.stdout).toMatch(/^Fréchet distance( +\d+\.\d\d){3}$/m);
  expect(first.stdout).toMatch(/^10 of 10 images have the same tokens/m);
  expect(readdirSync(join(cwd, 'out/quality'))).toHaveLength(1);

  const second = quality('--count', '10');
  expect(second.stderr).not.toMatch(/training/);
  expect(first.stdout.startsWith(second.stdout)).toBe(true);
  for (const [args, message] of [
    [['--positions', 'theirs'], /positions is "theirs"; it must be/],
    [['--count', 'many'], /count is/],
    [['--colour', 'red'], /--colour/],
  ] as const) {
    const { status, stderr } = quality(...args);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/at .*:\d+:\d+/);
    expect(status).toBe(2);
  }
});

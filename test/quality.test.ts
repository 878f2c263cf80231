/** Tests of `npm run quality`: its classifier, and the whole command on a few images. Its metrics are tested in test/metrics. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Classifier, FEATURES } from '../scripts/classifier.mjs';
import { folderOf, idxSet } from './data/data_folders.js';

/** n reproducible numbers between -1 and 1. */
const values = (n: number, seed: number) => Float64Array.from({ length: n }, (_, i) => (Math.sin(i * 7.13 + seed) * 1e4) % 1);
describe('classifier', () => {
  const images = Uint8Array.from(values(12 * 64, 3), (v) => 128 + 127 * v);
  const labels = Array.from({ length: 12 }, (_, i) => i % 3);
  const index = Uint32Array.from(labels.keys());

  it('has a gradient that agrees with central differences', () => {
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
        // The tolerance allows for float32 sums and for ReLUs whose sign changes within the step.
        expect(Math.abs(difference - analytic[i]!)).toBeLessThan(0.02 * largest);
      }
    }
  });

  it('training is reproducible, and saved weights restore the classifier', () => {
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

it('scripts/sample-quality.mjs prints accuracies and distances, reuses its classifier and rejects wrong options', () => {
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

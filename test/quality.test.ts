/** `npm run quality` and `npm run sharpness` on a few images. What they measure with is tested in test/metrics and test/evaluate. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decode } from 'fast-png';
import { expect, it } from 'vitest';
import { folderOf, idxSet } from './data/data_folders.js';

const script = (name: string) => fileURLToPath(new URL(`../scripts/${name}.mjs`, import.meta.url));

it('scripts/sample-quality.mjs prints accuracies and distances, reuses its classifier and rejects wrong options', () => {
  const data = folderOf({ ...idxSet(60), ...idxSet(40, 't10k') });
  const cwd = folderOf({});
  const quality = (...args: string[]) =>
    spawnSync(process.execPath, [script('sample-quality'), '--data', data, '--device', 'wasm', ...args], {
      cwd,
      encoding: 'utf8',
    });
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

it('scripts/sharpness.mjs compares tokenizers on held-out images, and says what is wrong', () => {
  const data = folderOf({ ...idxSet(4), ...idxSet(20, 't10k') });
  const models = ['fashion-mnist', 'emoji'].map((name) => fileURLToPath(new URL(`../models/${name}`, import.meta.url)));
  const sharpness = (...args: string[]) =>
    spawnSync(process.execPath, [script('sharpness'), ...args, '--device', 'wasm'], { encoding: 'utf8' });
  const sheet = join(folderOf({}), 'sheet.png');
  const { status, stdout, stderr } = sharpness(data, models[0]!, models[0]!, '--count', '5', '--sheet', sheet);
  expect(status, stderr).toBe(0);
  const [head, first, second, originals] = stdout.trimEnd().split('\n');
  expect(head).toMatch(/^ +MSE +edges +detail +flat$/);
  expect(first).toMatch(/fashion-mnist +0\.\d{5} +\d+\.\d{3} +\d+\.\d{3} +\d\.\d{5}$/);
  expect(second).toBe(first);
  expect(originals).toMatch(/^originals +0 +1 +1 +\d\.\d{5}$/);
  const { width, height } = decode(readFileSync(sheet));
  expect([width, height]).toEqual([5 * 34 - 2, 3 * 34 - 2]);
  for (const [args, message] of [
    [[data], /at least one model/],
    [[data, models[0]!, '--count', '0'], /--count is 0/],
    [models.reverse().concat(data), /./],
    [[data, ...models], /images of 32×32, .*emoji of 64×64/],
  ] as const) {
    const wrong = sharpness(...args);
    expect(wrong.stderr).toMatch(message);
    expect(wrong.stderr).not.toMatch(/at .*:\d+:\d+/);
    expect(wrong.status).toBe(2);
  }
});

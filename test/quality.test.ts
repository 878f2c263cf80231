/** `npm run quality` on a few images. Its metrics are tested in test/metrics, its classifier in test/evaluate. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { folderOf, idxSet } from './data/data_folders.js';

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

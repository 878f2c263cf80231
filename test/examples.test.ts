/** The examples run as they stand. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { folderOf, idxSet } from './data/files.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const run = (...args: string[]) =>
  spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8', env: { ...process.env, VK_ICD_FILENAMES: '/none' } });

it('generate.mjs', () => {
  const dir = mkdtempSync(join(tmpdir(), 'aim-example-'));
  const { status, stderr } = run('examples/generate.mjs', 'models/fashion-mnist', dir);
  expect(status, stderr).toBe(0);
  expect(readdirSync(dir)).toHaveLength(4);
  rmSync(dir, { recursive: true });
});

it('train.mjs', () => {
  const dir = folderOf({ ...idxSet(64), ...idxSet(16, 't10k') });
  const { status, stdout, stderr } = run('examples/train.mjs', dir, '12');
  expect(status, stderr).toBe(0);
  expect(stdout).toMatch(/step 12: loss \d\.\d+, \d+ tokens\/s, held out \d/);
});

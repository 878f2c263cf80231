/** Runs the examples unchanged. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { folderOf, idxSet } from './data/data_folders.js';
import { NO_CHROMIUM, openChromium, openPage, serve } from './platform/browser_site.js';
import { findDeno, runDeno } from './platform/deno.js';
import { run as runProgram } from './platform/run_program.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const run = (...args: string[]) =>
  spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8', env: { ...process.env, VK_ICD_FILENAMES: '/none' } });

it('generate.mjs writes four images', () => {
  const dir = mkdtempSync(join(tmpdir(), 'aim-example-'));
  const { status, stderr } = run('examples/generate.mjs', 'models/emoji', dir);
  expect(status, stderr).toBe(0);
  expect(readdirSync(dir)).toHaveLength(4);
  rmSync(dir, { recursive: true });
});

it('train.mjs prints its loss', () => {
  const dir = folderOf({ ...idxSet(64), ...idxSet(16, 't10k') });
  const { status, stdout, stderr } = run('examples/train.mjs', dir, '12');
  expect(status, stderr).toBe(0);
  expect(stdout).toMatch(/step 12: loss \d\.\d+, \d+ tokens\/s, held out \d/);
});

it('deno.ts type-checks and writes four images', async ({ skip }) => {
  const found = findDeno();
  if ('reason' in found) return skip(found.reason);
  const types = await runProgram(found.deno, ['check', '--quiet', 'examples/deno.ts'], { cwd: root });
  expect(types.status, types.stderr).toBe(0);
  const dir = mkdtempSync(join(tmpdir(), 'aim-example-'));
  const { status, stderr } = await runDeno(found.deno, join(root, 'examples/deno.ts'), [join(root, 'models/emoji'), dir]);
  expect(status, stderr).toBe(0);
  expect(readdirSync(dir)).toHaveLength(4);
  rmSync(dir, { recursive: true });
});

it.for(['script-tag', 'worker'])('%s.html draws without errors', async (name, { skip }) => {
  if (NO_CHROMIUM) return skip(NO_CHROMIUM);
  const site = await serve({}, { '/examples/': join(root, 'examples/'), '/models/': join(root, 'models/') });
  const browser = await openChromium();
  try {
    const { page, errors } = await openPage(browser, `${site.url}/examples/${name}.html`);
    await page.getByText(/^Drawn on /).waitFor();
    const sizes = await page.locator('canvas').evaluateAll((all) => all.map((c) => (c as HTMLCanvasElement).width));
    expect(sizes).toEqual(Array(name === 'worker' ? 5 : 1).fill(64));
    expect(errors).toEqual([]);
  } finally {
    await browser.close();
    await site.close();
  }
});

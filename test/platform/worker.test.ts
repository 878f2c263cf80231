/** `aim-js/worker` in Node, Deno and Chromium. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { DeviceError } from '../../src/core/errors.js';
import { AiM as RemoteAiM } from '../../src/worker/client.js';
import { hasAdapter, NO_ADAPTER } from '../backends.js';
import { png } from '../data/data_folders.js';
import { html, moduleText, NO_CHROMIUM, openChromium, openPage, serve } from './browser_site.js';
import { findDeno, runDeno } from './deno.js';
import { type Ran, run } from './run_program.js';
import type { WorkerReport } from './worker_checks.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const place = { device: 'wasm', fixtures: `${root}test/fixtures` };
const imports = (dist: string, checks: string) =>
  `import * as local from '${dist}aim.js'; import * as remote from '${dist}worker.js'; import { checkWorker } from '${checks}';`;
/** Pictures of 8×8 in two class folders, with their paths. */
const PICTURES = Array.from({ length: 12 }, (_, i) => [
  `pictures/${i % 2 ? 'cat' : 'dog'}/${i}.png`,
  [...png(8, 8, (x, y) => [(x * 37 + i * 11) % 256, (y * 53 + i * 7) % 256, 20 * i])],
]);
let dir: string;
let script: string;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'aim-worker-'));
  script = join(dir, 'main.mjs');
  writeFileSync(join(dir, 'checks.mjs'), (await moduleText(`${root}test/platform/worker_checks.ts`)).body);
  writeFileSync(
    script,
    `${imports(pathToFileURL(`${root}dist/`).href, './checks.mjs')}
    console.log(JSON.stringify(await checkWorker(local, remote, ${JSON.stringify(place)})));`,
  );
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function check(runtime: string, { wrong, longestGap }: WorkerReport): void {
  console.log(`${runtime}: while the worker drew, the calling thread was never held longer than ${longestGap} ms`);
  expect(wrong).toEqual([]);
}

function parsed({ status, stdout, stderr }: Ran): WorkerReport {
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout);
}

it('runs in Node', async () => check('Node', parsed(await run(process.execPath, [script]))));

const training = (dist: string) =>
  `import * as aim from '${dist}aim.js'; import * as train from '${dist}train.js'; import * as remote from '${dist}train-worker.js';
  const pictures = ${JSON.stringify(PICTURES)}.map(([path, bytes]) => {
    const file = new File([Uint8Array.from(bytes)], path.split('/').at(-1));
    Object.defineProperty(file, 'webkitRelativePath', { value: path });
    return file;
  });`;

it('trains in Node', async () => {
  const path = join(dir, 'train.mjs');
  writeFileSync(join(dir, 'train_checks.mjs'), (await moduleText(`${root}test/platform/train_worker_checks.ts`)).body);
  writeFileSync(
    path,
    `${training(pathToFileURL(`${root}dist/`).href)} import { checkTraining } from './train_checks.mjs';
    console.log(JSON.stringify(await checkTraining({ ...aim, ...train }, remote, pictures)));`,
  );
  check('Node, training', parsed(await run(process.execPath, [path])));
});

it('trains in Chromium', async ({ skip }) => {
  if (NO_CHROMIUM) return skip(NO_CHROMIUM);
  const script = `${training('/dist/')} import { checkTraining } from '/checks.js';
    globalThis.report = checkTraining({ ...aim, ...train }, remote, pictures);`;
  await checkInChromium('Chromium, training', script, 'train_worker_checks.ts');
});

it('a worker that ends, or never starts, rejects its calls (Node)', async () => {
  const path = join(dir, 'ends.mjs');
  writeFileSync(path, 'process.exit(3);');
  const load = (workerUrl: string) =>
    RemoteAiM.fromPretrained(`${root}test/fixtures/mamba2-adaln`, { device: 'wasm', workerUrl });
  await expect(load(pathToFileURL(path).href)).rejects.toThrow(/the worker failed: it ended with code 3/);
  for (const url of [pathToFileURL(path).href, 'nonsense', 'http://[', 'https://example.org/x.js'])
    await expect(load(url)).rejects.toThrow(DeviceError);
});

it('replaces a GPU device that is lost in the worker (Node)', async ({ skip }) => {
  if (!(await hasAdapter())) return skip(NO_ADAPTER);
  // The script of the worker with access to its GPU: loses the device at one submit, or every device at once.
  const lossy = (name: string, when: string) => {
    const path = join(dir, name);
    writeFileSync(
      path,
      `import { writeFileSync } from 'node:fs';
      import { globals } from ${JSON.stringify(pathToFileURL(`${root}node_modules/webgpu/index.js`).href)};
      const { GPUAdapter, GPUQueue } = globals;
      const { requestDevice } = GPUAdapter.prototype;
      const { submit } = GPUQueue.prototype;
      const devices = [];
      let submits = 0;
      GPUAdapter.prototype.requestDevice = async function (...args) {
        const device = await requestDevice.apply(this, args);
        devices.push(device);
        if (${when === 'always'}) device.destroy();
        return device;
      };
      GPUQueue.prototype.submit = function (...args) {
        submit.apply(this, args);
        if (++submits !== ${Number(when) || 0}) return;
        devices[0].destroy();
        writeFileSync(${JSON.stringify(`${path}.lost`)}, '');
      };
      await import(${JSON.stringify(pathToFileURL(`${root}dist/aim.worker.min.js`).href)});`,
    );
    return pathToFileURL(path);
  };
  const options = { count: 2, seed: 3 };
  const here = await AiM.fromPretrained(`${place.fixtures}/mamba2-adaln`, { device: 'webgpu' });
  const want = await here.generate(options);
  await here.dispose();
  const load = (workerUrl: URL) => RemoteAiM.fromPretrained(`${place.fixtures}/mamba2-adaln`, { device: 'webgpu', workerUrl });
  const aim = await load(lossy('once.mjs', '4'));
  const got = await aim.generate(options);
  expect(existsSync(join(dir, 'once.mjs.lost'))).toBe(true);
  expect(got.tokens).toEqual(want.tokens);
  expect(got.images.map((image) => [...image.data])).toEqual(want.images.map((image) => [...image.data]));
  await aim.dispose();
  const never = await load(lossy('always.mjs', 'always')).catch((error) => error);
  expect(never).toBeInstanceOf(DeviceError);
  expect(never.message).toMatch(/the WebGPU device was lost/);
});

it('runs in Deno', async ({ skip }) => {
  const found = findDeno();
  if ('reason' in found) return skip(found.reason);
  check('Deno', parsed(await runDeno(found.deno, script, [])));
});

it('runs in Chromium', async ({ skip }) => {
  if (NO_CHROMIUM) return skip(NO_CHROMIUM);
  const script = `${imports('/dist/', '/checks.js')}
    globalThis.report = checkWorker(local, remote, { device: 'wasm', fixtures: '/fixtures' });`;
  await checkInChromium('Chromium', script, 'worker_checks.ts');
});

/** Runs a script, which imports the checks of a file as /checks.js and sets `report`, in a page. */
async function checkInChromium(name: string, body: string, checks: string): Promise<void> {
  const site = await serve({
    '/': html('<script type="module" src="/run.js"></script>'),
    '/run.js': { body, type: 'text/javascript' },
    '/checks.js': await moduleText(`${root}test/platform/${checks}`),
  });
  const browser = await openChromium();
  try {
    const { page } = await openPage(browser, site.url);
    check(name, await page.evaluate('report'));
  } finally {
    await browser.close();
    await site.close();
  }
}

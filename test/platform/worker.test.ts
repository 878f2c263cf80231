/** `aim-js/worker` in Node, Deno and Chromium. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { findDeno, runDeno } from './deno.js';
import { type Ran, run } from './run.js';
import { html, moduleText, NO_CHROMIUM, openChromium, openPage, serve } from './site.js';
import type { WorkerProof } from './worker_proof.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const place = { device: 'wasm', fixtures: `${root}test/fixtures` };
const imports = (dist: string, proof: string) =>
  `import * as local from '${dist}aim.js'; import * as remote from '${dist}worker.js'; import { proveWorker } from '${proof}';`;
let dir: string;
let script: string;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'aim-worker-'));
  script = join(dir, 'main.mjs');
  writeFileSync(join(dir, 'proof.mjs'), (await moduleText(`${root}test/platform/worker_proof.ts`)).body);
  writeFileSync(
    script,
    `${imports(pathToFileURL(`${root}dist/`).href, './proof.mjs')}
    console.log(JSON.stringify(await proveWorker(local, remote, ${JSON.stringify(place)})));`,
  );
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function check(runtime: string, { wrong, longestGap }: WorkerProof): void {
  console.log(`${runtime}: while the worker drew, the calling thread was never held longer than ${longestGap} ms`);
  expect(wrong).toEqual([]);
}

function parsed({ status, stdout, stderr }: Ran): WorkerProof {
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout);
}

it('Node', async () => check('Node', parsed(await run(process.execPath, [script]))));

it('Deno', async ({ skip }) => {
  const found = findDeno();
  if ('reason' in found) return skip(found.reason);
  check('Deno', parsed(await runDeno(found.deno, script, [])));
});

it('Chromium', async ({ skip }) => {
  if (NO_CHROMIUM) return skip(NO_CHROMIUM);
  const site = await serve({
    '/': html('<script type="module" src="/run.js"></script>'),
    '/run.js': {
      body: `${imports('/dist/', '/proof.js')}
        globalThis.proof = proveWorker(local, remote, { device: 'wasm', fixtures: '/fixtures' });`,
      type: 'text/javascript',
    },
    '/proof.js': await moduleText(`${root}test/platform/worker_proof.ts`),
  });
  const browser = await openChromium();
  try {
    const { page } = await openPage(browser, site.url);
    check('Chromium', await page.evaluate('proof'));
  } finally {
    await browser.close();
    await site.close();
  }
});

/** WASM threads in each runtime: tokens equal those of one thread, one thread is used without shared memory, and threads end. */
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Answer, html, NO_CHROMIUM, openChromium, openPage, serve } from './browser_site.js';
import { findDeno } from './deno.js';
import { type Ran, run } from './run_program.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Draws with a small model on three threads, and on one; `left`: the script ends without disposing the threads. */
const work = (library: string, model: string, left = false) => `
  const { AiM } = await import('${library}');
  const drawn = [];
  for (const threads of [3, 1]) {
    const aim = await AiM.fromPretrained('${model}', { device: 'wasm', threads });
    const { tokens, images } = await aim.generate({ classes: [5, 8, 9], seed: 7 });
    drawn.push({ device: aim.device, tokens: tokens.map((t) => [...t]), pixels: [...new Uint32Array(images[2].data.buffer)] });
    ${left ? '' : 'await aim.dispose();'}
  }
  return drawn;`;

interface Drawn {
  device: string;
  tokens: number[][];
  pixels: number[];
}

let baseline: Drawn | undefined;
function check([several, one]: Drawn[], device: string) {
  expect(several!.device).toBe(device);
  expect(one!.device).toBe('wasm (SIMD, 1 thread)');
  expect(one!.tokens).toHaveLength(3);
  expect(several!.tokens).toEqual(one!.tokens);
  expect(several!.pixels).toEqual(one!.pixels);
  baseline ??= one!;
  expect(one!.tokens).toEqual(baseline.tokens);
}

const outcome = ({ status, stdout, stderr }: Ran): Drawn[] => {
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return JSON.parse(stdout);
};
const script = (left: boolean) => {
  const body = work(pathToFileURL(`${root}dist/aim.js`).href, `${root}models/fashion-mnist`, left);
  return `console.log(JSON.stringify(await (async () => {${body}})()));`;
};

describe.each([
  ['disposed', false],
  ['left without disposing', true],
])('%s', (_, left) => {
  it('Node', async () => {
    check(outcome(await run(process.execPath, ['--input-type=module', '-e', script(left)])), 'wasm (SIMD, 3 threads)');
  });

  const deno = findDeno();
  it('Deno', async ({ skip }) => {
    if ('reason' in deno) return skip(deno.reason);
    const url = `data:text/javascript,${encodeURIComponent(script(left))}`;
    const args = ['run', '--quiet', '--no-check', '--cached-only', `--config=${root}deno.json`, '--allow-read', url];
    check(outcome(await run(deno.deno, args)), 'wasm (SIMD, 3 threads)');
  });
});

describe('Chromium', () => {
  const ISOLATED = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };
  const STRICT = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'";
  const page = (name: string, headers: Record<string, string>): Answer => ({
    ...html(`<script type="module" src="/${name}.js"></script>`),
    headers,
  });
  const main = (library: string): Answer => ({
    body: `globalThis.done = (async () => {${work(library, '/model')}})().catch((e) => String(e.stack));`,
    type: 'text/javascript',
  });
  let site: Awaited<ReturnType<typeof serve>> | undefined;
  let browser: Awaited<ReturnType<typeof openChromium>> | undefined;
  beforeAll(async () => {
    if (NO_CHROMIUM) return;
    browser = await openChromium();
    site = await serve({
      '/main.js': main('/dist/aim.js'),
      '/worker.js': main('/dist/worker.js'),
      '/isolated': page('main', ISOLATED),
      '/plain': page('main', {}),
      '/strict': page('main', { ...ISOLATED, 'content-security-policy': STRICT }),
      '/in-worker': page('worker', ISOLATED),
    });
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
  });

  beforeEach(({ skip }) => {
    if (NO_CHROMIUM) skip(NO_CHROMIUM);
  });

  it.for([
    ['isolated', 'a cross-origin isolated page has its threads', 3],
    ['in-worker', 'so has aim-js/worker in it', 3],
    ['plain', 'any other page has one', 1],
    ['strict', 'and one whose policy forbids worker-src blob:', 1],
  ] as const)('%s: %s', async ([path, , threads]) => {
    const { page } = await openPage(browser!, `${site!.url}/${path}`);
    try {
      check(await page.evaluate('done'), threads === 1 ? 'wasm (SIMD, 1 thread)' : `wasm (SIMD, ${threads} threads)`);
    } finally {
      await page.close();
    }
  });
});

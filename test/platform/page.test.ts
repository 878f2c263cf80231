/** Pages as users write them: a script tag, and strict Content-Security-Policies. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type Answer, html, moduleText, NO_CHROMIUM, openChromium, openPage, serve } from './browser_site.js';

const script = (body: Answer['body']): Answer => ({ body, type: 'text/javascript' });
/** Runs `work` and keeps its result, or the error's code and message, as `done`. */
const main = (imports: string, work: string) =>
  script(`${imports} globalThis.done = (async () => { ${work} })().catch((e) => ({ code: e.code, message: e.message }));`);
const AIM = "import { AiM } from '/dist/aim.js';";
const WORKER = "import { AiM } from '/dist/worker.js';";
const draw = (options: string) => `
  const aim = await AiM.fromPretrained('/fixtures/mamba2-adaln', ${options});
  const { images } = await aim.generate({ count: 1 });
  const { device } = aim;
  await aim.dispose();
  return { device, size: [images[0].width, images[0].height] };`;

const importMap = (url: string) => `<script type="importmap">{"imports":{"fast-png":"${url}"}}</script>`;

const POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:";
const under = (policy: string, answer: Answer): Answer => ({ ...answer, headers: { 'content-security-policy': policy } });
const page = (name: string, policy: string) => under(policy, html(`<script type="module" src="/${name}.js"></script>`));

let site: Awaited<ReturnType<typeof serve>> | undefined;
let browser: Awaited<ReturnType<typeof openChromium>> | undefined;

beforeAll(async () => {
  if (NO_CHROMIUM) return;
  browser = await openChromium();
  site = await serve({
    '/tag': html(`<script src="/dist/aim.iife.min.js"></script><script src="/tag.js"></script>`),
    '/tag.js': main(
      '',
      `const aim = await AiM.fromPretrained('/model', { device: 'wasm' });
      const { images } = await aim.generate({ classes: ['Bag'], seed: 1 });
      const png = await images[0].toPNG();
      const drawn = await createImageBitmap(images[0].toImageData());
      const missing = await AiM.fromPretrained('/nothing').catch((e) => e);
      await aim.dispose();
      const own = await AiM.fromPretrained(AiM.embedded(), { device: 'wasm' });
      const { classes, sampling } = own;
      await own.dispose();
      return {
        png: String.fromCharCode(...png.subarray(1, 4)), width: drawn.width, bird: classes[5], sampling,
        error: missing instanceof AiM.IoError, image: images[0] instanceof AiM.AimImage, verify: typeof AiM.verify,
      };`,
    ),
    '/png': html('<script type="module" src="/png.js"></script>'),
    '/png-mapped': html(`${importMap('/fast-png.js')}<script type="module" src="/png.js"></script>`),
    '/png.js': main(
      "import { AimImage } from '/dist/aim.js';",
      `const png = await new AimImage({ width: 1, height: 1, data: new Float32Array(3) }).toPNG();
      return { png: String.fromCharCode(...png.subarray(1, 4)) };`,
    ),
    '/fast-png.js': await moduleText('fast-png'),
    '/gpu': page('gpu', POLICY),
    '/gpu.js': main(AIM, draw("{ device: 'webgpu' }")),
    '/wasm': page('wasm', POLICY),
    '/wasm.js': main(AIM, draw("{ device: 'wasm' }")),
    '/wasm-allowed': page('wasm', POLICY.replace("'self'", "'self' 'wasm-unsafe-eval'")),
    '/blob': page('blob', POLICY),
    '/blob.js': main(WORKER, draw("{ device: 'wasm' }")),
    '/url': page('url', `${POLICY.replace("'self'", "'self' 'wasm-unsafe-eval'")}; worker-src 'self'`),
    '/url.js': main(WORKER, draw("{ device: 'wasm', workerUrl: '/dist/aim.worker.min.js' }")),
    // A worker is subject to the policy of its own script.
    '/strict.js': under(POLICY, script(readFileSync(new URL('../../dist/aim.worker.min.js', import.meta.url)))),
    '/gpu-worker': page('gpu-worker', `${POLICY}; worker-src 'self'`),
    '/gpu-worker.js': main(WORKER, draw("{ device: 'webgpu', workerUrl: '/strict.js' }")),
    '/wasm-worker': page('wasm-worker', `${POLICY}; worker-src 'self'`),
    '/wasm-worker.js': main(WORKER, draw("{ device: 'wasm', workerUrl: '/strict.js' }")),
  });
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
});

beforeEach(({ skip }) => {
  if (NO_CHROMIUM) skip(NO_CHROMIUM);
});

/** Opens the page at `path` and returns its result. */
async function visit(path: string): Promise<Record<string, unknown>> {
  const { page } = await openPage(browser!, site!.url + path);
  try {
    return await page.evaluate('done');
  } finally {
    await page.close();
  }
}

it('a script tag defines AiM with all other exports as static properties', async () => {
  expect(await visit('/tag')).toEqual({
    png: 'PNG',
    width: 32,
    bird: 'bird',
    sampling: { cfgScale: 2.5, topP: 0.95 },
    error: true,
    image: true,
    verify: 'function',
  });
});

it('toPNG() without a bundler names the import map that it needs, and runs with it', async () => {
  const { code, message } = await visit('/png');
  expect(code).toBe('ERR_IO');
  expect(message).toContain(importMap('https://cdn.jsdelivr.net/npm/fast-png@8/+esm'));
  expect(await visit('/png-mapped')).toEqual({ png: 'PNG' });
});

it('WebGPU runs under a strict policy without unsafe-eval', async () => {
  expect(await visit('/gpu')).toEqual({ device: expect.stringMatching(/^webgpu/), size: [8, 8] });
});

it('WebGPU runs in a worker under a strict policy without unsafe-eval', async () => {
  expect(await visit('/gpu-worker')).toEqual({ device: expect.stringMatching(/^webgpu/), size: [8, 8] });
  expect((await visit('/wasm-worker')).message).toMatch(/'wasm-unsafe-eval'/);
});

it("WASM asks for 'wasm-unsafe-eval', says so, and runs with it", async () => {
  const refused = await visit('/wasm');
  expect(refused.code).toBe('ERR_DEVICE');
  expect(refused.message).toMatch(/'wasm-unsafe-eval'/);
  expect((await visit('/wasm-allowed')).device).toMatch(/^wasm/);
});

it('if blob: workers are forbidden the error names workerUrl, which works', async () => {
  const refused = await visit('/blob');
  expect(refused.code).toBe('ERR_DEVICE');
  expect(refused.message).toMatch(/workerUrl/);
  expect(await visit('/url')).toMatchObject({ device: expect.stringMatching(/^wasm/), size: [8, 8] });
});

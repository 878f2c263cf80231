/** Pages as users write them: a script tag, and strict Content-Security-Policies. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Answer, html, moduleText, NO_CHROMIUM, openChromium, openPage, serve } from './site.js';

const script = (body: string): Answer => ({ body, type: 'text/javascript' });
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
const page = (name: string, policy?: string): Answer => {
  const answer = html(`<script type="module" src="/${name}.js"></script>`);
  return { ...answer, headers: policy ? { 'content-security-policy': policy } : {} };
};

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
      return {
        png: String.fromCharCode(...png.subarray(1, 4)), width: drawn.width,
        error: missing instanceof AiM.IoError, image: images[0] instanceof AiM.AimImage, verify: typeof AiM.verify,
      };`,
    ),
    '/png': page('png'),
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
  });
});
afterAll(async () => {
  await browser?.close();
  await site?.close();
});

/** What the page at `path` came to. */
async function visit(path: string): Promise<Record<string, unknown>> {
  const { page } = await openPage(browser!, site!.url + path);
  try {
    return await page.evaluate('done');
  } finally {
    await page.close();
  }
}

it.skipIf(NO_CHROMIUM)('a script tag gives AiM, everything else being its static properties', async () => {
  expect(await visit('/tag')).toEqual({ png: 'PNG', width: 32, error: true, image: true, verify: 'function' });
});

it('without a bundler toPNG() asks for an import map, and runs with it', async ({ skip }) => {
  if (NO_CHROMIUM) return skip(NO_CHROMIUM);
  const { code, message } = await visit('/png');
  expect(code).toBe('ERR_IO');
  expect(message).toContain(importMap('https://cdn.jsdelivr.net/npm/fast-png@8/+esm'));
  expect(await visit('/png-mapped')).toEqual({ png: 'PNG' });
});

it.skipIf(NO_CHROMIUM)('a strict policy (no unsafe-eval) is enough for WebGPU', async ({ skip }) => {
  const { device, size, code, message } = await visit('/gpu');
  if (code === 'ERR_DEVICE' && /no WebGPU/.test(String(message))) return skip(String(message));
  expect(message).toBeUndefined();
  expect(device).toMatch(/^webgpu/);
  expect(size).toEqual([8, 8]);
});

it.skipIf(NO_CHROMIUM)("WASM asks for 'wasm-unsafe-eval', says so, and runs with it", async () => {
  const refused = await visit('/wasm');
  expect(refused.code).toBe('ERR_DEVICE');
  expect(refused.message).toMatch(/'wasm-unsafe-eval'/);
  expect((await visit('/wasm-allowed')).device).toMatch(/^wasm/);
});

it.skipIf(NO_CHROMIUM)('where blob: workers are forbidden the error tells of workerUrl, which works', async () => {
  const refused = await visit('/blob');
  expect(refused.code).toBe('ERR_DEVICE');
  expect(refused.message).toMatch(/workerUrl/);
  expect(await visit('/url')).toMatchObject({ device: expect.stringMatching(/^wasm/), size: [8, 8] });
});

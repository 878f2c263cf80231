/** The cache of downloads in Chromium (pages and workers) and Deno; most cases are in test/io/cache.test.ts, in Node. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BrowserContext, ElementHandle, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CONFIG, FaultyServer, makeWeights, sha256 } from '../io/faulty_server.js';
import { load } from '../io/load_checkpoint.js';
import { html, moduleText, NO_CHROMIUM, openChromium, PATIENCE, serve } from './browser_site.js';
import { findDeno } from './deno.js';
import { run } from './run_program.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const MIB = 2 ** 20;
const PART = 8 * MIB;
const weights = makeWeights(20, 1);
const other = makeWeights(20, 2);
const wanted = await load({ config: CONFIG, weights });
const GET = 'GET /m/model.safetensors';
const HEAD = 'HEAD /m/model.safetensors';

let server: FaultyServer;
const weightRequests = () => server.take().filter((s) => s.includes('.safetensors'));

beforeEach(async () => {
  server = await FaultyServer.start();
  server.open = true;
  server.files['/m/config.json'] = { body: JSON.stringify(CONFIG) };
  server.files['/m/model.safetensors'] = { body: weights, headers: { etag: '"one"' } };
});
afterEach(() => server.close());

describe('Chromium, from a server of another origin', () => {
  let site: Awaited<ReturnType<typeof serve>>;
  let browser: Awaited<ReturnType<typeof openChromium>>;
  let context: BrowserContext;

  beforeAll(async () => {
    if (NO_CHROMIUM) return;
    browser = await openChromium();
    site = await serve({
      '/': html('<script type="module" src="/run.js"></script>'),
      '/run.js': {
        body: `import * as io from '/io.js'; import { AiM } from '/dist/aim.js'; import * as worker from '/dist/worker.js';
          Object.assign(globalThis, { io, AiM, worker, warnings: [], progress: [] });
          globalThis.get = (url, options) => io.load(url, {
            onWarning: (text) => warnings.push(text), onProgress: (p) => progress.push(p), ...options,
          }).catch((error) => error.message);
          globalThis.ready = true;`,
        type: 'text/javascript',
      },
      '/io.js': await moduleText(`${root}test/io/load_checkpoint.ts`),
    });
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
  });
  beforeEach(async ({ skip }) => {
    if (NO_CHROMIUM) return skip(NO_CHROMIUM);
    context = await browser.newContext();
    context.setDefaultTimeout(PATIENCE);
  });
  afterEach(() => context?.close());

  async function open(): Promise<Page> {
    const page = await context.newPage();
    await page.goto(site.url);
    await page.waitForFunction('globalThis.ready');
    return page;
  }
  const get = (page: Page, options: object = {}) =>
    page.evaluate(`get(${JSON.stringify(`${server.url}/m`)}, ${JSON.stringify(options)})`);

  it('a cached model is available to other pages and offline, listed, and cleared', async () => {
    const page = await open();
    expect(await get(page, { sha256: sha256(weights) })).toBe(wanted);
    expect(await get(await open())).toBe(wanted);
    expect(weightRequests()).toEqual([GET, HEAD]);
    server.files['/m/model.safetensors'] = { body: other, headers: { etag: '"two"' } };
    expect(await get(page)).not.toBe(wanted);
    expect(weightRequests()).toEqual([HEAD, GET]);
    server.files['/m/model.safetensors'] = { body: weights, headers: { etag: '"one"' } };
    expect(await get(page)).toBe(wanted);
    await server.close();
    expect(await get(page)).toBe(wanted);
    expect(await page.evaluate('io.cachedFiles()')).toEqual([
      { url: `${server.url}/m/config.json`, bytes: 18, complete: true },
      { url: `${server.url}/m/model.safetensors`, bytes: weights.length, complete: true },
    ]);
    // Three parts, and records of the weights, the config, the card, and the missing class names and settings.
    expect(await page.evaluate("caches.open('aim-js').then((cache) => cache.keys()).then((keys) => keys.length)")).toBe(8);
    expect(await page.evaluate('warnings')).toEqual([]);
    await page.evaluate('io.clearCache()');
    expect(await page.evaluate("caches.open('aim-js').then((cache) => cache.keys()).then((keys) => keys.length)")).toBe(0);
    expect(await get(page)).toMatch(/config\.json could not be fetched/);
  });

  it('a download resumes without a preflight request after a broken connection, and after the page was closed', async () => {
    server.cuts = [12 * MIB];
    const page = await open();
    expect(await get(page, { sha256: sha256(weights), cache: false })).toBe(wanted);
    const [first, second, ...more] = weightRequests();
    expect([first, ...more]).toEqual([GET]);
    // A connection that breaks may lose what was sent last.
    const from = Number(second!.match(/ bytes=(\d+)-$/)?.[1]);
    expect(from).toBeGreaterThan(0);
    expect(from).toBeLessThanOrEqual(12 * MIB);
    server.stalls = [2 * PART + MIB];
    void get(page).catch(() => {});
    await expect
      .poll(() => page.evaluate('io.cachedFiles().then((files) => files.at(-1)?.bytes)'), { timeout: PATIENCE })
      .toBe(2 * PART);
    await page.close();
    weightRequests();
    expect(await get(await open(), { sha256: sha256(weights) })).toBe(wanted);
    expect(weightRequests()).toEqual([`${GET} bytes=${2 * PART}-`]);
  });

  it('two tabs that load at once download once', async () => {
    server.stalls = [PART + MIB];
    const tabs = [await open(), await open()];
    const both = Promise.all(tabs.map((tab) => get(tab, { sha256: sha256(weights) })));
    for (const tab of tabs) await tab.waitForFunction('progress.length > 0');
    server.goOn();
    expect(await both).toEqual([wanted, wanted]);
    expect(weightRequests()).toEqual([GET]);
    for (const tab of tabs) expect(await tab.evaluate('progress.length')).toBeGreaterThan(2);
  });

  it('the second tab resumes the download if the first is closed', async () => {
    server.stalls = [2 * PART + MIB];
    const [first, second] = [await open(), await open()];
    void get(first).catch(() => {});
    await first.waitForFunction('progress.length > 0');
    const pending = get(second, { sha256: sha256(weights) });
    await second.waitForFunction(`progress.at(-1)?.loaded === ${2 * PART}`);
    await first.close();
    expect(await pending).toBe(wanted);
    expect(weightRequests()).toEqual([GET, `${GET} bytes=${2 * PART}-`]);
  });

  it('a full quota gives a warning, loads the model and leaves nothing behind', async () => {
    const page = await open();
    const cdp = await context.newCDPSession(page);
    await cdp.send('Storage.overrideQuotaForOrigin', { origin: site.url, quotaSize: 12 * MIB });
    expect(await get(page, { sha256: sha256(weights) })).toBe(wanted);
    expect(await page.evaluate('warnings')).toEqual([
      `${server.url}/m/model.safetensors is not kept for the next time: the browser's storage is full; free some with clearCache().`,
    ]);
    expect(weightRequests()).toEqual([GET]);
    expect(await page.evaluate('io.cachedFiles().then((files) => files.map(({ url }) => url))')).toEqual([
      `${server.url}/m/config.json`,
    ]);
    await cdp.send('Storage.overrideQuotaForOrigin', { origin: site.url });
    expect(await get(page)).toBe(wanted);
    expect(await page.evaluate('warnings.length')).toBe(1);
  });

  it('a page without storage gives a warning and loads the model', async () => {
    const page = await context.newPage();
    await page.goto(site.url);
    const frame = await page.evaluateHandle(`new Promise((done) => {
      const frame = document.createElement('iframe');
      frame.sandbox = 'allow-scripts';
      frame.srcdoc = '<p>';
      frame.onload = () => done(frame);
      document.body.append(frame);
    })`);
    const inside = (await (frame as unknown as ElementHandle).contentFrame())!;
    // A sandboxed page has another origin than the modules of the site, so the script is inline.
    const text = (await moduleText(`${root}test/io/load_checkpoint.ts`)).body;
    const source = Buffer.from(text).toString('base64');
    const [values, warnings] = (await inside.evaluate(`(async () => {
      const { load } = await import('data:text/javascript;base64,${source}');
      const warnings = [];
      return [await load('${server.url}/m', { onWarning: (text) => warnings.push(text) }), warnings];
    })()`)) as [string, string[]];
    expect(values).toBe(wanted);
    expect(warnings).toEqual([
      expect.stringMatching(/is not kept for the next time: this page has no Cache API; serve it from https:/),
    ]);
  });

  it('AiM on this thread and in a worker share the cache, by URL and by repository id', async () => {
    const commit = 'c'.repeat(40);
    for (const file of ['config.json', 'model.safetensors']) {
      const body = readFileSync(`${root}test/fixtures/mamba2-adaln/${file}`);
      server.files[`/f/${file}`] = { body, headers: { etag: '"f"' } };
      for (const at of ['main', commit])
        server.files[`/ann/model/resolve/${at}/${file}`] = {
          body,
          headers: { etag: `"${sha256(body)}"`, 'x-repo-commit': commit, 'access-control-expose-headers': 'x-repo-commit, etag' },
        };
    }
    const page = await open();
    const drawn = (source: string, where: string) =>
      page.evaluate(`(async () => {
        const aim = await ${where}.fromPretrained('${source}', { device: 'wasm', endpoint: '${server.url}' });
        const { tokens } = await aim.generate({ count: 1, seed: 5 });
        await aim.dispose();
        return String(tokens);
      })()`);
    const tokens = await drawn(`${server.url}/f`, 'AiM');
    expect(await drawn('ann/model', 'worker.AiM')).toBe(tokens);
    server.take();
    expect(await drawn('ann/model', 'AiM')).toBe(tokens);
    expect(server.take()).toEqual(['GET /ann/model/resolve/main/config.json']);
    await server.close();
    for (const source of ['ann/model', `${server.url}/f`])
      for (const where of ['AiM', 'worker.AiM']) expect(await drawn(source, where)).toBe(tokens);
    expect(await page.evaluate('worker.cachedFiles().then((files) => files.length)')).toBe(4);
  });
});

describe('Deno', () => {
  it('caches a model in a folder, loads it offline, and names missing permissions', async ({ skip }) => {
    const found = findDeno();
    if ('reason' in found) return skip(found.reason);
    const dir = mkdtempSync(join(tmpdir(), 'aim-deno-'));
    try {
      writeFileSync(join(dir, 'io.mjs'), (await moduleText(`${root}test/io/load_checkpoint.ts`)).body);
      writeFileSync(
        join(dir, 'main.mjs'),
        `import { cachedFiles, load } from './io.mjs';
        const [url, cacheDir] = Deno.args;
        const warnings = [];
        const values = await load(url, { cacheDir, onWarning: (text) => warnings.push(text) });
        const files = await cachedFiles({ cacheDir }).catch(() => []);
        console.log(JSON.stringify({ values, warnings, files: files.map(({ url, bytes }) => [url.replace(/.*\\//, ''), bytes]) }));`,
      );
      const cache = join(dir, 'cache');
      const deno = async (...allow: string[]) => {
        const options = ['run', '--quiet', '--no-check', '--no-prompt', `--config=${root}deno.json`];
        const ran = await run(found.deno, [...options, ...allow, join(dir, 'main.mjs'), `${server.url}/m`, cache]);
        expect(ran.stderr).toBe('');
        return JSON.parse(ran.stdout);
      };
      const files = [
        ['config.json', 18],
        ['model.safetensors', weights.length],
      ];
      const refused = await deno('--allow-net', '--allow-read');
      expect(refused.values).toBe(wanted);
      expect(refused.warnings).toEqual([
        expect.stringMatching(/not kept .* may not be written by this Deno process; .*--allow-write/),
      ]);
      const allowed = ['--allow-net', '--allow-read', '--allow-write'];
      server.cuts = [12 * MIB];
      weightRequests();
      expect(await deno(...allowed)).toEqual({ values: wanted, warnings: [], files });
      expect(weightRequests()).toEqual([GET, `${GET} bytes=${12 * MIB}-`]);
      expect(await deno(...allowed)).toEqual({ values: wanted, warnings: [], files });
      expect(weightRequests()).toEqual([HEAD]);
      await server.close();
      expect(await deno(...allowed)).toEqual({ values: wanted, warnings: [], files });
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});

/** A local site for browser tests (the build, the fixtures and scripts of the test), and Chromium to open its pages. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { type Browser, chromium, firefox, type Page, webkit } from 'playwright-core';
import { WITHOUT_CLEARING } from '../vulkan_driver.js';

/** Debian's Chromium. The one without windows starts sooner and does less, so that tests take three quarters of the time. */
const CHROMIUM = ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium'].find(existsSync);
/** A browser that Playwright installed (chromium, firefox or webkit), as the CI workflow asks for; by default Debian's Chromium. */
const INSTALLED = { chromium, firefox, webkit }[process.env.AIM_BROWSER ?? ''];
export const NO_CHROMIUM = INSTALLED || CHROMIUM ? '' : 'no Chromium (install Debian package chromium-headless-shell)';

/** How long a page may take, ms: a little less than the test, so that the error names what is missing. */
export const PATIENCE = 540_000;

const root = fileURLToPath(new URL('../../', import.meta.url));
const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
};

export interface Answer {
  body: string | Uint8Array;
  type?: string;
  headers?: Record<string, string>;
}

export interface Site {
  url: string;
  close(): Promise<void>;
}

/** Serves `answers` by path, and below them the project's dist, models, fixtures (as /fixtures) and a small model (as /model). */
export async function serve(answers: Record<string, Answer>, folders: Record<string, string> = {}): Promise<Site> {
  const places = {
    '/dist/': `${root}dist/`,
    '/fixtures/': `${root}test/fixtures/`,
    '/model/': `${root}models/fashion-mnist/`,
    '/models/': `${root}models/`,
    ...folders,
  };
  const server = createServer(async (request, response) => {
    const path = new URL(request.url!, 'http://x').pathname;
    const known = answers[path];
    const [prefix, folder] = Object.entries(places).find(([p]) => path.startsWith(p)) ?? [];
    const body = known?.body ?? (prefix && (await readFile(folder + path.slice(prefix.length)).catch(() => undefined)));
    if (body === undefined || body === '') return response.writeHead(404).end();
    // A reader at an earlier position requests the rest of a file.
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const bytes = Buffer.from(body as Uint8Array);
    response.writeHead(from ? 206 : 200, {
      'content-type': known?.type ?? TYPES[extname(path)] ?? 'application/octet-stream',
      'content-length': bytes.length - from,
      ...(from && { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
      ...known?.headers,
    });
    response.end(bytes.subarray(from));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

export const html = (body: string, head = ''): Answer => ({
  body: `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>aim-js</title>${head}${body}`,
  type: 'text/html',
});

/** A script of the tests, or a package, as one ES module for the page. */
export async function moduleText(file: string): Promise<Answer> {
  const { outputFiles } = await build({
    entryPoints: [file],
    bundle: true,
    format: 'esm',
    external: ['node:*'],
    write: false,
    logLevel: 'silent',
  });
  return { body: outputFiles[0]!.contents, type: 'text/javascript' };
}

/** Chromium with WebGPU on the software adapter, or the browser that AIM_BROWSER names as Playwright installed it. */
export function openChromium(...more: string[]): Promise<Browser> {
  if (INSTALLED && INSTALLED !== chromium) return INSTALLED.launch({ timeout: PATIENCE });
  return chromium.launch({
    ...(!INSTALLED && { executablePath: CHROMIUM }),
    timeout: PATIENCE,
    args: [
      '--headless=new',
      '--no-sandbox',
      '--enable-unsafe-webgpu',
      '--use-webgpu-adapter=swiftshader',
      `--${WITHOUT_CLEARING}`,
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...more,
    ],
  });
}

/** A page at `url` and the errors that it logs. */
export async function openPage(browser: Browser, url: string): Promise<{ page: Page; errors: string[] }> {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  await page.goto(url);
  return { page, errors };
}

/** The same data in a browser: Files of a chosen folder, JPEG by createImageBitmap. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, it } from 'vitest';
import { summary } from './browser-page.js';
import { type Files, fileListOf, idxSet, jpg, oriented, png } from './files.js';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

it('opens Files in Chromium as in Node', async ({ skip }) => {
  if (!CHROMIUM) return skip('there is no Chromium (Debian package chromium)');
  const photo = jpg(40, 30, (x, y) => [x * 6, y * 8, 90]);
  const folder: Files = {
    'a/1.png': png(40, 36, (x, y) => [x * 6, y * 7, 128]),
    'a/2.jpg': photo,
    'a/3.jpg': oriented(photo, 6, true),
    'a/bad.jpg': 'no image',
    'b/1.png': png(20, 20, (x) => [x * 10, 0, 255]),
  };
  const set = idxSet(4);
  const name = 'train-images-idx3-ubyte';
  const idx: Files = { [`${name}.gz`]: gzipSync(set[name]!), 'train-labels-idx1-ubyte': set['train-labels-idx1-ubyte']! };

  const script = await build({
    entryPoints: [fileURLToPath(new URL('browser-page.ts', import.meta.url))],
    bundle: true,
    write: false,
    format: 'iife',
    globalName: 'page',
    external: ['node:*'],
    logLevel: 'error',
  });
  const encoded = JSON.stringify(
    [folder, idx].map((f) => Object.entries(f).map(([k, v]) => [k, Buffer.from(v).toString('base64')])),
  );
  const html = `<!doctype html><body><script>${script.outputFiles[0]!.text.replaceAll('</script', '<\\/script')}</script>
<script>page.run(${encoded})</script>`;
  const text = await inBrowser(CHROMIUM, html);
  expect(text).toMatch(/^\[/);
  const got = JSON.parse(text) as Awaited<ReturnType<typeof summary>>[];

  for (const [i, files] of [folder, idx].entries()) {
    const want = await summary(fileListOf(files));
    expect({ ...got[i], images: [] }).toEqual({ ...want, images: [] });
    want.images.forEach((image, k) => {
      // Decoders of JPEG round differently; PNG and IDX are exact.
      const allowed = i === 0 && (k === 1 || k === 2) ? 6 : 0;
      const most = Math.max(...image.map((v, j) => Math.abs(v - got[i]!.images[k]![j]!)));
      expect(most, `image ${k}`).toBeLessThanOrEqual(allowed);
    });
  }
});

/** Shows a page and gives the text that it posts back. */
async function inBrowser(program: string, html: string): Promise<string> {
  const profile = mkdtempSync(`${tmpdir()}/aim-browser-`);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const child = spawn(program, ['--headless', '--no-sandbox', '--disable-gpu', `--user-data-dir=${profile}`, url], {
    stdio: 'ignore',
  });
  const gone = new Promise<void>((resolve) => child.on('close', () => resolve()));
  try {
    return await new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => reject(new Error(`the browser ended with ${code}`)));
      server.on('request', (request, response) => {
        if (request.method === 'GET') return response.setHeader('content-type', 'text/html; charset=utf-8').end(html);
        const parts: Buffer[] = [];
        request
          .on('data', (part) => parts.push(part))
          .on('end', () => {
            response.end();
            resolve(Buffer.concat(parts).toString());
          });
      });
    });
  } finally {
    child.kill('SIGKILL');
    await gone;
    server.closeAllConnections();
    server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** The same data in a browser: Files of a chosen folder or archive, JPEG by createImageBitmap. */
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { zipSync } from 'fflate';
import { expect, it } from 'vitest';
import { html, moduleText, NO_CHROMIUM, openChromium, openPage, serve } from '../platform/browser_site.js';
import { summary } from './browser_page.js';
import { type Files, fileListOf, idxSet, jpg, oriented, png } from './data_folders.js';

it('opens Files in Chromium with the same result as in Node', async ({ skip }) => {
  if (NO_CHROMIUM) return skip(NO_CHROMIUM);
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

  const zip: Files = {
    'pictures.zip': zipSync({ 'x/a/1.png': folder['a/1.png'] as Uint8Array, 'x/b/1.png': folder['b/1.png'] as Uint8Array }),
  };

  const sets = [folder, idx, zip].map((f) => Object.entries(f).map(([k, v]) => [k, Buffer.from(v).toString('base64')] as const));
  const site = await serve({
    '/': html(''),
    '/page.js': await moduleText(fileURLToPath(new URL('browser_page.ts', import.meta.url))),
  });
  const browser = await openChromium();
  let got: Awaited<ReturnType<typeof summary>>[];
  try {
    const { page } = await openPage(browser, site.url);
    // As text: vitest rewrites an import() that it sees.
    got = await page.evaluate(`import('/page.js').then(({ summaries }) => summaries(${JSON.stringify(sets)}))`);
  } finally {
    await browser.close();
    await site.close();
  }

  for (const [i, files] of [folder, idx, zip].entries()) {
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

/** The studio in Chromium, as static files below a path: what the test files of the page share. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { buildStudio } from '../../scripts/studio.mjs';
import { NO_CHROMIUM, openChromium, openPage, type Site, serve } from './browser_site.js';

let dir: string;
export let site: Site;
let browser: Browser;
/** The page of the current test, and what failed on it. */
export let page: Page;
export let errors: string[] = [];

/** Builds and serves the studio for the tests of a file, and closes the page of each. A page that reports errors fails its test. */
export function useStudio(): void {
  beforeAll(async () => {
    if (NO_CHROMIUM) return;
    dir = mkdtempSync(join(tmpdir(), 'aim-studio-'));
    await buildStudio(dir);
    const index = { body: readFileSync(`${dir}/index.html`), type: 'text/html' };
    // Below a path and without headers of its own, as on GitHub Pages.
    site = await serve({ '/user/studio/': index }, { '/user/studio/': `${dir}/` });
    browser = await openChromium();
  });
  afterAll(async () => {
    await browser?.close();
    await site?.close();
    if (dir) rmSync(dir, { recursive: true });
  });
  beforeEach(({ skip }) => {
    if (NO_CHROMIUM) skip(NO_CHROMIUM);
  });
  afterEach(async () => {
    await page?.close();
    expect(errors).toEqual([]);
  });
}

/** Opens a page. */
export async function open(url: string): Promise<void> {
  ({ page, errors } = await openPage(browser, url));
}

/** The model that most tests draw with, because it is fast. */
const FAST = 'model=fashion-mnist';

/** Opens the studio with the fast model, unless the query names one. Failed requests of the page and its workers count as errors. */
export async function visit(query = '', studio = `${site.url}/user/studio/`): Promise<void> {
  await open('about:blank');
  page.context().on('response', (answer) => {
    if (answer.status() >= 400) errors.push(`${answer.status()} ${answer.url()}`);
  });
  const named = /[?&]model=/.test(query) ? query : `${query || '?'}${query.length > 1 ? '&' : ''}${FAST}`;
  await page.goto(studio + named);
}

/** Waits until the text of an element matches, and returns the text. */
export async function text(selector: string, wanted: RegExp): Promise<string> {
  const found = page.locator(selector, { hasText: wanted });
  await found.waitFor({ state: 'attached' });
  return (await found.textContent())!;
}

/** The parameters of the URL, without that of the fast model. */
export const search = async () =>
  (await page.evaluate(() => location.search))
    .replace(FAST, '')
    .replace(/([?&])&/, '$1')
    .replace(/[?&]$/, '');
export const drawn = () => text('#status', /images? in [\d.]+ s/);

/** The RGBA pixels of image i of a gallery. */
export const pixels = (gallery: string, i: number): Promise<number[]> =>
  page.evaluate(
    ([gallery, i]) => {
      const canvas = document.querySelectorAll<HTMLCanvasElement>(`#${gallery} canvas`)[i as number]!;
      return [...canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height).data];
    },
    [gallery, i] as const,
  );

/** The file that `act` downloads. */
export async function downloaded(act: () => Promise<void>): Promise<{ name: string; bytes: Uint8Array<ArrayBuffer> }> {
  const [file] = await Promise.all([page.waitForEvent('download'), act()]);
  return { name: file.suggestedFilename(), bytes: new Uint8Array(readFileSync(await file.path())) };
}

/** The studio in Chromium, as static files below a path, mostly on WASM because the software GPU is slow. */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, symlinkSync } from 'node:fs';
import { request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { AiM } from 'aim-js';
import { decode as decodePng } from 'fast-png';
import { unzipSync, zipSync } from 'fflate';
import { describe, expect, it, vi } from 'vitest';
import { openCheckpointFolder } from '../../src/train/folder.js';
import { fileListOf, folderOf, grey, png } from '../data/data_folders.js';
import { html, moduleText, PATIENCE, serve } from './browser_site.js';
import { downloaded, drawn, errors, open, page, pixels, search, site, text, useStudio, visit } from './studio_page.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const MODEL = `${root}models/fashion-mnist`;
const CLASSES: string[] = JSON.parse(readFileSync(`${MODEL}/classes.json`, 'utf8'));

useStudio();

/** Drops files and folders of the disk on the page, as a file manager does. */
async function drop(...files: string[]): Promise<void> {
  const devtools = await page.context().newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const)
    await devtools.send('Input.dispatchDragEvent', { type, x: 200, y: 200, data });
  await devtools.detach();
}

/** Records the texts of an element from now on. The returned function gives them. */
async function recorded(selector: string): Promise<() => Promise<string[]>> {
  const list = await page.evaluateHandle((selector) => {
    const list: string[] = [];
    const target = document.querySelector(selector)!;
    new MutationObserver(() => list.push(target.textContent!)).observe(target, { childList: true, characterData: true });
    return list;
  }, selector);
  return () => list.jsonValue();
}

/** An entry of Chromium's trace; `tdur` is the processor time of a task in µs. */
interface TraceEvent {
  pid: number;
  tid: number;
  name: string;
  args: Record<string, unknown>;
  tdur?: number;
}

const pressed = () => page.locator('#chips [aria-pressed=true]').allTextContents();

describe('Generate', () => {
  /** Records at every animation frame how many pixels of the first image are visible, without the pen, and the status. */
  const watch = () =>
    page.evaluate(() => {
      const seen: [pixels: number, status: string][] = [];
      Object.assign(globalThis, { seen });
      const look = () => {
        const canvas = document.querySelector<HTMLCanvasElement>('#gallery canvas');
        const data = canvas?.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height).data;
        const status = document.querySelector('#status')!.textContent!;
        const isPen = (i: number) => data![i] === 0xff && data![i + 1] === 0x5a && data![i + 2] === 0x36;
        if (data) seen.push([data.filter((v, i) => i % 4 === 3 && v > 0 && !isPen(i - 3)).length, status]);
        requestAnimationFrame(look);
      };
      look();
    });
  const watched = () => page.evaluate('seen') as Promise<[pixels: number, status: string][]>;
  /** Pixels of n tokens of 4×4 pixels. */
  const token = (n: number) => 16 * n;

  it('draws one image of each class on loading', async () => {
    await visit('?device=wasm&show=end');
    expect(await drawn()).toMatch(/^10 images/);
    expect(await text('#rate', /images\/s/)).toMatch(/^[\d.]+ images\/s$/);
    expect(await text('#device', /WebAssembly/)).toBeTruthy();

    const aim = await AiM.fromPretrained(MODEL, { device: 'wasm' });
    const { images } = await aim.generate({ seed: 1, cfgScale: 1.5 });
    await aim.dispose();
    for (const i of [0, 4, 9]) expect(await pixels('gallery', i)).toEqual([...images[i]!.toRGBA()]);
    const sizes = await page
      .locator('#gallery .tile')
      .evaluateAll((tiles) => tiles.flatMap((tile) => [tile.getBoundingClientRect().width, tile.getBoundingClientRect().height]));
    expect(new Set(sizes)).toEqual(new Set([Math.floor(sizes[0]!)]));
    expect(await page.locator('#gallery .caption b').allTextContents()).toEqual(CLASSES);
  });

  it('shows images token by token', async () => {
    await visit('?device=wasm&count=3&show=every');
    await watch();
    expect(await drawn()).toMatch(/^3 images/);
    const steps = new Set((await watched()).map(([visible]) => visible));
    expect([...steps].every((visible) => visible % 16 === 0)).toBe(true);
    expect(steps.size).toBeGreaterThan(8);
  });

  it('shows in the status the number of visible tokens, and stops at that number', async () => {
    await visit('?device=wasm');
    await watch();
    await drawn();
    const pairs = (await watched()).flatMap(([visible, status]) => {
      const at = /^Drawing token (\d+) of 64$/.exec(status)?.[1];
      return at ? [[visible, token(Number(at))]] : [];
    });
    expect(pairs.length).toBeGreaterThan(5);
    expect(pairs.map(([visible]) => visible)).toEqual(pairs.map(([, stated]) => stated));

    await page.click('#draw');
    await text('#status', /Drawing token ([5-9]|\d\d) /);
    await page.keyboard.press('Escape');
    const at = /^Stopped at token (\d+) of 64$/.exec(await text('#status', /Stopped/))![1];
    expect((await pixels('gallery', 0)).filter((v, i) => i % 4 === 3 && v > 0)).toHaveLength(token(Number(at)));
  });

  it('never blocks the page for more than 50 ms while drawing', async () => {
    await visit('?device=wasm');
    await drawn();
    const browser = page.context().browser()!;
    await browser.startTracing(page, { categories: ['toplevel', '__metadata'] });
    await page.click('#draw');
    await text('#draw', /Stop/);
    await text('#draw', /Draw/);
    const trace: TraceEvent[] = JSON.parse((await browser.stopTracing()).toString()).traceEvents;
    const threadOf = (e: TraceEvent) => `${e.pid} ${e.tid}`;
    const pages = trace.filter((e) => e.name === 'thread_name' && e.args.name === 'CrRendererMain').map(threadOf);
    // In time of the processor, because on a busy machine any task may take long by the clock.
    const tasks = trace.filter((e) => e.name.endsWith('RunTask') && pages.includes(threadOf(e))).map((e) => e.tdur! / 1000);
    expect(tasks.length).toBeGreaterThan(100);
    expect(tasks.filter((ms) => ms > 50)).toEqual([]);
  });

  it('keeps its settings in the URL', async () => {
    await visit('?device=wasm');
    await drawn();
    expect(await search()).toBe('?device=wasm');
    for (const name of CLASSES)
      if (name !== 'Trouser' && name !== 'Coat') await page.getByRole('button', { name, exact: true }).click();
    const values = { count: '3', seed: '42', guidance: '2.5', temperature: '0.8', 'top-k': '100', 'top-p': '0.9' };
    for (const [name, value] of Object.entries(values)) await page.locator(`[name=${name}]`).fill(value);
    await page.locator('[name=show]').selectOption('end');
    const parameters = { device: 'wasm', show: 'end', classes: '0,2,3,5,6,7,8,9', ...values };
    expect(Object.fromEntries(new URLSearchParams(await search()))).toEqual(parameters);
    await page.reload();
    expect(await drawn()).toMatch(/^3 images/);
    for (const [name, value] of Object.entries(parameters)) expect(await page.locator(`[name=${name}]`).inputValue()).toBe(value);
    expect(await page.locator('#gallery .caption').allTextContents()).toEqual([
      'T-shirt/topseed 42',
      'Pulloverseed 43',
      'Dressseed 44',
    ]);
    expect(await pressed()).toHaveLength(8);
    expect(Object.fromEntries(new URLSearchParams(await search()))).toEqual(parameters);
  });

  it('selects a class with one click or key, and always at least one', async () => {
    await visit('?device=wasm&count=1&show=end');
    await drawn();
    expect(await pressed()).toEqual(CLASSES);
    await page.getByRole('button', { name: 'Bag', exact: true }).click();
    expect(await pressed()).toEqual(['Bag']);
    expect(await search()).toContain('classes=8');
    expect(await text('#announcer', /classes/)).toBe('1 of 10 classes.');
    for (const [key, name] of Object.entries({ Space: 'Dress', Enter: 'Coat' })) {
      await page.getByRole('button', { name, exact: true }).focus();
      await page.keyboard.press(key);
    }
    expect(await pressed()).toEqual(['Dress', 'Coat', 'Bag']);
    expect(new URLSearchParams(await search()).get('classes')).toBe('3,4,8');
    for (const name of ['Bag', 'Dress']) await page.getByRole('button', { name, exact: true }).click();
    expect(await pressed()).toEqual(['Coat']);
    await page.getByRole('button', { name: 'Coat', exact: true }).focus();
    await page.keyboard.press('Space');
    expect(await pressed()).toEqual(CLASSES);
    expect(new URLSearchParams(await search()).has('classes')).toBe(false);
    expect(await text('#announcer', /classes/i)).toBe('All classes.');
    await page.keyboard.press('Space');
    expect(await pressed()).toEqual(['Coat']);
    await page.getByRole('button', { name: 'All', exact: true }).click();
    expect(await pressed()).toEqual(CLASSES);
  });

  it('copies no invalid values into the URL, and limits numbers to their bounds', async () => {
    await visit('?device=wasm&count=2&show=end');
    await drawn();
    const [count, seed] = [page.locator('[name=count]'), page.locator('[name=seed]')];
    for (const typed of ['0', '', '-3', '2.5', '999']) {
      await count.fill(typed);
      expect(new URLSearchParams(await search()).get('count'), typed).toBe('2');
    }
    await seed.fill('-1');
    expect(await count.inputValue()).toBe('200');
    expect(new URLSearchParams(await search()).get('count')).toBe('200');
    await count.fill('0');
    expect(await seed.inputValue()).toBe('0');
    await count.press('Enter');
    await text('#gallery', /^T-shirt\/topseed 0$/);
    expect(await drawn()).toMatch(/^1 image /);
    expect(Object.fromEntries(new URLSearchParams(await search()))).toEqual({
      device: 'wasm',
      show: 'end',
      seed: '0',
      count: '1',
    });
    await count.fill('');
    await seed.focus();
    expect(await count.inputValue()).toBe('10');
    expect(new URLSearchParams(await search()).has('count')).toBe(false);
  });

  it('opens a zip, an address and a repository with progress, and says why it cannot open one', async () => {
    await visit('?device=wasm&count=1&show=end');
    await drawn();
    const want = await pixels('gallery', 0);
    const model = (file: string) => new Uint8Array(readFileSync(`${MODEL}/${file}`));
    const files = ['config.json', 'classes.json', 'model.safetensors'];
    const zip = zipSync(Object.fromEntries(files.map((file) => [file, model(file)])), { level: 1 });
    const opened = async (name: RegExp) => {
      await text('#model-name', name);
      await drawn();
      expect(await pixels('gallery', 0)).toEqual(want);
    };
    await page.setInputFiles('#open-model-zip', { name: 'clothes.zip', mimeType: 'application/zip', buffer: Buffer.from(zip) });
    await opened(/^clothes\.zip · 5\.9 M parameters$/);
    await page.setInputFiles('#open-model-zip', { name: 'no.zip', mimeType: 'application/zip', buffer: Buffer.from('nothing') });
    expect(await text('#status.error', /./)).toMatch(/^no\.zip cannot be unpacked/);
    // Files that a script puts into a drop have no file system entry.
    await page.evaluate(() => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(['nothing'], 'torn.zip'));
      document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
    });
    expect(await text('#status.error', /torn/)).toMatch(/^torn\.zip cannot be unpacked/);

    const address = page.locator('#address');
    const statuses = await recorded('#status');
    await address.fill(`${site.url}/model/`);
    await address.press('Enter');
    await opened(/\/model\/ · 5\.9 M parameters$/);
    expect(await statuses()).toContainEqual(expect.stringMatching(/^Loading http:.*\/model\/: [\d.]+ of 11\.8 MB$/));
    expect(await page.locator('#status.error').count()).toBe(0);

    // Tests have no network: these are the answers of the hub. It never answers for owner/slow.
    await page.context().route('https://huggingface.co/**', (route) => {
      const [, id, file] = /co\/([^/]+\/[^/]+)\/resolve\/[^/]+\/(.+)$/.exec(route.request().url())!;
      if (id === 'owner/slow') return;
      const headers = { 'access-control-allow-origin': '*' };
      if (id === 'owner/clothes') return route.fulfill({ path: `${MODEL}/${file}`, headers });
      return route.fulfill({ status: 404, body: 'not found', headers });
    });
    await address.fill('owner/clothes');
    await page.click('#open-address');
    await opened(/^owner\/clothes · 5\.9 M parameters$/);

    expect(errors).toEqual([]);
    await address.fill('owner/none');
    await address.press('Enter');
    expect(await text('#status.error', /./)).toMatch(
      /owner\/none has no config\.json .*there is no such model, or it is private/,
    );
    expect(errors.splice(0).every((error) => error.includes('404'))).toBe(true);
    expect(await page.locator('#model-name').textContent()).toMatch(/^owner\/clothes/);
    await address.fill('owner/slow');
    await address.press('Enter');
    await text('#status', /^Loading owner\/slow$/);
    await page.click('#open-address:has-text("Cancel")');
    expect(await text('#status', /Stopped/)).toBe('Stopped loading owner/slow');
    await page.click('#draw');
    await drawn();
    expect(await pixels('gallery', 0)).toEqual(want);

    await page.getByRole('button', { name: /^Fashion-MNIST/ }).click();
    await opened(/^Fashion-MNIST, built in/);
  });

  it('ignores invalid values in the URL', async () => {
    await visit('?device=abacus&count=-4&seed=x&top-k=1e99&classes=hat&tab=nowhere');
    expect(await drawn()).toMatch(/^10 images/);
    const values = await Promise.all(['device', 'count', 'seed', 'top-k'].map((n) => page.locator(`[name=${n}]`).inputValue()));
    expect(values).toEqual(['auto', '10', '1', '0']);
    await page.click('#more > summary');
    await page.locator('[name=top-k]').fill('5');
    expect(await search()).toBe('?top-k=5');
  });

  it('works with the keyboard: tabs, drawing, stopping, saving', async () => {
    await visit('?device=wasm&count=2&show=end');
    await drawn();
    await page.getByRole('tab', { name: 'Generate' }).focus();
    for (const [key, panel] of Object.entries({ ArrowRight: 'train', End: 'inspect', Home: 'generate', ArrowLeft: 'inspect' })) {
      await page.keyboard.press(key);
      expect(await page.locator('[role=tabpanel]:visible').getAttribute('id')).toBe(panel);
      expect(await page.locator('[role=tab]:focus').getAttribute('aria-controls')).toBe(panel);
    }
    await page.keyboard.press('Home');
    const before = await pixels('gallery', 0);
    await page.locator('[name=seed]').focus();
    await page.keyboard.press('Control+A');
    await page.keyboard.type('77');
    await page.keyboard.press('Enter');
    await text('#gallery', /77/);
    await drawn();
    expect(await pixels('gallery', 0)).not.toEqual(before);

    await page.locator('#gallery .tile').first().focus();
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement!).outlineStyle);
    expect(outline).toBe('solid');
    expect(await page.getByRole('button', { name: 'Save T-shirt/top, seed 77, as PNG' }).count()).toBe(1);
    const { name, bytes } = await downloaded(() => page.keyboard.press('Enter'));
    expect(name).toBe('t-shirt-top-77.png');
    const { width, height, data } = decodePng(bytes);
    expect([width, height]).toEqual([32, 32]);
    const rgb = (await pixels('gallery', 0)).filter((_, i) => i % 4 < 3);
    expect([...data]).toEqual(rgb);
    const sheet = decodePng((await downloaded(() => page.click('#save-all'))).bytes);
    expect([sheet.width, sheet.height]).toEqual([66, 32]);

    await page.locator('[name=count]').fill('200');
    await page.locator('[name=count]').press('Enter');
    await text('#status', /Drawing token/);
    await page.keyboard.press('Escape');
    expect(await text('#status', /Stopped/)).toMatch(/^Stopped at token \d+ of 64$/);
    expect(await text('#draw', /Draw/)).toBe('Draw');
  });

  it('explains without WebGPU why the CPU draws, in a notice that can be dismissed', async () => {
    await visit('?count=1');
    await drawn();
    expect(await text('#notice', /CPU/)).toMatch(/^The only WebGPU adapter here is a software one.*the CPU draws/);
    await page.getByRole('button', { name: 'Dismiss' }).click();
    expect(await page.locator('#notice').isVisible()).toBe(false);
    await page.locator('[name=seed]').fill('5');
    await page.locator('[name=seed]').press('Enter');
    await text('#gallery', /seed 5/);
    await drawn();
    expect(await page.locator('#notice').isVisible()).toBe(false);
    await page.addInitScript(() => Object.defineProperty(Navigator.prototype, 'gpu', { value: undefined }));
    await page.reload();
    await drawn();
    expect(await text('#notice', /CPU/)).toMatch(/^This browser has no WebGPU, so the CPU draws/);
  });

  it('draws on WebGPU', async () => {
    await visit('?device=webgpu&count=1&classes=9&guidance=1&show=end');
    const status = await text('#status', /image in|WebGPU was asked for/);
    expect(status).toMatch(/^1 image in/);
    expect(await text('#device', /./)).toMatch(/^WebGPU · /);
    expect(new Set(await pixels('gallery', 0)).size).toBeGreaterThan(50);
  });
});

describe('Files from visitors', () => {
  const model = (file: string) => new Uint8Array(readFileSync(`${MODEL}/${file}`));
  const picture = (light: number) => png(40, 30, (x, y) => grey((x + y) % 8 < 4 ? light : 0)(x, y));
  const openZip = (name: string, files: Record<string, Uint8Array>) =>
    page.setInputFiles('#open-model-zip', {
      name,
      mimeType: 'application/zip',
      buffer: Buffer.from(zipSync(files, { level: 1 })),
    });

  it('are used by their kind, and refused if the studio cannot use them', async () => {
    const folder = folderOf({
      'readme.txt': 'text',
      'broken.png': 'text',
      'one.png': picture(200),
      'two.png': picture(90),
      'notes/a.txt': 'text',
      'pets/cats/1.png': picture(250),
      'pets/dogs/1.png': picture(60),
    });
    await visit('?device=wasm&count=1&show=end');
    await drawn();
    for (const [name, what] of Object.entries({ 'readme.txt': 'readme\\.txt', notes: 'notes' })) {
      await drop(`${folder}/${name}`);
      expect(await text('#notice', new RegExp(what))).toMatch(new RegExp(`^The studio cannot use ${what}\\. Drop a checkpoint`));
      expect(await page.locator('[role=tabpanel]:visible').getAttribute('id')).toBe('generate');
    }
    await drop(`${folder}/one.png`, `${folder}/two.png`);
    expect(await text('#tokens-status', /Top/)).toBe('Top: 2 pictures. Bottom: the same from 64 tokens, each one of 512.');
    expect(await page.locator('[role=tabpanel]:visible').getAttribute('id')).toBe('inspect');
    expect(await page.locator('#notice').isVisible()).toBe(false);
    expect(await page.locator('#tokens-strip canvas').count()).toBe(2);
    await page.locator('[name=continue-rows]').fill('6');
    expect(await page.locator('#continue-kept').textContent()).toBe('6 of 8');
    await page.selectOption('[name=continue-class]', { label: 'Bag' });
    await page.click('#continue-draw');
    expect(await text('#continue-status', /kept/)).toBe('6 rows kept, the rest drawn.');
    expect(await page.locator('#continued .tile').count()).toBe(2);
    const upper = await pixels('continued', 0);
    await page.locator('[name=continue-seed]').fill('2');
    await page.click('#continue-draw');
    await page.waitForFunction(() => document.querySelector('#continued small')?.textContent === 'seed 2');
    await text('#continue-status', /kept/);
    const again = await pixels('continued', 0);
    // The decoder normalises over the whole picture, so that kept tokens give nearly the same pixels.
    const change = (from: number, to: number) => {
      const [a, b] = [again, upper].map((image) => image.slice(from * 32 * 4, to * 32 * 4));
      return a!.reduce((sum, v, i) => sum + Math.abs(v - b![i]!), 0) / a!.length;
    };
    expect(change(26, 32)).toBeGreaterThan(3 * change(0, 20));
    await drop(`${folder}/broken.png`);
    expect(await text('#tokens-status.error', /./)).toBe('broken.png is not a picture that this browser can read.');

    await drop(`${folder}/pets`);
    expect(await text('#train-status', /pets/)).toMatch(/^pets is chosen/);
    expect(await text('#folder-name', /pets/)).toBe('pets: 2 files');
    await text('#data-caption', /^Your pictures as squares of 32×32 pixels, in colour/);
    expect(await page.locator('#data-strip canvas').count()).toBe(1);
    expect(await page.locator('[name=size][value=tune]').isDisabled()).toBe(true);
    await page.locator('[name=tokenizer][value=open]').check();
    expect(await text('#tokenizer-note', /./)).toMatch(/^Your pictures become grey squares of 32×32 pixels/);
    await text('#data-caption', /^Your pictures, and below them what the tokenizer keeps/);
    await page.locator('#training [name=data][value=fashion-mnist]').check();
    expect(await page.locator('#data-card').isVisible()).toBe(false);
    expect(await page.locator('#tokenizer-note').isVisible()).toBe(false);
  });

  it('are tokenized by the tokenizer of the open model', async () => {
    // Without its last layer the decoder makes every image grey.
    const weights = Buffer.from(model('model.safetensors'));
    const length = Number(weights.readBigUInt64LE(0));
    const header = JSON.parse(weights.toString('utf8', 8, 8 + length));
    for (const name of ['weight', 'bias']) {
      const [from, to] = header[`vqvae.decoder.conv_out.${name}`].data_offsets;
      weights.fill(0, 8 + length + from, 8 + length + to);
    }
    const values = (canvas: string) =>
      page.evaluate((canvas) => {
        const found = document.querySelector<HTMLCanvasElement>(canvas)!;
        const { data } = found.getContext('2d')!.getImageData(0, 0, 32, 32);
        return [...new Set(data)];
      }, canvas);
    const pets = Object.fromEntries(
      Array.from({ length: 12 }, (_, i) => [`pets/${i % 2 ? 'cats' : 'dogs'}/${i}.png`, picture(100 + 10 * i)]),
    );
    await visit('?device=wasm&count=1&show=end&steps=2&batch=4&tokenizer=open');
    await drawn();
    await openZip('grey.zip', { 'config.json': model('config.json'), 'model.safetensors': weights });
    await text('#model-name', /^grey\.zip/);
    await drawn();
    await page.getByRole('tab', { name: 'Train' }).click();
    await drop(`${folderOf(pets)}/pets`);
    await text('#data-caption', /^Your pictures/);
    expect((await values('#data-strip canvas:first-child')).length).toBeGreaterThan(2);
    expect(await values('#data-strip canvas:last-child')).toEqual([128, 255]);
    expect(await text('#tokenizer-note', /pass/)).toMatch(/32×32 pixels and pass through the tokenizer of grey\.zip$/);
    expect(await text('#tune-words', /./)).toBe('Starts from the weights of grey.zip');
    await page.click('#start');
    expect(await text('#train-status', /Finished|Details/)).toBe('Finished after 2 steps');
    expect(await values('#samples canvas')).toEqual([128, 255]);
  });

  it('cannot fill the memory with a small zip', async () => {
    await visit('?device=wasm&count=1&show=end');
    await drawn();
    const zeros = new Uint8Array(50e6);
    await openZip('bomb.zip', { 'config.json': model('config.json'), 'model.safetensors': zeros, 'more.bin': zeros });
    expect(await text('#status.error', /./)).toMatch(/^bomb\.zip cannot be unpacked \(its 0\.\d MB would become 100 MB/);
    await page.click('#draw');
    await drawn();
    expect(await page.locator('#status.error').count()).toBe(0);
  });

  it('cannot run scripts or reorder text with the names in them', async () => {
    await visit('?device=wasm&count=2&show=end');
    await drawn();
    const hostile = (i: number) => `<img src=x onerror="window.hit=1">\u202e\u0007${i}`;
    await openZip('<img src=x onerror="window.hit=1">.zip', {
      'config.json': model('config.json'),
      'classes.json': new TextEncoder().encode(JSON.stringify(Array.from({ length: 10 }, (_, i) => hostile(i)))),
      'model.safetensors': model('model.safetensors'),
    });
    await text('#model-name', /^<img src=x/);
    await drawn();
    const shown = '<img src=x onerror="window.hit=1">\\u{202e}\\u{0007}0';
    expect(await page.locator('#gallery .caption b').first().textContent()).toBe(shown);
    expect(await page.locator('#chips button').first().textContent()).toBe(shown);
    expect(await page.locator('#gallery .tile').first().getAttribute('aria-label')).toBe(`Save ${shown}, seed 1, as PNG`);
    await page.getByRole('tab', { name: 'Inspect' }).click();
    expect(await page.locator('[name=compare-class] option').first().textContent()).toBe(shown);
    expect(await page.evaluate("[window.hit, document.querySelectorAll('img, iframe').length]")).toEqual([undefined, 0]);
  });
});

describe('The chart', () => {
  it('stays small for long runs, large losses and losses that are not finite', async () => {
    const chart = await moduleText(`${root}examples/studio/chart.ts`);
    const script = `<script type="module">import { Chart } from './chart.js'; window.Chart = Chart;</script>`;
    const index = html(`<div id="chart" style="width: 600px"></div>${script}`);
    const own = await serve({ '/': index, '/chart.js': chart });
    try {
      await open(`${own.url}/`);
      const draw = (losses: string, n: number) =>
        page.evaluate(
          async ([losses, n]) => {
            const { Chart } = globalThis as unknown as { Chart: typeof import('../../examples/studio/chart.js').Chart };
            const root = document.querySelector<HTMLElement>('#chart')!;
            root.replaceChildren();
            const chart = new Chart(root);
            const loss = new Function('i', `return ${losses}`) as (i: number) => number;
            for (let i = 0; i < (n as number); i++) chart.add({ step: i + 1, loss: loss(i) }, i % 100 ? undefined : loss(i));
            await new Promise((resolve) => setTimeout(resolve, 500));
            return {
              label: root.querySelector('svg')!.getAttribute('aria-label'),
              nodes: root.querySelectorAll('circle').length,
              lines: root.querySelectorAll('line').length,
              labels: [...root.querySelectorAll('text')].map((t) => t.textContent),
              points: root.querySelector('.raw')!.getAttribute('d')!.split(/[ML]/).length - 1,
              wrong: root.innerHTML.includes('NaN') || root.innerHTML.includes('Infinity'),
            };
          },
          [losses, n] as const,
        );
      for (const losses of ['6 - 4 * i / 1e6', '54321 * Math.abs(Math.sin(i))', 'i === 5 ? NaN : i === 6 ? Infinity : 3']) {
        const long = await draw(losses, 300_000);
        expect(long.label, losses).toContain('after 300000 steps');
        expect(long.lines, losses).toBeLessThanOrEqual(7);
        expect(long.lines, losses).toBeGreaterThanOrEqual(2);
        expect(long.points, losses).toBeGreaterThanOrEqual(400);
        expect(long.points, losses).toBeLessThan(800);
        expect(long.nodes, losses).toBeLessThan(800);
        expect(long.wrong, losses).toBe(false);
      }
      const few = await draw('5 - i / 10', 30);
      expect([few.points, few.lines]).toEqual([30, 4]);
      expect(few.labels.slice(0, -2)).toEqual(['2', '3', '4', '5']);
    } finally {
      await own.close();
    }
  });
});

describe('Train', () => {
  const finished = () => text('#train-status', /Finished/);
  /** Number of points in the chart. */
  const points = async () => (await page.locator('#chart .raw').getAttribute('d'))!.split(/[ML]/).length - 1;
  const value = (name: string) => page.locator(`#training [name=${name}]`).inputValue();

  it('lowers the loss in fifty steps and saves a checkpoint that loads', async () => {
    await visit('?tab=train&device=wasm&steps=50');
    await page.click('#start');
    expect(await finished()).toBe('Finished after 50 steps');
    await expect.poll(() => page.locator('#chart svg').getAttribute('aria-label')).toMatch(/after 50 steps/);
    const mean = (await page.locator('#chart .mean').getAttribute('d'))!.split('L').map((point) => Number(point.split(' ')[1]));
    expect(mean).toHaveLength(50);
    // y grows downwards in SVG, so a falling loss has a growing y.
    expect(mean.at(-1)! - mean[0]!).toBeGreaterThan(20);
    expect(Number(await page.locator('#figure-loss').textContent())).toBeLessThan(5.5);
    expect(Number(await page.locator('#figure-held').textContent())).toBeLessThan(5.5);
    expect(await text('#data-caption', /images/)).toMatch(/10,000 images of 10 classes, 1,000 held out/);
    const rows = await page.locator('#samples .step').allTextContents();
    expect([rows[0], rows.at(-1)]).toEqual(['50', '0']);

    const { name, bytes } = await downloaded(() => page.click('#download'));
    expect(name).toBe('aim-step-00000050.zip');
    const files = fileListOf(unzipSync(bytes), 'zip');
    expect(files.map((f) => f.name)).toEqual([
      'config.json',
      'classes.json',
      'model.safetensors',
      'optimizer.safetensors',
      'state.json',
    ]);
    const aim = await AiM.fromPretrained(files, { device: 'wasm' });
    expect([aim.config.d_model, aim.classes?.[9], aim.ignored]).toEqual([64, 'Ankle boot', []]);
    await aim.dispose();

    await page.click('#draw-with');
    expect(await text('#model-name', /Trained here/)).toMatch(/^Trained here, 50 steps/);
    expect(await drawn()).toMatch(/^10 images/);

    const folder = folderOf({ ...unzipSync(bytes), [name]: bytes });
    const images = await Promise.all([0, 9].map((i) => pixels('gallery', i)));
    await drop(`${folder}/${name}`);
    await text('#model-name', /^aim-step-00000050\.zip · /);
    await drawn();
    expect(await Promise.all([0, 9].map((i) => pixels('gallery', i)))).toEqual(images);

    const out = `${folder}/drawn.png`;
    const drawing = ['generate', `${folder}/step-00000050`, '--seed', '1', '--device', 'wasm', '--out', out];
    const { status, stderr } = spawnSync(process.execPath, [`${root}dist/cli.js`, ...drawing], { encoding: 'utf8' });
    expect(status, stderr).toBe(0);
    const sheet = decodePng(readFileSync(out));
    // Five columns and two rows of 32 pixels, with gaps of 2.
    expect([sheet.width, sheet.height]).toEqual([168, 66]);
    expect(stderr).toMatch(/10 images in/);
  });

  it('continues a paused run from its checkpoint with the same result as without the pause', async () => {
    const weights = async () => {
      const { bytes } = await downloaded(() => page.click('#download'));
      const files = Object.entries(unzipSync(bytes)).map(([path, data]) => [path.split('/')[1]!, data] as const);
      const saved = await openCheckpointFolder(fileListOf(Object.fromEntries(files)));
      const tensors: Record<string, Float32Array> = {};
      for (const part of ['model', 'optimizer'] as const)
        for await (const { name, data } of saved.tensors(part)) tensors[`${part} ${name}`] = data;
      return { step: saved.state.step, tensors };
    };
    await visit('?tab=train&device=wasm&steps=60&batch=8');
    await page.click('#start');
    await text('#figure-step', /^\d+ of 60/);
    await page.click('#start');
    const paused = await text('#train-status', /Paused/);
    const at = Number(/\d+/.exec(paused)![0]);
    expect(at).toBeLessThan(60);
    expect(await page.locator('#figure-step').textContent()).toBe(`${at} of 60`);
    expect(await page.locator('#samples .step').first().textContent()).toBe(String(at));
    expect(await page.locator('#figure-left').textContent()).toBe('–');
    expect(await page.locator('#train-rate').textContent()).toBe('');
    await expect.poll(() => page.locator('#chart svg').getAttribute('aria-label')).toContain(`after ${at} steps`);
    expect(await points()).toBe(at);
    const { name, bytes } = await downloaded(() => page.click('#download'));
    expect(name).toBe(`aim-step-${String(at).padStart(8, '0')}.zip`);
    await page.click('#start');
    await finished();
    await expect.poll(points).toBe(60);
    const whole = await weights();
    expect(whole.step).toBe(60);

    await page.reload();
    await page.setInputFiles('#open-zip', { name: 'run.zip', mimeType: 'application/zip', buffer: Buffer.from(bytes) });
    await finished();
    expect(await page.locator('#samples .step').last().textContent()).toBe(String(at));
    const resumed = await weights();
    expect(resumed.step).toBe(60);
    expect(Object.keys(resumed.tensors)).toEqual(Object.keys(whole.tensors));
    for (const [name, data] of Object.entries(whole.tensors)) expect(resumed.tensors[name], name).toEqual(data);
  });

  it('does not show a run as finished that is paused before its last step', async () => {
    await visit('?tab=train&device=wasm&steps=2&batch=8');
    // Pause at once, while the samples before the first step are drawn.
    await page.evaluate(() => {
      const start = document.querySelector<HTMLButtonElement>('#start')!;
      new MutationObserver((_, observer) => {
        if (start.textContent !== 'Pause') return;
        observer.disconnect();
        start.click();
      }).observe(start, { childList: true });
    });
    await page.click('#start');
    expect(await text('#train-status', /Paused|Finished/)).toBe('Paused after 1 step');
    expect(await page.locator('#figure-step').textContent()).toBe('1 of 2');
    expect(await page.locator('#figure-held').textContent()).toBe('–');
    await page.click('#start');
    expect(await finished()).toBe('Finished after 2 steps');
    expect(Number(await page.locator('#figure-held').textContent())).toBeGreaterThan(1);
    await expect.poll(points).toBe(2);
  });

  it('offers the checkpoint of an ended run until the next start', async () => {
    await visit('?tab=train&device=wasm&steps=1000&batch=8');
    await page.click('#start');
    await text('#figure-step', /^\d+ of 1,000/);
    await page.click('#stop-training');
    const ended = await text('#train-status', /Ended/);
    const at = Number(/^Ended after (\d+) steps?; its checkpoint can be downloaded until the next start$/.exec(ended)![1]);
    expect(await page.locator('#figure-step').textContent()).toBe(`${at} of 1,000`);
    expect(await page.locator('#figure-left').textContent()).toBe('–');
    expect(await page.locator('#train-rate').textContent()).toBe('');
    expect(await page.locator('#stop-training').isVisible()).toBe(false);
    const { name } = await downloaded(() => page.click('#download'));
    expect(name).toBe(`aim-step-${String(at).padStart(8, '0')}.zip`);
    await page.locator('#training [name=steps]').fill('2');
    await page.click('#start');
    expect(await page.locator('#download').isVisible()).toBe(false);
    expect(await finished()).toBe('Finished after 2 steps');
  });

  it('continues a finished checkpoint for the steps of the form, and shows its options there', async () => {
    await visit('?tab=train&device=wasm&steps=5&batch=8&rate=0.003');
    await page.click('#start');
    await finished();
    const { name, bytes } = await downloaded(() => page.click('#download'));
    const folder = folderOf({ [name]: bytes });
    await page.goto(`${site.url}/user/studio/?tab=train&device=wasm&size=small&steps=4&batch=32`);
    await drop(`${folder}/${name}`);
    expect(await finished()).toBe('Finished after 9 steps');
    expect(await page.locator('#figure-step').textContent()).toBe('9 of 9');
    await expect.poll(points).toBe(4);
    expect(await page.locator('#samples .step').last().textContent()).toBe('5');
    expect(await Promise.all(['steps', 'batch', 'rate'].map(value))).toEqual(['4', '8', '0.003']);
    expect(await page.locator('[name=size]:checked').inputValue()).toBe('tiny');
  });

  it('asks for the data of a checkpoint that was trained on other data', async () => {
    // As many classes as the built-in data, so that only the names differ.
    const image = (light: number) => png(32, 32, (x, y) => grey((x + y) % 8 < 4 ? light : 0)(x, y));
    const images = Object.fromEntries(
      Array.from({ length: 20 }, (_, i) => [`${'abcdefghij'[i % 10]}/${i}.png`, image(60 + 10 * i)]),
    );
    const [folder, other] = [folderOf(images), folderOf({ 'a/0.png': image(9), 'a/1.png': image(8), 'b/0.png': image(7) })];
    await visit('?tab=train&device=wasm&steps=2&batch=4&tokenizer=open');
    await drop(folder);
    await text('#folder-name', /20 files/);
    await page.click('#start');
    await finished();
    const { name, bytes } = await downloaded(() => page.click('#download'));
    const zip = folderOf({ [name]: bytes });

    await page.goto(`${site.url}/user/studio/?tab=train&device=wasm&steps=3`);
    await drop(`${zip}/${name}`);
    expect(await text('#train-status.error', /./)).toMatch(/^This run was trained on another data set\.Details/);
    expect(await page.locator('#train-status details span').textContent()).toBe(
      'This run was trained on another data set: 10 classes (a, b, c, …), in images of 32×32 pixels; ' +
        'Fashion-MNIST has 10 classes (T-shirt/top, Trouser, Pullover, …). Choose the folder of its images to continue.',
    );
    expect(await page.locator('#announcer').textContent()).toMatch(/another data set/);
    const choose = async (folder: string) => {
      expect(await page.evaluate(() => document.activeElement?.id)).toBe('open-data');
      // Chromium ignores the key as long as it takes the last dialog for open, which may be a moment after its files were set.
      const chooser = await vi.waitUntil(
        async () => {
          const opened = page.waitForEvent('filechooser', { timeout: 3000 }).catch(() => undefined);
          await page.keyboard.press('Enter');
          return opened;
        },
        { timeout: 120_000 },
      );
      await chooser.setFiles(folder);
    };
    await choose(other);
    expect(await text('#train-status.error', /folder chosen/)).toMatch(/the folder chosen has 2 classes \(a, b\)\. Choose/);
    await choose(folder);
    expect(await finished()).toBe('Finished after 5 steps');
    expect(await text('#data-caption', /images/)).toMatch(/10 images of 10 classes, 10 held out/);
    expect(await page.locator('[name=data]:checked').inputValue()).toBe('folder');
  });

  it('trains a tokenizer on pictures in colour and then a model, and continues both from their checkpoints', async () => {
    const colour = (i: number, red: boolean) =>
      png(32, 32, (x, y) => [red ? 200 + 5 * i : x, (x + y + i) % 8 < 4 ? 160 : 0, red ? y : 250]);
    const pictures = Object.fromEntries(
      Array.from({ length: 8 }, (_, i) => [`${i % 2 ? 'red' : 'blue'}/${i}.png`, colour(i, i % 2 > 0)]),
    );
    const folder = folderOf(pictures);
    const stateIn = (bytes: Uint8Array) => {
      const files = unzipSync(bytes);
      const [path] = Object.keys(files).filter((name) => name.endsWith('state.json'));
      return JSON.parse(new TextDecoder().decode(files[path!])) as { step: number; options: { stage: string; steps: number } };
    };
    await visit('?tab=train&device=wasm&data=folder&tokenizer-steps=50&steps=2&batch=4');
    await drop(folder);
    await text('#data-caption', /^Your pictures as squares of 32×32 pixels, in colour/);
    await page.click('#start');
    expect(await text('#train-status', /^Training the tokenizer/)).toMatch(/then the model · 1\.4 M parameters · WebAssembly/);
    await text('#figure-step', /^\d+ of 50/);
    expect(await page.locator('#draw-with').isVisible()).toBe(false);
    await page.click('#start');
    const at = Number(/^Paused after (\d+) steps? of the tokenizer$/.exec(await text('#train-status', /Paused/))![1]);
    const tokenizer = await downloaded(() => page.click('#download'));
    expect(tokenizer.name).toBe(`aim-tokenizer-step-${String(at).padStart(8, '0')}.zip`);
    expect(stateIn(tokenizer.bytes)).toMatchObject({ step: at, options: { stage: 'tokenizer', steps: 50 } });
    const zip = folderOf({ [tokenizer.name]: tokenizer.bytes });

    // In another visit: the checkpoint needs its pictures, and goes on where it was.
    await page.goto(`${site.url}/user/studio/?tab=train&device=wasm&steps=2&batch=4`);
    await drop(`${zip}/${tokenizer.name}`);
    expect(await text('#train-status.error', /tokenizer/)).toMatch(
      /^This checkpoint is a tokenizer in training, on pictures of 2 classes \(blue, red\)/,
    );
    await page.setInputFiles('#open-data', folder);
    await text('#train-status', /^Training the tokenizer/);
    const steps = async () => Number(/^\d+/.exec(await text('#figure-step', /^\d+ of 50/))![0]);
    await vi.waitUntil(async () => (await steps()) > at, { timeout: PATIENCE });
    expect(await page.locator('#samples .step').last().textContent()).toBe(String(at));
    await page.click('#stop-training');
    expect(await text('#train-status', /Ended/)).toMatch(
      /^Ended after \d+ steps of the tokenizer; its checkpoint can be downloaded until the next start$/,
    );
    // An ended tokenizer is not lost.
    await page.click('#to-model');
    expect(await finished()).toBe('Finished after 2 steps');
    expect(await text('#data-caption', /^Your pictures, and below/)).toMatch(/6 images of 2 classes, 2 held out$/);
    const strips = await page.evaluate(() =>
      [...document.querySelectorAll<HTMLCanvasElement>('#data-strip canvas')].map((canvas) => [
        ...canvas.getContext('2d')!.getImageData(1, 1, 1, 1).data,
      ]),
    );
    expect(strips).toHaveLength(2);
    // The first picture is blue.
    expect(strips[0]![2]! - strips[0]![0]!).toBeGreaterThan(200);
    const { name, bytes } = await downloaded(() => page.click('#download'));
    expect(name).toBe('aim-step-00000002.zip');
    expect(stateIn(bytes)).toMatchObject({ step: 2, options: { stage: 'model' } });
    const aim = await AiM.fromPretrained(fileListOf(unzipSync(bytes), 'zip'), { device: 'wasm' });
    expect([aim.config.image_size, aim.config.vocab_size, aim.config.d_model, aim.classes]).toEqual([
      32,
      1024,
      64,
      ['blue', 'red'],
    ]);
    await aim.dispose();
    const model = folderOf({ [name]: bytes });
    await page.locator('#training [name=steps]').fill('1');
    await drop(`${model}/${name}`);
    expect(await text('#train-status', /3 steps|Details/)).toBe('Finished after 3 steps');
  });

  it('trains on a folder of images, and says what is wrong with a folder', async () => {
    const image = (i: number, light: number) => png(40, 40, (x, y) => grey((x + y + i) % 8 < 4 ? light : 0)(x, y));
    const many = (name: string, light: number) =>
      Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`${name}/${i}.png`, image(i, light)]));
    await visit('?tab=train&device=wasm&steps=3&batch=8&data=folder&tokenizer=open');
    await page.click('#start');
    expect(await text('#train-status', /folder/)).toMatch(/^Choose a folder first/);

    await page.setInputFiles('#open-data', folderOf({ 'a.png': image(0, 255) }));
    await page.click('#start');
    expect(await text('#train-status', /sub-folder per class/)).toMatch(/1 image lies in aim-data/);

    await page.setInputFiles(
      '#open-data',
      folderOf({ ...many('bright', 255), ...many('dim', 90), 'dim/broken.png': 'no image' }),
    );
    await page.click('#start');
    await finished();
    expect(await text('#data-caption', /images/)).toMatch(/\d+ images of 2 classes, 2 held out; 1 files? could not be read/);

    await page.setInputFiles('#open-zip', { name: 'run.zip', mimeType: 'application/zip', buffer: Buffer.from('nothing') });
    expect(await text('#train-status', /unpacked/)).toMatch(/^run\.zip cannot be unpacked/);
  });
});

describe('Inspect', () => {
  it('shows the sizes of the model and draws with both ways of counting positions', async () => {
    await visit('?tab=inspect&device=wasm&compare-class=8&compare-seed=3');
    expect(await text('#inspect-total', /parameters/)).toMatch(
      /^5,878,571 parameters in 272 tensors: 4\.8 M in the model, 1\.1 M/,
    );
    const sizes = (await page.locator('#parts td:nth-child(2)').allTextContents()).map((t) => Number(t.replaceAll(',', '')));
    expect(sizes.reduce((a, b) => a + b, 0)).toBe(5_878_571);
    expect(sizes.every((n) => n > 0)).toBe(true);
    expect(await page.locator('#config').innerText()).toMatch(/Mamba-2[\s\S]*d_model\s+256[\s\S]*64 \(8×8\)/);
    expect(await text('#features', /In use/)).toMatch(/WebAssembly.*WebGPU adapter.*swiftshader/i);
    expect(await text('#compare-empty', /./)).toMatch(/six images of the class/);
    await page.click('#compare-draw');
    expect(await page.locator('#compare-empty').isVisible()).toBe(false);
    await text('#compare-status', /Six images each/);
    const sides = await Promise.all(['trained', 'authors'].map((side) => pixels(`side-${side}`, 0)));
    expect(sides[0]).not.toEqual(sides[1]);
    const aim = await AiM.fromPretrained(MODEL, { device: 'wasm' });
    for (const [i, positions] of (['trained', 'authors'] as const).entries()) {
      const { images } = await aim.generate({ classes: 8, seed: 3, cfgScale: 1.5, positions });
      expect(sides[i]).toEqual([...images[0]!.toRGBA()]);
    }
    await aim.dispose();
  });
});

describe('The page', () => {
  it('fits a phone', async () => {
    await visit('?tab=train&device=wasm&count=3&show=end');
    await text('#device', /WebAssembly/);
    for (const width of [320, 390]) {
      await page.setViewportSize({ width, height: 800 });
      for (const tab of ['Generate', 'Train', 'Inspect']) {
        await page.getByRole('tab', { name: tab }).click();
        expect(await page.evaluate(() => document.documentElement.scrollWidth), `${tab} at ${width}`).toBe(width);
      }
    }
    await page.getByRole('tab', { name: 'Generate' }).click();
    await drawn();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
    const top = (await page.locator('#gallery .tile').first().boundingBox())!;
    const button = (await page.locator('#draw').boundingBox())!;
    expect(top.y).toBeLessThan(400);
    expect(button.y + button.height).toBeLessThanOrEqual(800);
  });

  it('follows the colour scheme of the system, with enough contrast in both', async () => {
    await visit('?device=wasm&count=1&show=end');
    await drawn();
    const papers: string[] = [];
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      const { paper, contrasts } = await page.evaluate(() => {
        const rgb = (colour: string) => colour.match(/[\d.]+/g)!.map(Number);
        const light = (colour: string) => {
          const [r, g, b] = rgb(colour).map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
          return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
        };
        const background = (e: Element | null): string => {
          if (!e) return 'rgb(255, 255, 255)';
          const own = getComputedStyle(e).backgroundColor;
          return rgb(own)[3] === 0 ? background(e.parentElement) : own;
        };
        const contrast = (selector: string) => {
          const e = document.querySelector(selector)!;
          const [a, b] = [light(getComputedStyle(e).color), light(background(e))].sort((x, y) => y - x);
          return [selector, Math.round(((a! + 0.05) / (b! + 0.05)) * 10) / 10] as const;
        };
        const selectors = [
          'h1 span',
          '[role=tab][aria-selected=false]',
          '#device',
          '#draw',
          '#rate',
          '.hint',
          '.lead',
          '.way-choice:not(:checked) + .way-name',
          '.help',
          '.caption small',
          'footer p',
        ];
        return { paper: getComputedStyle(document.body).backgroundColor, contrasts: selectors.map(contrast) };
      });
      papers.push(paper);
      for (const [selector, contrast] of contrasts) expect(contrast, `${selector}, ${colorScheme}`).toBeGreaterThanOrEqual(4.5);
    }
    expect(papers[0]).not.toBe(papers[1]);
  });

  it('has a name for every control', async () => {
    await visit('?device=wasm&count=1&show=end');
    await drawn();
    for (const tab of ['Generate', 'Train', 'Inspect']) {
      await page.getByRole('tab', { name: tab }).click();
      const nameless = await page.evaluate(() =>
        [...document.querySelectorAll<HTMLInputElement>('input, select, button, progress')]
          .filter((e) => !(e.ariaLabel || e.labels?.[0]?.textContent?.trim() || e.textContent?.trim()))
          .map((e) => e.outerHTML),
      );
      expect(nameless).toEqual([]);
    }
    expect(await page.locator('#announcer').getAttribute('aria-live')).toBe('polite');
  });
});

describe('The server', () => {
  /** Starts a server in its own process and resolves to its address. */
  async function started(args: string[]): Promise<{ url: string; kill: () => void }> {
    const server = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
    const url = await new Promise<string>((resolve, reject) => {
      server.stdout.on('data', (chunk) => {
        const found = /http:\S+/.exec(String(chunk));
        if (found) resolve(found[0]);
      });
      server.on('exit', (code) => reject(new Error(`it ended with ${code}`)));
    });
    return { url, kill: () => server.kill() };
  }

  it('npm run studio serves the page, isolated so that WASM can use threads', async () => {
    const { url, kill } = await started(['scripts/studio.mjs', '--port', '0']);
    try {
      expect((await fetch(`${url}fashion-mnist/model.safetensors`, { method: 'HEAD' })).headers.get('content-length')).toBe(
        '11786534',
      );
      await visit('?device=wasm&count=1&show=end', url);
      await drawn();
      expect(await page.evaluate('crossOriginIsolated')).toBe(true);
    } finally {
      kill();
    }
  });

  it('npm run studio explains its options', () => {
    const studio = (...args: string[]) =>
      spawnSync(process.execPath, ['scripts/studio.mjs', ...args], { cwd: root, encoding: 'utf8' });
    const { status, stdout } = studio('--help');
    expect([status, stdout]).toEqual([0, expect.stringMatching(/--port N[\s\S]*--build/)]);
    const wrong = studio('--colour');
    expect([wrong.status, wrong.stderr]).toEqual([2, expect.stringMatching(/--colour[\s\S]*--port N/)]);
  });

  it('survives requests that it cannot answer, and serves nothing from outside its folder', async () => {
    const folder = folderOf({ 'site/index.html': 'the page', 'site/sub/a.txt': 'a', 'secret.txt': 'secret' });
    // A file that can be opened but not read.
    const hasUnreadable = process.platform === 'linux';
    if (hasUnreadable) symlinkSync('/proc/self/mem', `${folder}/site/unreadable`);
    const script = `import { serveStudio } from './scripts/studio.mjs';
      console.log((await serveStudio(${JSON.stringify(`${folder}/site`)}, 0)).url);`;
    const { url, kill } = await started(['--input-type=module', '--eval', script]);
    /** The status and text for a path exactly as given; `fetch` would normalize it. */
    const ask = (path: string, method = 'GET') =>
      new Promise<string>((resolve) => {
        const asked = request(url, { path, method }, (answer) => {
          let body = '';
          answer.on('data', (part) => {
            body += part;
          });
          answer.on('end', () => resolve(`${answer.statusCode} ${body.trim()}`));
          answer.on('error', ({ message }) => resolve(message));
        });
        asked.on('error', ({ message }) => resolve(message));
        asked.end();
      });
    try {
      for (const path of ['/%zz', '/%', '/%c0%af', '//', '/%00', '/a%00b']) expect(await ask(path), path).toBe('400 bad address');
      const outside = [
        '/../secret.txt',
        '/%2e%2e/secret.txt',
        '/..%2fsecret.txt',
        '/sub/..%2f..%2fsecret.txt',
        '/sub/../../secret.txt',
      ];
      for (const path of [...outside, '/..%5csecret.txt', '/nothing', '/sub', '/sub/', '/index.html/x', `/${'x'.repeat(5000)}`])
        expect(await ask(path), path).toBe('404 not found');
      if (hasUnreadable) expect(await ask('/unreadable')).toMatch(/aborted|hang up/);
      expect(await ask('/')).toBe('200 the page');
      expect(await ask('/sub/a.txt')).toBe('200 a');
      for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE'])
        expect(await ask('/', method), method).toBe('405 method not allowed');
      expect(await ask('/', 'HEAD')).toBe('200 ');
      const { headers } = await fetch(url);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('content-security-policy')).toMatch(/default-src 'none'.*frame-ancestors 'none'/);
    } finally {
      kill();
    }
  });
});

/** What the studio's Generate tab draws besides images of classes, in Chromium on WASM. */
import { fileURLToPath } from 'node:url';
import { AiM } from 'aim-js';
import { decode as decodePng } from 'fast-png';
import { expect, it } from 'vitest';
import { png } from '../data/data_folders.js';
import { downloaded, drawn, errors, page, pixels, search, site, text, useStudio, visit } from './studio_page.js';

const MODEL = fileURLToPath(new URL('../../models/fashion-mnist', import.meta.url));

useStudio();

const parameters = async () => Object.fromEntries(new URLSearchParams(await search()));

it('draws a strip between two classes and two seeds in one row, and one class at several guidance values', async () => {
  await visit('?device=wasm&show=end&way=between&class=5&to-class=9&seed=7&to-seed=8&strip=3&scales=2,1');
  await drawn();
  const aim = await AiM.fromPretrained(MODEL, { device: 'wasm' });
  const shares = [0, 0.5, 1];
  const strip = await aim.generate({
    classes: shares.map((at) => ({ from: 5, to: 9, at })),
    seed: shares.map((at) => ({ from: 7, to: 8, at })),
    cfgScale: 1.5,
  });
  for (const i of [0, 1, 2]) expect(await pixels('gallery', i)).toEqual([...strip.images[i]!.toRGBA()]);
  expect(await text('.ends', /./)).toBe('Sandal seed 7Ankle boot seed 8');
  expect(await page.locator('#gallery .caption small').allTextContents()).toEqual(['0%', '50%', '100%']);
  await page.setViewportSize({ width: 320, height: 700 });
  const tops = await page.locator('#gallery .tile').evaluateAll((tiles) => tiles.map((t) => t.getBoundingClientRect().top));
  expect(new Set(tops).size).toBe(1);
  const one = await downloaded(() => page.locator('#gallery .tile').nth(1).click());
  expect(one.name).toBe('sandal-seed-7-to-ankle-boot-seed-8-50.png');
  const all = await downloaded(() => page.click('#save-all'));
  const { width, height } = decodePng(all.bytes);
  expect([all.name, width, height]).toEqual(['aim-strip.png', 3 * 34 - 2, 32]);
  // The link is all that another visitor needs.
  expect(await parameters()).toMatchObject({
    way: 'between',
    class: '5',
    'to-class': '9',
    seed: '7',
    'to-seed': '8',
    strip: '3',
  });
  await page.locator('[name=to-seed]').fill('');
  await page.locator('[name=to-class]').selectOption({ label: 'Sandal' });
  await page.click('#draw');
  expect(await text('#status.error', /./)).toMatch(/^Both ends are the same/);

  await page.locator('[name=way][value=guidance]').check();
  await text('#gallery small', /^1$/);
  expect(await drawn()).toMatch(/^2 images/);
  for (const [i, cfgScale] of [1, 2].entries()) {
    const { images } = await aim.generate({ classes: 5, seed: 7, cfgScale });
    expect(await pixels('gallery', i)).toEqual([...images[0]!.toRGBA()]);
  }
  await aim.dispose();
  await page.getByRole('button', { name: 'Take guidance 2' }).press('Enter');
  expect(await page.locator('[name=guidance]').inputValue()).toBe('2');
  expect(await page.locator('#gallery [aria-pressed=true]').getAttribute('aria-label')).toBe('Take guidance 2');
  expect(await parameters()).toMatchObject({ way: 'guidance', class: '5', guidance: '2', scales: '2,1' });
  await page.locator('[name=scales]').fill('1, x');
  await page.click('#draw');
  expect(await text('#status.error', /./)).toMatch(/^Give up to 8 guidance values from 0 to 8/);
});

it('continues a drawing, by the pen or from a picture, with grey and colour models', async () => {
  // The link holds the drawing: a white stroke of width 16 from (16, 16) to (48, 16), in 64ths of the side.
  const link = '?device=wasm&show=end&way=drawing&classes=8&count=2&rows=8&drawing=QfffQQwQ';
  await visit(link);
  await text('#pad-words', /grey pictures only/);
  expect(await drawn()).toMatch(/^2 images/);
  expect(await search()).toBe(link);
  const on = (column: number, row: number) =>
    page.evaluate(
      ([a, b]) => {
        const canvas = document.querySelector<HTMLCanvasElement>('#pad-canvas')!;
        return canvas.getContext('2d')!.getImageData(a! * canvas.width, b! * canvas.width, 1, 1).data[0]!;
      },
      [column, row],
    );
  expect([await on(0.5, 0.25), await on(0.5, 0.8)]).toEqual([255, 0]);
  // With all rows kept, every image is the drawing as the tokenizer has it.
  await page.locator('#pad-figure').waitFor();
  const seen = await pixels('pad-figure', 0);
  expect(await pixels('gallery', 1)).toEqual(seen);
  expect(seen[4 * (8 * 32 + 16)]).toBeGreaterThan(200);
  expect(seen[4 * (28 * 32 + 16)]).toBeLessThan(50);

  await page.click('#pad-clear');
  await page.click('#draw');
  expect(await text('#status.error', /./)).toMatch(/^The pad is empty/);
  await page.locator('#pen-width').fill('16');
  await page.locator('#pad-canvas').scrollIntoViewIfNeeded();
  const { x, y, width } = (await page.locator('#pad-canvas').boundingBox())!;
  const stroke = async (...places: [number, number][]) => {
    const [[left, top], ...rest] = places.map(([a, b]) => [x + a * width, y + b * width]) as [number, number][];
    await page.mouse.move(left!, top!);
    await page.mouse.down();
    for (const [a, b] of rest) await page.mouse.move(a, b);
    await page.mouse.up();
  };
  await stroke([0.25, 0.25], [0.75, 0.25]);
  const one = await parameters();
  expect(one.drawing).toMatch(/^QfffQQ.*wQ$/);
  await stroke([0.5, 0.8]);
  await page.keyboard.press('Control+z');
  expect(await parameters()).toEqual(one);
  expect([await on(0.5, 0.25), await on(0.5, 0.8)]).toEqual([255, 0]);
  await page.locator('[name=rows]').fill('4');
  await page.click('#draw');
  await drawn();
  expect(await pixels('gallery', 0)).not.toEqual(await pixels('gallery', 1));

  // A dark square on white, which this model knows as a light one on black.
  const far = (column: number, row: number) => Math.max(Math.abs(column - 16), Math.abs(row - 16));
  const dark = png(32, 32, (column, row) => (far(column, row) < 8 ? [0, 0, 0] : [255, 255, 255]));
  await page.setInputFiles('#pad-picture', { name: 'dark.png', mimeType: 'image/png', buffer: Buffer.from(dark) });
  await page.waitForFunction(() => !location.search.includes('drawing='));
  expect([await on(0.5, 0.5), await on(0.05, 0.05)]).toEqual([255, 0]);
  await page.selectOption('[name=paper]', 'fff');
  expect([await on(0.5, 0.5), await on(0.05, 0.05)]).toEqual([0, 255]);
  // A dropped picture comes here while the pad is open.
  await page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(['nothing'], 'no.png'));
    document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
  });
  expect(await text('#pad-status.error', /./)).toBe('no.png is not a picture that this browser can read.');

  // A model of other sizes, in colour.
  await page.locator('#address').fill(`${site.url}/fixtures/mamba2-adaln/`);
  await page.press('#address', 'Enter');
  await text('#model-name', /mamba2-adaln/);
  // It has no names of classes.
  expect(errors.splice(0).every((error) => error.includes('404'))).toBe(true);
  await page.getByRole('button', { name: 'Red' }).click();
  await page.getByLabel('Another colour').fill('#a03070');
  expect(await page.locator('[name=rows]').getAttribute('max')).toBe('4');
  await page.click('#pad-clear');
  await page.click('#pad-example');
  expect((await parameters()).drawing).toMatch(/^Ma37/);
  await page.click('#draw');
  expect(await drawn()).toMatch(/^2 images/);

  for (const size of [320, 1280]) {
    await page.setViewportSize({ width: size, height: 800 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth), String(size)).toBe(size);
  }
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll<HTMLInputElement>('#generate input, #generate select, #generate button')]
      .filter((e) => !(e.ariaLabel || e.labels?.[0]?.textContent?.trim() || e.textContent?.trim()))
      .map((e) => e.outerHTML),
  );
  expect(nameless).toEqual([]);
});

it("opens on the emoji model with that model's settings, and takes those of the next model unless the visitor has changed them", async () => {
  await visit('?device=wasm&count=1&show=end&model=emoji');
  await drawn();
  expect(await text('#model-name', /./)).toMatch(/^Emoji, built in/);
  expect(await page.locator('#chips [aria-pressed=true]').count()).toBe(10);
  const aim = await AiM.fromPretrained(fileURLToPath(new URL('../../models/emoji', import.meta.url)), { device: 'wasm' });
  const { images } = await aim.generate({ classes: ['clock'], seed: 1 });
  const { cfgScale = 1.5, topP = 1, temperature = 1, topK = 0 } = aim.sampling;
  await aim.dispose();
  expect(await pixels('gallery', 0)).toEqual([...images[0]!.toRGBA()]);
  const settings = () =>
    Promise.all(['guidance', 'top-p', 'temperature', 'top-k'].map((name) => page.locator(`[name=${name}]`).inputValue()));
  expect((await settings()).map(Number)).toEqual([cfgScale, topP, temperature, topK]);
  expect(Object.keys(await parameters()).sort()).toEqual(['count', 'device', 'show']);

  await page.locator('[name=temperature]').fill('0.9');
  await page.getByRole('button', { name: /^Fashion-MNIST/ }).click();
  await text('#model-name', /^Fashion-MNIST, built in/);
  await drawn();
  expect((await settings()).map(Number)).toEqual([1.5, 1, 0.9, 0]);
  expect(await page.evaluate(() => location.search)).toContain('model=fashion-mnist');
  expect(await parameters()).toMatchObject({ temperature: '0.9' });
});

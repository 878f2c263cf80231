import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { encode as encodePng } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { IoError, OptionError } from '../../src/core/errors.js';
import { uniform } from '../../src/core/random.js';
import { describeImages, imageBatch } from '../../src/data/dataset.js';
import { openFolder } from '../../src/data/image_folder.js';
import { jitterColours } from '../../src/data/jitter.js';
import { openData } from '../../src/data/open.js';
import { orientation, upright } from '../../src/io/images/exif.js';
import { decodeJpeg } from '../../src/io/images/jpeg.js';
import { resize } from '../../src/io/resize.js';
import { type Files, fileListOf, folderOf, grey, jpg, oriented, png } from './data_folders.js';

const evalMode = { kind: 'eval' } as const;
const trainMode = (seed: number) => {
  let n = 0;
  return { kind: 'train' as const, random: () => uniform(seed, 'image', 0, n++) };
};
const mean = (a: Float32Array) => a.reduce((s, v) => s + v, 0) / a.length;
const all = { size: 16, holdout: 0 };

const twoClasses: Files = {
  'b-dog/1.png': png(40, 30, grey(200)),
  'a-cat/2.JPG': jpg(30, 40, grey(50)),
  'a-cat/1.png': png(18, 18, grey(100)),
  '.hidden/x.png': 'no image',
  'a-cat/.DS_Store': 'x',
  'readme.txt': 'x',
};

describe('openFolder', () => {
  it.each(['disk', 'File objects'])('lists classes and images in order (%s)', async (where) => {
    const { train: data, eval: held } = await openFolder(where === 'disk' ? folderOf(twoClasses) : fileListOf(twoClasses), all);
    expect(held).toBeUndefined();
    expect(data.classes).toEqual(['a-cat', 'b-dog']);
    expect([0, 1, 2].map((i) => data.label(i))).toEqual([0, 0, 1]);
    const batch = await imageBatch(data, [0, 1, 2], () => evalMode);
    expect(batch.length).toBe(3 * 16 * 16 * 3);
    [100, 50, 200].forEach((v, i) => {
      const image = batch.subarray(i * 768, (i + 1) * 768);
      for (const x of image) expect(Math.abs(x - (v / 127.5 - 1))).toBeLessThan(2 / 127.5);
    });
    expect(data.skipped).toEqual([]);
  });

  it('crops the centre for evaluation and anywhere for training, and mirrors', async () => {
    // 18×18 is 1.125 × 16 already: each pixel value identifies its position.
    const dir = folderOf({ 'a/1.png': png(18, 36, (x, y) => [x * 10, y * 5, 0]) });
    const byte = (v: number) => Math.round((v + 1) * 127.5);
    const corner = (image: Float32Array) => [byte(image[0]!) / 10, byte(image[1]!) / 5];
    const { train: plain } = await openFolder(dir, all);
    expect(corner(await plain.image(0, evalMode))).toEqual([1, 10]);
    const seen = new Set<string>();
    for (let s = 0; s < 200; s++) seen.add(corner(await plain.image(0, trainMode(s))).join());
    expect(seen.size).toBeGreaterThan(40);
    for (const at of seen) {
      const [x, y] = at.split(',').map(Number) as [number, number];
      expect(x >= 0 && x <= 2 && y >= 0 && y <= 20).toBe(true);
    }
    expect(await plain.image(0, trainMode(5))).toEqual(await plain.image(0, trainMode(5)));
    const { train: flipped } = await openFolder(dir, { ...all, flip: true });
    let mirrored = 0;
    for (let s = 0; s < 100; s++) {
      const image = await flipped.image(0, trainMode(s));
      if (image[0]! > image[45]!) mirrored++;
    }
    expect(mirrored).toBeGreaterThan(25);
    expect(mirrored).toBeLessThan(75);
    expect(await flipped.image(0, evalMode)).toEqual(await plain.image(0, evalMode));
  });

  it('changes brightness, contrast and saturation of training images alone, by their random numbers', async () => {
    const dir = folderOf({ 'a/1.png': png(18, 18, (x, y) => [x * 10, y * 10, 90]) });
    const { train: plain } = await openFolder(dir, all);
    const { train } = await openFolder(dir, { ...all, jitter: 0.4 });
    expect(await train.image(0, evalMode)).toEqual(await plain.image(0, evalMode));
    const seen = await Promise.all([1, 2, 1].map((seed) => train.image(0, trainMode(seed))));
    expect(seen[2]).toEqual(seen[0]);
    expect(seen[1]).not.toEqual(seen[0]);
    for (const v of seen[0]!) expect(v >= -1 && v <= 1).toBe(true);
    expect(await train.fingerprint!()).not.toBe(await plain.fingerprint!());
    // The same crop, and within it factors of 1 + 0.5 · (2 · 0.9 − 1) = 1.4 and so on, by hand.
    const of = (...numbers: number[]) => jitterColours(Float32Array.of(-0.8, -0.6, -0.4, 0, 0, 0), 0.5, () => numbers.shift()!);
    const near = (got: Float32Array, want: number[]) => {
      expect(got.length).toBe(want.length);
      for (const [i, v] of want.entries()) expect(got[i]).toBeCloseTo(v, 5);
    };
    near(of(0.5, 0.5, 0.5), [-0.8, -0.6, -0.4, 0, 0, 0]);
    near(of(0.9, 0.5, 0.5), [-0.72, -0.44, -0.16, 0.4, 0.4, 0.4]);
    const grey = 0.299 * 0.1 + 0.587 * 0.2 + 0.114 * 0.3;
    const mean = (grey + 0.5) / 2;
    near(
      of(0.5, 0.9, 0.5),
      [0.1, 0.2, 0.3, 0.5, 0.5, 0.5].map((v) => 2 * (mean + 1.4 * (v - mean)) - 1),
    );
    near(
      of(0.5, 0.5, 0.9),
      [0.1, 0.2, 0.3, 0.5, 0.5, 0.5].map((v, i) => 2 * (i < 3 ? grey + 1.4 * (v - grey) : v) - 1),
    );
    near(of(1, 0.5, 0.5).subarray(3), [0.5, 0.5, 0.5]);
  });

  it('holds out a fixed share of each class', async () => {
    const files: Files = {};
    for (let i = 0; i < 40; i++) files[`a/${i}.png`] = files[`b/${i}.png`] = png(2, 2, grey(i));
    files['c/only.png'] = png(2, 2, grey(9));
    const first = await openFolder(fileListOf(files), { size: 2, holdout: 0.1 });
    expect([first.train.length, first.eval!.length]).toEqual([73, 8]);
    const labels = Array.from({ length: 8 }, (_, i) => first.eval!.label(i));
    expect(labels).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
    const held = async (list: Files) => {
      const { eval: data } = await openFolder(fileListOf(list), { size: 2, holdout: 0.1 });
      const values = [];
      for (let i = 0; i < data!.length; i++) values.push(`${data!.label(i)} ${(await data!.image(i, evalMode))[0]}`);
      return values;
    };
    const before = await held(files);
    const after = await held({ ...files, 'a/new.png': png(2, 2, grey(99)) });
    expect(after.filter((v) => before.includes(v)).length).toBeGreaterThanOrEqual(7);
    for (const holdout of [1, -0.1, Number.NaN])
      await expect(openFolder(fileListOf(files), { size: 2, holdout })).rejects.toThrow(OptionError);
  });

  it('accepts a single class and mentions it in the description', async () => {
    const { train } = await openFolder(folderOf({ 'cat/1.png': png(4, 4, grey(0)) }), all);
    expect(describeImages(train)).toBe('1 image of 1 class (cat), so every image has the same label');
  });

  it('refuses folders without classes or images and says what to do', async () => {
    const refused: [Files, RegExp][] = [
      [{}, /has no sub-folders; put the images into one sub-folder per class/],
      [{ '1.png': png(2, 2, grey(0)), '2.png': png(2, 2, grey(0)) }, /2 images lie in .* itself; put the images into/],
      [{ 'a/readme.txt': 'x' }, /a has no AVIF, .*JPEG.* PNG.* images; add some/],
      [{ 'a/1.png': png(2, 2, grey(0)), 'b/.keep': '' }, /b has no AVIF.*JPEG.*PNG.* images/],
      [{ 'train/a/1.png': png(2, 2, grey(0)) }, /train holds folders .* pass .*train instead/],
    ];
    for (const [files, message] of refused) {
      const error = await openFolder(folderOf(files), all).catch((e) => e);
      expect(error).toBeInstanceOf(IoError);
      expect(error.message).toMatch(message);
    }
    await expect(openFolder('/nonexistent', all)).rejects.toThrow(/there is no folder \/nonexistent/);
    await expect(openFolder(5 as never, all)).rejects.toThrow(OptionError);
  });

  it.each(['val', 'valid', 'validation', 'test'])('takes train and %s as training and held-out images', async (held) => {
    const image = (v: number) => png(16, 16, grey(v));
    const files: Files = {
      'train/a/1.png': image(10),
      'train/b/1.png': image(20),
      'train/b/2.png': image(30),
      [`${held}/a/1.png`]: image(40),
      [`${held}/b/1.png`]: image(50),
      [`${held}/readme.txt`]: 'x',
      'other/x.txt': '',
    };
    for (const source of [folderOf(files), fileListOf(files)]) {
      const { train, eval: heldOut } = await openFolder(source, { size: 16 });
      expect([train.classes, heldOut!.classes]).toEqual([
        ['a', 'b'],
        ['a', 'b'],
      ]);
      expect([train.length, heldOut!.length]).toEqual([3, 2]);
      expect(mean(await heldOut!.image(1, evalMode))).toBeCloseTo(50 / 127.5 - 1, 2);
      expect([train.label(2), heldOut!.label(1)]).toEqual([1, 1]);
      const data = await openData(source, { size: 16 });
      expect(data.kind === 'folder' && data.eval?.length).toBe(2);
    }
    await expect(openData(folderOf(files), { size: 16, holdout: 0.1 })).rejects.toThrow(
      /held-out images in the folder .*leave it out/,
    );
    const without = { ...files, 'train/c/1.png': image(1) };
    await expect(openFolder(folderOf(without), { size: 16 })).rejects.toThrow(/class c in one of its folders .*, and not in/);
    const more = { ...files, [`${held}/d/1.png`]: image(1) };
    await expect(openFolder(folderOf(more), { size: 16 })).rejects.toThrow(/class d in one .* not in train; both need the same/);
    await expect(openFolder(folderOf({ ...files, 'train/a/1.png': 'x', 'train/e/x.txt': '' }), { size: 16 })).rejects.toThrow(
      /train\/e has no .* images/,
    );
  });

  it('takes train and test as classes if they contain images directly', async () => {
    const files = { 'train/1.png': png(4, 4, grey(1)), 'test/1.png': png(4, 4, grey(2)) };
    expect((await openFolder(folderOf(files), all)).train.classes).toEqual(['test', 'train']);
  });

  it('has a fingerprint that depends on names, sizes and cropping', async () => {
    const of = async (files: Files, options: object = {}) =>
      (await openFolder(folderOf(files), { ...all, ...options })).train.fingerprint!();
    const same = await of(twoClasses);
    expect(await of({ ...twoClasses })).toBe(same);
    expect(await (await openFolder(fileListOf(twoClasses), all)).train.fingerprint!()).toBe(same);
    const other = [
      await of({ ...twoClasses, 'a-cat/3.png': png(18, 18, grey(100)) }),
      await of({ ...twoClasses, 'a-cat/1.png': png(19, 18, (x, y) => [x * y, x, y]) }),
      await of(twoClasses, { size: 8 }),
      await of(twoClasses, { flip: true }),
    ];
    expect(new Set([same, ...other]).size).toBe(5);
  });

  it('names unreadable images and replaces them by others', async () => {
    const good = png(20, 20, (x, y) => [x, y, 7]);
    const photo = jpg(64, 64, (x, y) => [x * 4, y * 4, (x * y) & 255]);
    const badCrc = Uint8Array.from(good);
    badCrc[good.length - 20]! ^= 0x55;
    const files: Files = {
      'a/0-cut.jpg': photo.subarray(0, photo.length / 2),
      'a/1-good.png': png(20, 20, grey(10)),
      'a/2-crc.png': badCrc,
      'a/3-empty.png': '',
      'a/4-text.jpg': 'hello, I am no JPEG',
      'a/5-noise.jpg': Uint8Array.from([0xff, 0xd8, 0xff, ...Array.from({ length: 500 }, (_, i) => (i * 37) & 255)]),
      'a/6-cut.png': good.subarray(0, good.length - 30),
      'a/7-thin.png': png(1, 40, grey(1)),
      'a/8-jpeg-named.png': jpg(20, 20, grey(30)),
      'a/notes.txt': 'x',
      'a/sub/1.png': good,
      'b/bad.png': 'bad',
    };
    const dir = folderOf(files);
    const { train: data } = await openFolder(dir, all);
    expect(data.length).toBe(10);
    expect(data.skipped.map((s) => s.name)).toEqual(['a/notes.txt', 'a/sub']);
    const values = [];
    for (let i = 0; i < data.length; i++) values.push(Math.round((mean(await data.image(i, evalMode)) + 1) * 127.5));
    // Image 1 replaces 0, and 8 replaces 2 to 7. Class b has no readable image and takes the next of any class.
    expect(values).toEqual([10, 10, 30, 30, 30, 30, 30, 30, 30, 10]);
    const bad = data.skipped.slice(2).map((s) => s.name);
    expect(bad.sort()).toEqual(
      [
        'a/0-cut.jpg',
        'a/2-crc.png',
        'a/3-empty.png',
        'a/4-text.jpg',
        'a/5-noise.jpg',
        'a/6-cut.png',
        'a/7-thin.png',
        'b/bad.png',
      ].sort(),
    );
    for (const { name, reason } of data.skipped.slice(2)) {
      expect(reason).toContain(name);
      expect(reason).toMatch(/\.$/);
    }
    expect(await data.tryImage(0, evalMode)).toBeUndefined();
    expect(data.skipped.length).toBe(10);
  });

  it('composites transparency, leaves excluded folders out and names formats that it does not read', async () => {
    const picture = (name: string) => new Uint8Array(readFileSync(new URL(`../fixtures/images/${name}`, import.meta.url)));
    const clear = encodePng({ width: 4, height: 4, data: new Uint8Array(64).fill(0), depth: 8, channels: 4 });
    const dir = folderOf({
      'a/1.png': clear,
      'a/2.webp': picture('lossless.webp'),
      'a/3.gif': picture('interlaced.gif'),
      'a/4.avif': picture('still.avif'),
      'a/5.heic': '',
      'run/x.txt': '',
      'old/latest': 'step-00000001',
    });
    const corner = async (options: object) => {
      const { train } = await openFolder(dir, { ...all, exclude: ['run'], ...options });
      expect(train.classes).toEqual(['a']);
      expect(train.skipped).toMatchObject([
        { name: 'a/5.heic', reason: 'not a AVIF, BMP, GIF, JPEG, PNG or WebP file' },
        { name: 'old', reason: 'a run of training, not a class' },
      ]);
      return [...(await train.image(0, evalMode)).subarray(0, 3)];
    };
    expect(await corner({})).toEqual([1, 1, 1]);
    const { train } = await openFolder(dir, { ...all, exclude: ['run'] });
    expect(train.length).toBe(4);
    for (const i of [1, 2, 3]) expect(await train.tryImage(i, evalMode)).toBeDefined();
    expect(await corner({ background: [0, 255, 0] })).toEqual([-1, 1, -1]);
    await expect(corner({ maxPixels: 15 })).rejects.toThrow(/has 40×36 pixels/);
    await expect(corner({ background: [0, 0, -1] })).rejects.toThrow(OptionError);
  });

  it('skips a named pipe instead of waiting for it', async ({ skip }) => {
    if (process.platform === 'win32') return skip('Windows has no mkfifo');
    const dir = folderOf({ 'a/1.png': png(4, 4, grey(9)) });
    execFileSync('mkfifo', [`${dir}/a/2.png`]);
    const { train } = await openFolder(dir, all);
    expect(await train.tryImage(1, evalMode)).toBeUndefined();
    expect(train.skipped[0]!.reason).toMatch(/2\.png is a named pipe, not a regular file/);
  });

  it('is an error if no image is readable', async () => {
    const { train } = await openFolder(folderOf({ 'a/1.png': 'x', 'a/2.png': 'y' }), all);
    await expect(train.image(0, evalMode)).rejects.toThrow(/none of the 2 images can be read \(a\/2.png: .*pass other images/);
  });

  it('stops when aborted', async () => {
    const { train } = await openFolder(folderOf(twoClasses), all);
    const abort = new AbortController();
    abort.abort(new Error('enough'));
    await expect(imageBatch(train, [0], () => evalMode, { signal: abort.signal })).rejects.toThrow('enough');
  });
});

describe('resize', () => {
  it('leaves images of one colour unchanged', () => {
    const flat = { width: 37, height: 23, data: new Uint8Array(37 * 23 * 3).fill(77) };
    for (const [w, h] of [
      [10, 10],
      [100, 64],
      [37, 5],
      [1, 1],
    ] as const)
      expect(new Set(resize(flat, w, h).data)).toEqual(new Set([77]));
  });

  it('averages when it shrinks and interpolates when it enlarges', () => {
    // One-pixel stripes shrunk: grey, not black or white.
    const stripes = {
      width: 64,
      height: 4,
      data: Uint8Array.from({ length: 64 * 4 * 3 }, (_, i) => (Math.floor(i / 3) % 2) * 255),
    };
    for (const v of resize(stripes, 16, 4).data.subarray(6, 40)) expect(Math.abs(v - 127.5)).toBeLessThan(4);
    const ramp = { width: 2, height: 1, data: Uint8Array.of(0, 0, 0, 100, 100, 100) };
    expect([...resize(ramp, 4, 1).data.filter((_, i) => i % 3 === 0)]).toEqual([0, 25, 75, 100]);
  });
});

describe('JPEG', () => {
  it('decodes files of jpeg-js and of other encoders', async () => {
    const image = await decodeJpeg(jpg(9, 5, (x, y) => [x * 20, y * 40, 128], 100));
    expect([image.width, image.height]).toEqual([9, 5]);
    expect(Math.abs(image.data[(4 * 9 + 8) * 3]! - 160)).toBeLessThan(16);
  });

  it('applies the EXIF orientation', async () => {
    // Stored 3×2: a b c / d e f
    const stored = { width: 3, height: 2, data: Uint8Array.from([...'abcdef'].flatMap((c) => [c.charCodeAt(0), 0, 0])) };
    const want = ['abc/def', 'cba/fed', 'fed/cba', 'def/abc', 'ad/be/cf', 'da/eb/fc', 'fc/eb/da', 'cf/be/ad'];
    want.forEach((text, i) => {
      const { width, data } = upright(stored, i + 1);
      const letters = String.fromCharCode(...data.filter((_, k) => k % 3 === 0));
      expect(letters.replace(new RegExp(`(.{${width}})(?=.)`, 'g'), '$1/')).toBe(text);
    });
    for (const little of [true, false]) {
      const image = await decodeJpeg(
        oriented(
          jpg(16, 8, (x) => (x < 8 ? [255, 255, 255] : [0, 0, 0])),
          6,
          little,
        ),
      );
      expect([image.width, image.height]).toEqual([8, 16]);
      expect(image.data[0]).toBeGreaterThan(200);
      expect(image.data.at(-1)).toBeLessThan(50);
    }
    for (const bad of [
      undefined,
      new Uint8Array(),
      new Uint8Array(40),
      Uint8Array.of(0, 0x4d, 0x4d, 0, 42, 0xff, 0xff, 0xff, 0xff),
    ])
      expect(orientation(bad)).toBe(1);
  });

  it('names a damaged file', async () => {
    await expect(decodeJpeg(readFileSync(import.meta.filename), 'x.jpg')).rejects.toThrow(/x\.jpg is a damaged JPEG file: .*\.$/);
  });
});

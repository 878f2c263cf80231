import { existsSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { IoError, OptionError } from '../../src/core/errors.js';
import { openIdx, openIdxSplits } from '../../src/data/idx.js';
import { FASHION_MNIST, fileListOf, folderOf, idx, idxSet, NO_FASHION_MNIST } from './data_folders.js';

const train = { split: 'train', size: 6 } as const;
const evalMode = { kind: 'eval' } as const;

describe('openIdx', () => {
  it('reads plain and gzipped files, pads images and names classes by their numbers', async () => {
    const files = { ...idxSet(7), ...idxSet(4, 't10k') };
    const name = 'train-images-idx3-ubyte';
    const zipped = { ...files, [`${name}.gz`]: gzipSync(files[name]!) };
    delete (zipped as Record<string, unknown>)[name];
    for (const source of [folderOf(files), folderOf(zipped), fileListOf(zipped)]) {
      const { train: data, eval: held } = await openIdxSplits(source, { size: 6 });
      expect([data.length, held!.length, data.size, data.augments]).toEqual([7, 4, 6, false]);
      expect(data.classes).toEqual(['0', '1', '2']);
      expect([0, 1, 2, 3].map((i) => data.label(i))).toEqual([0, 1, 2, 0]);
      const image = await data.image(5, evalMode);
      expect(image.length).toBe(6 * 6 * 3);
      expect(image[0]).toBe(-1);
      expect([...image.slice((1 * 6 + 1) * 3, (1 * 6 + 1) * 3 + 3)]).toEqual(new Array(3).fill(Math.fround(5 / 127.5 - 1)));
    }
  });

  it('has no held-out split without t10k files', async () => {
    expect((await openIdxSplits(folderOf(idxSet(3)), { size: 4 })).eval).toBeUndefined();
  });

  const images = 'train-images-idx3-ubyte';
  const labels = 'train-labels-idx1-ubyte';
  const good = idxSet(5);
  const cases: [string, Record<string, Uint8Array | undefined>, RegExp, new (m: string) => Error][] = [
    ['wrong magic', { [images]: idx([5, 4, 4], new Uint8Array(80), 0x0d03) }, /magic 0xd03, expected 0x803/, IoError],
    ['labels as images', { [images]: good[labels] as Uint8Array }, /images-idx3-ubyte is no IDX file of rank 3/, IoError],
    ['wrong count', { [images]: idx([6, 4, 4], new Uint8Array(80)) }, /6×4×4 = 96 bytes, the file holds 80/, IoError],
    ['cut in the header', { [images]: new Uint8Array([0, 0, 8, 3, 0]) }, /cut or damaged/, IoError],
    ['empty file', { [images]: new Uint8Array() }, /no IDX file/, IoError],
    ['too few labels', { [labels]: idx([4], new Uint8Array(4)) }, /5 images and 4 labels/, IoError],
    ['no images', { [images]: idx([0, 4, 4], []), [labels]: idx([0], []) }, /there are no images/, IoError],
    ['no labels file', { [labels]: undefined }, /neither .*train-labels-idx1-ubyte nor/, IoError],
    [
      'damaged gzip',
      { [images]: undefined, [`${images}.gz`]: gzipSync(good[images]!).subarray(0, 30) },
      /no readable gzip/,
      IoError,
    ],
    ['too large', { [images]: idx([5, 8, 8], new Uint8Array(320)) }, /images are 8×8, the tokenizer takes 6×6/, OptionError],
  ];
  it.each(cases)('refuses %s', async (_, change, message, kind) => {
    const files = Object.fromEntries(Object.entries({ ...good, ...change }).filter(([, data]) => data)) as typeof good;
    const error = await openIdx(folderOf(files), train).catch((e) => e);
    expect(error).toBeInstanceOf(kind);
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/\.$|\?$/);
  });

  it('inflates no more of a .gz file than its header announces', async () => {
    const bomb = gzipSync(Buffer.concat([good[images] as Uint8Array, Buffer.alloc(300e6)]));
    const huge = gzipSync(idx([2 ** 16, 2 ** 16, 2], []));
    const before = process.memoryUsage().rss;
    for (const [bytes, message] of [
      [bomb, /5×4×4 = 80 bytes, the file holds more; it is cut or damaged/],
      [huge, /asks for 8589934608 bytes, more than the 4 GiB allowed/],
    ] as const)
      await expect(openIdx(folderOf({ [labels]: good[labels]!, [`${images}.gz`]: bytes }), train)).rejects.toThrow(message);
    expect(process.memoryUsage().rss - before).toBeLessThan(100e6);
  });

  it('refuses too few names', async () => {
    await expect(openIdx(folderOf(good), { ...train, classes: ['a', 'b'] })).rejects.toThrow(
      /label 2 has no name among the 2 classes/,
    );
  });

  it('reads Fashion-MNIST', async (ctx) => {
    if (!existsSync(FASHION_MNIST)) return ctx.skip(NO_FASHION_MNIST);
    const data = await openIdx(FASHION_MNIST, { split: 'test', size: 32 });
    expect([data.length, data.classes.length]).toEqual([10000, 10]);
    expect([data.label(0), data.label(1), data.label(9999)]).toEqual([9, 2, 5]);
    const image = await data.image(0, evalMode);
    // 28×28 in the middle of 32×32: a black frame of 2 pixels.
    const row = (y: number) => image.subarray(y * 96, (y + 1) * 96);
    for (const y of [0, 1, 30, 31]) expect(row(y).every((v) => v === -1)).toBe(true);
    expect(image.some((v) => v > 0.5)).toBe(true);
  });
});

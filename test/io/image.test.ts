import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { decode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { CheckpointError, IoError, OptionError, ShapeError } from '../../src/core/errors.js';
import { AimImage, imageGrid } from '../../src/io/image.js';
import { decodePng } from '../../src/io/images/png.js';
import { crc32, failure } from './helpers.js';

const image = (width: number, height: number, values: ArrayLike<number>) =>
  new AimImage({ width, height, data: Float32Array.from(values), label: 3, seed: 7 });

describe('AimImage', () => {
  it('all 256 byte values survive the conversion to floats and back', () => {
    const bytes = Array.from({ length: 256 * 3 }, (_, i) => i % 256);
    expect([
      ...image(
        16,
        16,
        bytes.map((b) => b / 127.5 - 1),
      ).toRGB(),
    ]).toEqual(bytes);
  });

  it('rounds and clamps', () => {
    const values = [-1.5, -1, -0.9999, 0, 0.9999, 1, 1.5, -Infinity, Infinity, 0.5, -0.5, 1 / 255];
    const want = [0, 0, 0, 128, 255, 255, 255, 0, 255, 191, 64, 128];
    const got = image(2, 2, values);
    expect([...got.toRGB()]).toEqual(want);
    expect([...got.toRGBA()]).toEqual(want.flatMap((b, i) => (i % 3 === 2 ? [b, 255] : [b])));
    expect([got.label, got.seed]).toEqual([3, 7]);
  });

  it('refuses NaN, naming the pixel', async () => {
    const broken = image(3, 2, [...Array(13).fill(0), Number.NaN, 0, 0, 0, 0]);
    for (const convert of [() => broken.toRGB(), () => broken.toRGBA()]) {
      expect(convert).toThrow(CheckpointError);
      expect(convert).toThrow(/NaN at pixel \(1, 1\)/);
    }
    expect(await failure(broken.toPNG())).toBeInstanceOf(CheckpointError);
  });

  it('refuses data of another size', () => {
    expect(() => image(2, 2, [1, 2, 3])).toThrow(ShapeError);
    expect(() => image(0, 2, [])).toThrow(/0×2 pixels/);
  });

  it('toImageData needs ImageData', () => {
    const one = image(1, 1, [1, 0, -1]);
    expect(() => one.toImageData()).toThrow(OptionError);
    expect(() => one.toImageData()).toThrow(/use toRGBA\(\) or toPNG\(\)/);
    class Fake {
      constructor(
        readonly data: Uint8ClampedArray,
        readonly width: number,
        readonly height: number,
      ) {}
    }
    Object.assign(globalThis, { ImageData: Fake });
    try {
      expect(one.toImageData()).toEqual(new Fake(new Uint8ClampedArray([255, 128, 0, 255]), 1, 1));
    } finally {
      delete (globalThis as { ImageData?: unknown }).ImageData;
    }
  });

  it('an encoded PNG decodes to the same bytes', async () => {
    const one = image(
      5,
      3,
      Array.from({ length: 45 }, (_, i) => Math.sin(i * 12.9)),
    );
    const png = await one.toPNG();
    const { width, height, depth, channels, data } = decode(png, { checkCrc: true });
    expect([width, height, depth, channels]).toEqual([5, 3, 8, 3]);
    expect([...data]).toEqual([...one.toRGB()]);
    expect(await decodePng(png)).toEqual({ width: 5, height: 3, data: one.toRGB() });
  });
});

describe('grid', () => {
  const flat = (v: number) => image(2, 1, Array(6).fill(v));
  /** The red bytes, by row. */
  const rows = (g: AimImage) =>
    Array.from({ length: g.height }, (_, y) => Array.from({ length: g.width }, (_, x) => g.toRGB()[(y * g.width + x) * 3]!));

  it('places images in reading order with gaps', () => {
    const got = imageGrid([flat(-1), flat(0), flat(1)], 2, 1, [-0.5, 0, 0]);
    expect(rows(got)).toEqual([
      [0, 0, 64, 128, 128],
      [64, 64, 64, 64, 64],
      [255, 255, 64, 64, 64],
    ]);
  });

  it('is no wider than necessary and white between images', () => {
    const one = imageGrid([flat(0)], 8);
    expect([one.width, one.height]).toEqual([2, 1]);
    expect(rows(imageGrid([flat(0), flat(0)], 1, 1))).toEqual([
      [128, 128],
      [255, 255],
      [128, 128],
    ]);
  });

  it('refuses options that define no grid', () => {
    expect(() => imageGrid([], 2)).toThrow(OptionError);
    expect(() => imageGrid([flat(0)], 0)).toThrow(/columns is 0/);
    expect(() => imageGrid([flat(0)], 1, -1)).toThrow(/gap is -1/);
    expect(() => imageGrid([flat(0), image(1, 1, [0, 0, 0])], 2)).toThrow(/image 1 of the grid is 1×1 and the first 2×1/);
  });
});

/** A PNG from raw lines, each with its filter byte, for kinds and filters that encoders here do not write. */
function png(
  width: number,
  height: number,
  depth: number,
  kind: number,
  raw: Uint8Array,
  extra: [string, number[]][] = [],
  interlace = 0,
) {
  const chunk = (type: string, data: Uint8Array) => {
    const out = Buffer.alloc(12 + data.length);
    out.writeUInt32BE(data.length, 0);
    out.write(type, 4, 'latin1');
    out.set(data, 8);
    out.writeUInt32BE(crc32(out.subarray(4, 8 + data.length)), 8 + data.length);
    return out;
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([depth, kind, 0, 0, interlace], 8);
  const chunks = extra.map(([type, data]) => chunk(type, Uint8Array.from(data)));
  const parts = [chunk('IHDR', head), ...chunks, chunk('IDAT', deflateSync(raw)), chunk('IEND', new Uint8Array(0))];
  return new Uint8Array(Buffer.concat([Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]), ...parts]));
}

const grey = (...values: number[]) => values.flatMap((v) => [v, v, v]);

describe('decodePng', () => {
  const cases: [string, Uint8Array, number, number, number[]][] = [
    [
      'grey 1',
      png(10, 2, 1, 0, Uint8Array.of(0, 0b10110000, 0b01000000, 0, 1, 0x80)),
      10,
      2,
      grey(255, 0, 255, 255, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0),
    ],
    ['grey 2', png(5, 1, 2, 0, Uint8Array.of(0, 0b00011011, 0b10000000)), 5, 1, grey(0, 85, 170, 255, 170)],
    ['grey 4', png(3, 1, 4, 0, Uint8Array.of(0, 0x0f, 0x80)), 3, 1, grey(0, 255, 136)],
    ['grey 8', png(2, 2, 8, 0, Uint8Array.of(0, 1, 2, 2, 3, 4)), 2, 2, grey(1, 2, 4, 6)],
    ['grey 16', png(3, 1, 16, 0, Uint8Array.of(0, 0, 200, 255, 255, 128, 0)), 3, 1, grey(1, 255, 128)],
    ['grey with alpha 8', png(2, 1, 8, 4, Uint8Array.of(1, 10, 255, 5, 1)), 2, 1, grey(10, 255)],
    ['grey with alpha 16', png(1, 1, 16, 4, Uint8Array.of(0, 255, 255, 0, 0)), 1, 1, grey(255)],
    [
      'palette 1',
      png(3, 1, 1, 3, Uint8Array.of(0, 0b01000000), [['PLTE', [1, 2, 3, 4, 5, 6]]]),
      3,
      1,
      [1, 2, 3, 4, 5, 6, 1, 2, 3],
    ],
    [
      'palette 8 with tRNS',
      png(2, 1, 8, 3, Uint8Array.of(0, 1, 0), [
        ['PLTE', [1, 2, 3, 4, 5, 6]],
        ['tRNS', [0]],
      ]),
      2,
      1,
      [4, 5, 6, 255, 255, 255],
    ],
    [
      'RGB 8, average and Paeth',
      png(2, 2, 8, 2, Uint8Array.of(3, 10, 20, 30, 1, 1, 1, 4, 1, 1, 1, 2, 2, 2)),
      2,
      2,
      [10, 20, 30, 6, 11, 16, 11, 21, 31, 8, 13, 18],
    ],
    ['RGB 16', png(1, 1, 16, 2, Uint8Array.of(0, 255, 255, 0, 0, 128, 128)), 1, 1, [255, 0, 128]],
    ['RGBA 8', png(2, 1, 8, 6, Uint8Array.of(0, 1, 2, 3, 0, 100, 0, 255, 51)), 2, 1, [255, 255, 255, 224, 204, 255]],
    ['grey 8 with a transparent value', png(3, 1, 8, 0, Uint8Array.of(0, 7, 8, 9), [['tRNS', [0, 8]]]), 3, 1, grey(7, 255, 9)],
    [
      'RGB 8 with a transparent colour',
      png(2, 1, 8, 2, Uint8Array.of(0, 1, 2, 3, 1, 2, 4), [['tRNS', [0, 1, 0, 2, 0, 3]]]),
      2,
      1,
      [255, 255, 255, 1, 2, 4],
    ],
    ['RGBA 16', png(1, 1, 16, 6, Uint8Array.of(0, 255, 255, 0, 0, 128, 128, 255, 255)), 1, 1, [255, 0, 128]],
    ['RGB 8, interlaced', png(2, 1, 8, 2, Uint8Array.of(0, 1, 2, 3, 0, 4, 5, 6), [], 1), 2, 1, [1, 2, 3, 4, 5, 6]],
    [
      'grey 1, interlaced',
      png(3, 3, 1, 0, Uint8Array.of(0, 0x80, 0, 0x80, 0, 0xc0, 0, 0, 0, 0x40, 0, 0xa0), [], 1),
      3,
      3,
      grey(255, 0, 255, 255, 0, 255, 255, 0, 255).map((v) => v),
    ],
  ];
  it.each(cases)('%s', async (_, bytes, width, height, data) => {
    const got = await decodePng(bytes);
    expect([got.width, got.height, [...got.data]]).toEqual([width, height, data]);
  });

  const good = png(2, 2, 8, 2, new Uint8Array(14));
  const flipped = good.slice();
  flipped[45]! ^= 1;
  const huge = good.slice();
  new DataView(huge.buffer).setUint32(16, 2 ** 31 - 1);
  it.each<[string, Uint8Array, RegExp]>([
    ['nothing', new Uint8Array(0), /^x\.png is not a PNG file/],
    ['a JPEG', Uint8Array.of(255, 216, 255, 224, 0, 16, 74, 70), /^x\.png is not a PNG file; convert/],
    ['a cut header', good.slice(0, 20), /^x\.png is a damaged PNG file: it has no IHDR/],
    ['a cut body', good.slice(0, 50), /^x\.png is a damaged PNG file/],
    ['a flipped bit', flipped, /damaged PNG file/],
    ['an impossible size', huge, /damaged PNG file: \d+ bytes cannot hold 2147483647×2 pixels/],
    ['an empty size', png(0, 2, 8, 2, new Uint8Array(2)), /its size is 0×2/],
    ['too few lines', png(2, 9, 8, 2, new Uint8Array(14)), /damaged PNG file/],
    ['an unknown kind', png(1, 1, 8, 5, new Uint8Array(4)), /damaged PNG file: there is no colour type 5/],
    ['a bad depth', png(1, 1, 3, 0, new Uint8Array(4)), /damaged PNG file: colour type 0 has no depth of 3 bits/],
    [
      'a colour outside the palette',
      png(1, 1, 8, 3, Uint8Array.of(0, 2), [['PLTE', [1, 2, 3]]]),
      /colour 2 is not in the palette of 1/,
    ],
    ['a palette that is missing', png(1, 1, 8, 3, Uint8Array.of(0, 2)), /damaged PNG file: it has no palette/],
  ])('refuses %s', async (_, bytes, message) => {
    const error = await failure(decodePng(bytes, 'x.png'));
    expect(error).toBeInstanceOf(IoError);
    expect(error.message).toMatch(message);
  });

  it('3,000 damaged files each decode or throw IoError', async () => {
    const seeds = cases.map(([, bytes]) => bytes);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...seeds),
        fc.nat(),
        fc.integer({ min: 0, max: 255 }),
        fc.nat(),
        async (seed, at, value, cut) => {
          const bytes = seed.slice(0, cut % 3 === 0 ? cut % seed.length : seed.length);
          if (bytes.length) bytes[at % bytes.length] = value;
          try {
            const { width, height, data } = await decodePng(bytes);
            expect(data.length).toBe(width * height * 3);
          } catch (error) {
            expect(error).toBeInstanceOf(IoError);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});

import { readFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';
import jpegJs from 'jpeg-js';
import { describe, expect, it, vi } from 'vitest';
import { IoError, OptionError } from '../../src/core/errors.js';
import { upright } from '../../src/io/images/exif.js';
import {
  decodeImage,
  formatOfName,
  IMAGE_FORMATS,
  prepareFormats,
  readableFormats,
  writableExtensions,
} from '../../src/io/images/index.js';
import { decodeJpeg, jpeg } from '../../src/io/images/jpeg.js';
import { decodePng } from '../../src/io/images/png.js';
import { exifOf } from '../data/data_folders.js';
import { crc32, failure } from './helpers.js';

const file = (name: string) => new Uint8Array(readFileSync(new URL(`../fixtures/images/${name}`, import.meta.url)));
const text = (s: string) => Uint8Array.from(s, (c) => c.charCodeAt(0));
/** The pixel at shares of width and height. */
function pixel({ width, height, data }: { width: number; height: number; data: Uint8Array }, u: number, v: number): number[] {
  const at = (Math.floor(v * height) * width + Math.floor(u * width)) * 3;
  return [...data.subarray(at, at + 3)];
}

describe('the table of formats', () => {
  it('detects formats by name and by content, and names them in messages', async () => {
    expect(formatOfName('a/b.x/PHOTO.JPEG')?.name).toBe('JPEG');
    expect(formatOfName('a.png/b')).toBeUndefined();
    expect(formatOfName('png')).toBeUndefined();
    await prepareFormats();
    const readable = IMAGE_FORMATS.filter((f) => !f.unavailable?.()).map((f) => f.name);
    expect(readable).toEqual(expect.arrayContaining(['PNG', 'JPEG', 'BMP', 'GIF', 'WebP', 'AVIF']));
    expect(readableFormats()).toBe(`${readable.slice(0, -1).join(', ')} or ${readable.at(-1)}`);
    const endings = IMAGE_FORMATS.filter((f) => f.encode).map((f) => `.${f.extensions[0]}`);
    expect(endings).toEqual(expect.arrayContaining(['.png', '.jpg']));
    expect(writableExtensions()).toBe(`${endings.slice(0, -1).join(', ')} or ${endings.at(-1)}`);
    for (const { test, name } of IMAGE_FORMATS) expect([name, test(new Uint8Array(64))]).toEqual([name, false]);
    await expect(decodeImage(text('hello'), 'x.png')).rejects.toThrow(
      `x.png is not a ${readableFormats()} file; convert it to PNG`,
    );
    await expect(decodeImage(new Uint8Array(), 'x.png')).rejects.toThrow(/x\.png is empty/);
  });
});

/** Decodes an image of tests/fixtures, whose quarters have these colours. */
async function quarters(name: string, digits = -0.5): Promise<void> {
  const image = await decodeImage(file(name), name);
  for (const [u, v, ...colour] of [
    [0.08, 0.4, 220, 30, 30],
    [0.9, 0.45, 30, 200, 40],
    [0.1, 0.9, 40, 50, 210],
    [0.9, 0.9, 230, 220, 40],
  ])
    expect(pixel(image, u!, v!)).toEqual(colour.map((c) => expect.closeTo(c, digits)));
}

describe('images with defects that other programs accept are decoded', () => {
  it.each(['cmyk_noadobe.jpg', 'rgb_adobe0.jpg', 'iccp_bad.png', 'no_iend.png', 'palette4_adam7.png'])('%s', (name) =>
    quarters(name),
  );
});

describe('JPEG', () => {
  /** A JPEG of one colour without JFIF, with components by these identifiers and, if given, an Adobe marker. */
  function components(ids: string | number[], marker: number[]): Uint8Array {
    const data = new Uint8Array(8 * 8 * 4).fill(255);
    for (let i = 0; i < data.length; i += 4) data.set([220, 30, 40], i);
    const bytes = new Uint8Array(jpegJs.encode({ width: 8, height: 8, data }, 100).data);
    const named = typeof ids === 'string' ? [...text(ids)] : ids;
    // SOI, then jpeg-js' JFIF of 18 bytes.
    const rest = bytes.slice(20);
    const find = (marker: number) => rest.findIndex((b, i) => b === 0xff && rest[i + 1] === marker);
    named.forEach((id, i) => {
      rest[find(0xc0) + 10 + 3 * i] = id;
      rest[find(0xda) + 5 + 2 * i] = id;
    });
    return Uint8Array.from([0xff, 0xd8, ...marker, ...rest]);
  }
  const adobe = (transform: number) => [0xff, 0xee, 0, 14, ...text('Adobe'), 0, 100, 0, 0, 0, 0, transform];
  const jfif = [0xff, 0xe0, 0, 16, ...text('JFIF\0'), 1, 1, 0, 0, 1, 0, 1, 0, 0];
  // What libjpeg's default_decompress_parms makes of three components.
  it.each<[string, Uint8Array, boolean]>([
    ['without markers, 1 2 3', components([1, 2, 3], []), true],
    ['without markers, R G B', components('RGB', []), false],
    ['without markers, others', components([7, 8, 9], []), true],
    ['Adobe 0', components([1, 2, 3], adobe(0)), false],
    ['Adobe 1', components('RGB', adobe(1)), true],
    ['JFIF', components('RGB', jfif), true],
    ['JFIF and Adobe 0', components([1, 2, 3], [...jfif, ...adobe(0)]), true],
  ])('colour space: %s', async (_, bytes, converted) => {
    const [r, g, b] = pixel(await decodeJpeg(bytes), 0.5, 0.5) as [number, number, number];
    // The values stored are Y, Cb and Cr of (220, 30, 40).
    const stored = [0.299 * 220 + 0.587 * 30 + 0.114 * 40, 0.564 * (40 - 88) + 128, 0.713 * (220 - 88) + 128];
    const want = converted ? [220, 30, 40] : stored;
    [r, g, b].forEach((v, i) => {
      expect(Math.abs(v - want[i]!)).toBeLessThan(4);
    });
  });

  it('checks the limit on pixels by the header, before decoding', async () => {
    const bytes = components([1, 2, 3], []);
    const at = bytes.findIndex((b, i) => b === 0xff && bytes[i + 1] === 0xc0);
    const sized = (height: number, width: number, length = bytes.length) => {
      const out = new Uint8Array(length);
      out.set(bytes);
      out.set([height >> 8, height & 255, width >> 8, width & 255], at + 5);
      return out;
    };
    await expect(decodeJpeg(sized(10000, 9999), 'x.jpg')).rejects.toThrow(/x\.jpg is a damaged .* bytes cannot hold 9999×10000/);
    await expect(decodeJpeg(sized(10000, 9999, 4e6), 'x.jpg')).rejects.toThrow(
      /x\.jpg has 9999×10000 pixels, more than the 64 megapixels allowed/,
    );
    await expect(decodeJpeg(bytes, 'x.jpg', { maxPixels: 63 })).rejects.toThrow(/8×8 pixels/);
    expect((await decodeJpeg(bytes, 'x.jpg', { maxPixels: 64 })).width).toBe(8);
    await expect(decodeJpeg(bytes, 'x.jpg', { maxPixels: -1 })).rejects.toThrow(OptionError);
    const lossless = bytes.slice();
    lossless[at + 1] = 0xc3;
    await expect(decodeJpeg(lossless, 'x.jpg')).rejects.toThrow(/JPEG file of kind SOF3 .* save it as/);
    // A second header within the pixels, of 44,970×41,610 pixels: jpeg-js would fill the memory for minutes.
    const header = [0xff, 0xc2, 0, 0, 57, 0xaf, 0xea, 0xa2, 0x8a, 40];
    const second = Uint8Array.from([...bytes.subarray(0, -6), ...header, ...bytes.subarray(-6)]);
    await expect(decodeJpeg(second, 'x.jpg')).rejects.toThrow(/x\.jpg is a damaged JPEG file: it has two frame headers/);
  });

  it('says that jpeg-js is missing, not that the file is damaged', async () => {
    vi.doMock('jpeg-js', () => {
      throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' });
    });
    try {
      vi.resetModules();
      const { decodeJpeg: again } = await import('../../src/io/images/jpeg.js');
      await expect(again(file('rgb_adobe0.jpg'))).rejects.toThrow(/JPEG needs the package jpeg-js, which was not found/);
    } finally {
      vi.doUnmock('jpeg-js');
      vi.resetModules();
    }
  });

  it('decodes what it encodes', async () => {
    const image = await decodePng(file('no_iend.png'));
    const again = await decodeJpeg(await jpeg.encode!(image));
    expect([again.width, again.height]).toEqual([image.width, image.height]);
    const apart = again.data.reduce((sum, v, i) => sum + Math.abs(v - image.data[i]!), 0) / image.data.length;
    expect(apart).toBeLessThan(8);
  });
});

describe('PNG', () => {
  const chunk = (type: string, data: Uint8Array, sum?: number) => {
    const out = Buffer.alloc(12 + data.length);
    out.writeUInt32BE(data.length, 0);
    out.write(type, 4, 'latin1');
    out.set(data, 8);
    out.writeUInt32BE(sum ?? crc32(out.subarray(4, 8 + data.length)), 8 + data.length);
    return out;
  };
  const make = (raw: Uint8Array, ...extra: Buffer[]) => {
    const head = Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0]);
    const signature = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);
    const idat = chunk('IDAT', deflateSync(raw));
    return new Uint8Array(Buffer.concat([signature, chunk('IHDR', head), ...extra, idat, chunk('IEND', Buffer.alloc(0))]));
  };

  it('inflates no more than IHDR announces', async () => {
    const bomb = new Uint8Array(200e6);
    bomb.set([0, 1, 2, 3]);
    const bytes = make(bomb);
    const before = process.memoryUsage().rss;
    expect([...(await decodePng(bytes)).data]).toEqual([1, 2, 3]);
    expect(process.memoryUsage().rss - before).toBeLessThan(100e6);
  });

  it('ignores ancillary chunks, even damaged ones, and refuses unknown critical chunks', async () => {
    const raw = Uint8Array.of(0, 1, 2, 3);
    const broken = [
      chunk('tIME', new Uint8Array(7), 1),
      chunk('iCCP', Buffer.from(`${'x'.repeat(90)}\0`)),
      chunk('iCCP', Buffer.concat([Buffer.from('a\0\0'), deflateSync(Buffer.alloc(50e6))])),
      chunk('tRNS', Uint8Array.of(0, 1, 0, 2, 0, 3), 1),
      chunk('pHYs', new Uint8Array(1)),
    ];
    expect([...(await decodePng(make(raw, ...broken))).data]).toEqual([1, 2, 3]);
    await expect(decodePng(make(raw, chunk('ABCD', raw)))).rejects.toThrow(/needs a chunk "ABCD", which is unknown/);
  });

  it('composites transparency on a background', async () => {
    const raw = Uint8Array.of(0, 1, 2, 3);
    const bytes = make(raw, chunk('tRNS', Uint8Array.of(0, 1, 0, 2, 0, 3)));
    expect([...(await decodePng(bytes)).data]).toEqual([255, 255, 255]);
    expect([...(await decodePng(bytes, 'x', { background: [9, 8, 7] })).data]).toEqual([9, 8, 7]);
    await expect(decodePng(bytes, 'x', { background: [9, 8, 300] })).rejects.toThrow(OptionError);
    await expect(decodePng(bytes, 'x', { maxPixels: 0.5 })).rejects.toThrow(/x has 1×1 pixels/);
  });
});

describe('BMP', () => {
  function bmp(depth: number, height: number, rows: number[], { palette = [] as number[], masks = [] as number[] } = {}) {
    const start = 54 + palette.length + 4 * masks.length;
    const out = new DataView(new ArrayBuffer(start + rows.length));
    new Uint8Array(out.buffer).set([0x42, 0x4d]);
    out.setUint32(2, out.byteLength, true);
    out.setUint32(10, start, true);
    out.setUint32(14, 40, true);
    out.setInt32(18, 2, true);
    out.setInt32(22, height, true);
    out.setUint16(26, 1, true);
    out.setUint16(28, depth, true);
    out.setUint32(30, masks.length ? 3 : 0, true);
    masks.forEach((m, i) => {
      out.setUint32(54 + 4 * i, m, true);
    });
    new Uint8Array(out.buffer).set(palette, 54 + 4 * masks.length);
    new Uint8Array(out.buffer).set(rows, start);
    return new Uint8Array(out.buffer);
  }
  const rows24 = [3, 2, 1, 6, 5, 4, 0, 0, 9, 8, 7, 12, 11, 10, 0, 0];
  it.each<[string, Uint8Array, number[]]>([
    ['24 bits, upwards', bmp(24, 2, rows24), [7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6]],
    ['24 bits, downwards', bmp(24, -2, rows24), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]],
    ['32 bits', bmp(32, 1, [3, 2, 1, 0, 6, 5, 4, 0]), [1, 2, 3, 4, 5, 6]],
    ['16 bits', bmp(16, 1, [0xff, 0x7f, 0, 0x7c]), [255, 255, 255, 255, 0, 0]],
    ['16 bits by masks', bmp(16, 1, [0xe0, 0x07, 0x1f, 0], { masks: [0xf800, 0x7e0, 0x1f] }), [0, 255, 0, 0, 0, 255]],
    ['1 bit', bmp(1, 1, [0b01000000, 0, 0, 0], { palette: [1, 2, 3, 0, 4, 5, 6, 0] }), [3, 2, 1, 6, 5, 4]],
  ])('%s', async (_, bytes, want) => {
    expect([...(await decodeImage(bytes, 'x.bmp')).data]).toEqual(want);
  });

  it('refuses damaged, too large and compressed files', async () => {
    const good = bmp(24, 2, rows24);
    const runs = good.slice();
    runs[30] = 1;
    const refused: [Uint8Array, RegExp][] = [
      [good.subarray(0, 60), /x\.bmp is a damaged BMP file: 60 bytes cannot hold 2×2 pixels/],
      [bmp(8, 1, [0, 9, 0, 0], { palette: [1, 2, 3, 0] }), /colour 9 is not in its palette/],
      [bmp(24, 0, []), /its size is 2×0/],
      [bmp(24, 40e6, []), /2×40000000 pixels, more than the 64 megapixels/],
      [runs, /24 bits with compression 1, which cannot be read/],
    ];
    for (const [bytes, message] of refused) {
      const error = await failure(decodeImage(bytes, 'x.bmp'));
      expect(error).toBeInstanceOf(IoError);
      expect(error.message).toMatch(message);
    }
  });
});

describe('GIF', () => {
  interface Gif {
    screen?: [number, number];
    place?: [number, number];
    size?: [number, number];
    indices: number[];
    control?: number[];
    local?: number[];
    codes?: number[];
  }
  /** A GIF whose codes have 8 bits, so that a code is a byte: below 128 a colour, 128 clears, 129 ends. */
  function gif({ screen = [2, 2], place = [0, 0], size = [2, 2], indices, control = [], local = [], codes }: Gif): Uint8Array {
    const le = (...values: number[]) => values.flatMap((v) => [v & 255, v >> 8]);
    const data = codes ?? [128, ...indices, 129];
    const global = [10, 11, 12, 20, 21, 22, 30, 31, 32, 40, 41, 42];
    const flags = local.length ? 0x80 : 0;
    return Uint8Array.from([
      ...[...text('GIF89a'), ...le(...screen), 0x81, 0, 0, ...global, 0x21, 0xfe, 2, 65, 66, 0, ...control],
      ...[0x2c, ...le(...place, ...size), flags, ...local, 7, data.length, ...data, 0, 0x3b],
    ]);
  }

  it('decodes the first picture, with its own colours, at its place on the screen', async () => {
    await quarters('interlaced.gif');
    const rgb = async (file: Gif) => [...(await decodeImage(gif(file), 'x.gif', { background: [1, 2, 3] })).data];
    expect(await rgb({ indices: [0, 1, 2, 3] })).toEqual([10, 11, 12, 20, 21, 22, 30, 31, 32, 40, 41, 42]);
    // Colour 1 is transparent, and so is what the picture does not cover.
    const control = [0x21, 0xf9, 4, 1, 0, 0, 1, 0];
    const local = [50, 51, 52, 60, 61, 62];
    expect(await rgb({ screen: [3, 1], place: [1, 0], size: [2, 1], indices: [0, 1], control, local })).toEqual(
      [
        [1, 2, 3],
        [50, 51, 52],
        [1, 2, 3],
      ].flat(),
    );
    // A code that is defined by its own use: 0, then 00, then 1.
    expect(await rgb({ codes: [128, 0, 130, 1], indices: [] })).toEqual([10, 11, 12, 10, 11, 12, 10, 11, 12, 20, 21, 22]);
    // A screen that is too small for its picture.
    expect((await decodeImage(gif({ screen: [1, 1], indices: [0, 1, 2, 3] }), 'x.gif')).data.length).toBe(12);
  });

  it('refuses damaged and too large files', async () => {
    const good = gif({ indices: [0, 1, 2, 3] });
    const refused: [Uint8Array, RegExp][] = [
      [good.subarray(0, 12), /x\.gif is a damaged GIF file: it ends before its first picture does/],
      [good.subarray(0, 48), /it ends before its first picture does/],
      [Uint8Array.from([...good.subarray(0, 13), ...new Array(12).fill(0), 0x3b]), /it has no picture/],
      [gif({ indices: [0, 1, 2] }), /its picture has 4 pixels, of which 3 are there/],
      [gif({ indices: [0, 1, 2, 4] }), /colour 4 is not among its 4/],
      [gif({ codes: [128, 0, 140], indices: [] }), /the code 140 before it is defined/],
      [gif({ size: [0, 1], indices: [] }), /its picture is 0×1/],
      [gif({ size: [8000, 7000], indices: [0] }), /3 bytes cannot hold 56000000 pixels/],
      [gif({ screen: [8000, 9000], indices: [0] }), /8000×9000 pixels, more than the 64 megapixels/],
    ];
    for (const [bytes, message] of refused) {
      const error = await failure(decodeImage(bytes, 'x.gif'));
      expect(error).toBeInstanceOf(IoError);
      expect(error.message).toMatch(message);
    }
  });
});

describe('WebP and AVIF', () => {
  const riff = (...chunks: [string, ArrayLike<number>][]) => {
    const body = chunks.flatMap(([name, data]) => [
      ...text(name),
      ...le4(data.length),
      ...Array.from(data),
      ...(data.length % 2 ? [0] : []),
    ]);
    return Uint8Array.from([...text('RIFF'), ...le4(body.length + 4), ...text('WEBP'), ...body]);
  };
  const le4 = (value: number) => [value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24];
  const lossless = () => file('lossless.webp');

  it.each([
    ['lossless.webp', -0.5],
    ['lossy.webp', -0.5],
    ['still.avif', -0.7],
  ])('%s', async (name, digits) => {
    await quarters(name, digits);
    const { width, height } = await decodeImage(file(name), name);
    expect([width, height]).toEqual([40, 36]);
    expect(globalThis).not.toHaveProperty('ImageData');
  });

  it('applies the EXIF orientation of a WebP', async () => {
    const vp8l = lossless().subarray(20);
    const extended = (...more: [string, ArrayLike<number>][]) =>
      riff(['VP8X', [8, 0, 0, 0, 39, 0, 0, 35, 0, 0]], ['VP8L', vp8l], ...more);
    const { data } = await decodeImage(lossless(), 'x.webp');
    expect((await decodeImage(extended(), 'x.webp')).data).toEqual(data);
    for (const exif of [exifOf(3, true), exifOf(3, false).slice(6)]) {
      const turned = await decodeImage(extended(['EXIF', exif]), 'x.webp');
      expect(turned.data).toEqual(upright({ width: 40, height: 36, data }, 3).data);
    }
  });

  it('refuses damaged, too large and animated files, and what needs a package that is missing', async () => {
    const large = lossless();
    large.set([0xff, 0xff, 0xff, 0x0f], 21);
    const cut = lossless().subarray(0, 60);
    const avif = file('still.avif');
    const at = avif.findIndex((_, i) => String.fromCharCode(...avif.subarray(i, i + 4)) === 'ispe');
    avif.set([0, 1], at + 9);
    const refused: [Uint8Array, RegExp][] = [
      [large, /x has 16384×16384 pixels, more than the 64 megapixels allowed/],
      [avif, /x has \d{5}×36 pixels|x is a damaged AVIF file/],
      [cut, /x is a damaged WebP file: /],
      [file('still.avif').subarray(0, 300), /x is a damaged AVIF file: /],
      [lossless().subarray(0, 14), /x is a damaged WebP file: its header gives no size/],
      [riff(['VP8X', [2, 0, 0, 0, 39, 0, 0, 35, 0, 0]]), /x is an animation, which is read in browsers only; convert it to PNG/],
    ];
    for (const [bytes, message] of refused) {
      const error = await failure(decodeImage(bytes, 'x'));
      expect(error).toBeInstanceOf(IoError);
      expect(error.message).toMatch(message);
    }
    // A failure leaves the decoder usable.
    await quarters('lossless.webp');
    vi.doMock('../../src/platform/runtime.js', async (original) => ({ ...(await original<object>()), hasFiles: () => false }));
    try {
      vi.resetModules();
      const { decodeImage: again, readableFormats: readable } = await import('../../src/io/images/index.js');
      await expect(again(lossless(), 'x.webp')).rejects.toThrow(
        'x.webp: WebP needs the package @jsquash/webp, which was not found; run `npm install @jsquash/webp`, or convert it to PNG, e.g. `magick x.webp x.png`.',
      );
      expect(readable()).toBe('BMP, GIF, JPEG or PNG');
    } finally {
      vi.doUnmock('../../src/platform/runtime.js');
      vi.resetModules();
    }
  });
});

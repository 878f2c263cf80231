import { readFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';
import jpegJs from 'jpeg-js';
import { describe, expect, it, vi } from 'vitest';
import { IoError, OptionError } from '../../src/core/errors.js';
import { decodeImage, formatOfName, IMAGE_FORMATS, readableFormats, writableExtensions } from '../../src/io/images/index.js';
import { decodeJpeg, jpeg } from '../../src/io/images/jpeg.js';
import { decodePng } from '../../src/io/images/png.js';
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
    const readable = IMAGE_FORMATS.filter((f) => !f.unavailable?.()).map((f) => f.name);
    expect(readable).toEqual(expect.arrayContaining(['PNG', 'JPEG', 'BMP']));
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

  it('names GIF and WebP, which only browsers decode, with the remedy', async () => {
    for (const [bytes, name] of [
      ['GIF89a\x01\0\x01\0', 'GIF'],
      ['RIFF\0\0\0\0WEBPVP8X', 'WebP'],
    ] as const) {
      const error = await failure(decodeImage(text(bytes), 'x.png'));
      expect(error).toBeInstanceOf(IoError);
      expect(error.message).toMatch(new RegExp(`x\\.png: ${name} is read in browsers only; convert it to PNG first`));
    }
  });
});

describe('images with defects that other programs accept are decoded', () => {
  it.each(['cmyk_noadobe.jpg', 'rgb_adobe0.jpg', 'iccp_bad.png', 'no_iend.png', 'palette4_adam7.png'])('%s', async (name) => {
    const image = await decodeImage(file(name), name);
    expect(pixel(image, 0.08, 0.4)).toEqual([220, 30, 30].map((v) => expect.closeTo(v, -0.5)));
    expect(pixel(image, 0.9, 0.45)).toEqual([30, 200, 40].map((v) => expect.closeTo(v, -0.5)));
    expect(pixel(image, 0.1, 0.9)).toEqual([40, 50, 210].map((v) => expect.closeTo(v, -0.5)));
    expect(pixel(image, 0.9, 0.9)).toEqual([230, 220, 40].map((v) => expect.closeTo(v, -0.5)));
  });
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

/** Drawing from more than a class: from a picture or codes, between two classes, between the random numbers of two seeds. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AiM, type GenerateOptions } from '../../src/aim.js';
import { IoError, OptionError } from '../../src/core/errors.js';
import { AimImage } from '../../src/io/image.js';
import { encodePng } from '../../src/io/images/png_encode.js';
import { noiseBetween } from '../../src/model/between.js';
import { hasAdapter, NO_ADAPTER, onDevice } from '../backends.js';
import { fixture } from '../goldens.js';

for (const device of ['wasm', 'webgpu'] as const)
  describe(device, () => {
    let aim: AiM | undefined;
    beforeAll(async () => {
      if (device === 'webgpu' && !(await hasAdapter())) return;
      aim = await AiM.fromPretrained(fixture('mamba2-adaln'), { device: await onDevice(device) });
    });
    afterAll(() => aim?.dispose());

    it('kept tokens stay, and the rest is what follows them in a drawing of its own', async ({ skip }) => {
      if (!aim) return skip(NO_ADAPTER);
      const how = { classes: [1, 4, 1], seed: 3, cfgScale: 2 };
      const plain = await aim.generate(how);
      const [a, b, c] = plain.tokens as [Uint32Array, Uint32Array, Uint32Array];
      const from = [
        { codes: a, rows: 2 },
        { codes: b.slice(0, 3), tokens: 3 },
        { codes: c, tokens: 0 },
      ];
      const pixels = (images: AimImage[]) => images.map(({ data }) => data);
      const again = await aim.generate({ ...how, from });
      expect(again.tokens).toEqual(plain.tokens);
      expect(pixels(again.images)).toEqual(pixels(plain.images));
      const other = await aim.generate({ ...how, seed: 60, batchSize: 2, from });
      for (const [i, kept] of [8, 3, 0].entries()) {
        expect(other.tokens[i]!.slice(0, kept)).toEqual(plain.tokens[i]!.slice(0, kept));
        expect(other.tokens[i]!.slice(kept)).not.toEqual(plain.tokens[i]!.slice(kept));
      }
      // One start for all images; all of it is kept.
      const whole = await aim.generate({ classes: [0, 2], from: { codes: a, rows: 4 } });
      expect(whole.tokens).toEqual([a, a]);
    });

    it('points between two classes and two seeds', async ({ skip }) => {
      if (!aim) return skip(NO_ADAPTER);
      const points = [0, 0.5, 1].map((at) => ({ from: 1, to: 4, at }));
      const mixed = await aim.generate({ classes: points, seed: [7], cfgScale: 2 });
      const ends = await aim.generate({ classes: [1, 4], seed: [7], cfgScale: 2 });
      expect([mixed.tokens[0], mixed.tokens[2]]).toEqual(ends.tokens);
      expect([mixed.labels, mixed.seeds]).toEqual([
        [1, 1, 4],
        [7, 7, 7],
      ]);
      // The middle is what a class in the middle of the two embeddings draws.
      const { be, params } = aim.model;
      const table = params.mamba.backbone as unknown as { cls_embed: { embedding_table: { weight: never } } };
      const { weight } = table.cls_embed.embedding_table;
      const d = aim.config.d_model;
      const rows = Float32Array.from(await be.read(weight));
      be.write(
        weight,
        Float32Array.from({ length: d }, (_, j) => 0.5 * rows[d + j]! + 0.5 * rows[4 * d + j]!),
        2 * d,
      );
      const middle = await aim.generate({ classes: 2, seed: 7, cfgScale: 2 });
      be.write(weight, rows);
      expect(mixed.tokens[1]).toEqual(middle.tokens[0]);
      expect(ends.tokens).not.toContainEqual(middle.tokens[0]);

      const walk = await aim.generate({ classes: 0, seed: [0, 0.3, 1].map((at) => ({ from: 5, to: 9, at })) });
      const alone = await aim.generate({ classes: 0, seed: [5, 9] });
      expect([walk.tokens[0], walk.tokens[2]]).toEqual(alone.tokens);
      expect(alone.tokens).not.toContainEqual(walk.tokens[1]);
      expect(walk.seeds).toEqual([5, 5, 9]);
    });
  });

describe('a picture', () => {
  let aim: AiM;
  let size: number;
  beforeAll(async () => {
    aim = await AiM.fromPretrained(fixture('mamba2-adaln'), { device: 'wasm' });
    size = aim.config.image_size;
  });
  afterAll(() => aim.dispose());

  /** RGBA bytes; `colour` of a place. */
  const picture = (width: number, height: number, colour: (x: number, y: number) => readonly number[]) => ({
    width,
    height,
    data: Uint8ClampedArray.from(
      Array.from({ length: width * height }, (_, i) => colour(i % width, Math.floor(i / width))).flat(),
    ),
  });
  const motif = (x: number, y: number) => [(x * 53) % 256, (y * 91) % 256, (x * y * 17) % 256, 255];

  it('of any size, as pixels or as a file, keeps the codes of its centre', async () => {
    const plain = picture(size, size, motif);
    const [codes] = await aim.encode([plain]);
    const [floats] = await aim.decode([codes!]);
    const [again] = await aim.encode([floats!]);
    const grey = picture(size, size, () => [90, 90, 90, 255]);
    const [ofGrey] = await aim.encode([grey]);
    const wide = picture(size + 6, size, (x, y) => (x < 3 || x >= size + 3 ? [255, 0, 0, 255] : motif(x - 3, y)));
    const file = await encodePng({ width: 3, height: 5, data: new Uint8Array(45).fill(90) });
    const clear = picture(2 * size, 3 * size, () => [0, 200, 0, 0]);
    const from = [
      { image: plain, rows: 2 },
      { image: floats!, rows: 3 },
      { image: picture(37, 90, () => [90, 90, 90, 255]), rows: 4 },
      { image: wide, tokens: 7 },
      { image: file, rows: 4 },
      { image: clear, rows: 4, background: [90, 90, 90] as const },
      { image: new AimImage({ width: 5, height: 4, data: new Float32Array(60).fill(90 / 127.5 - 1) }), rows: 4 },
    ];
    const { tokens } = await aim.generate({ classes: 0, from });
    const want = [codes!.slice(0, 8), again!.slice(0, 12), ofGrey!, codes!.slice(0, 7), ofGrey!, ofGrey!, ofGrey!];
    expect(tokens.map((t, i) => t.slice(0, want[i]!.length))).toEqual(want);
  });

  it('is in the preview of the first step, above what is not drawn yet', async () => {
    const seen: boolean[][] = [];
    await aim.generate({
      classes: 0,
      from: { image: picture(size, size, motif), rows: 3 },
      async onStep({ step, preview }) {
        if (step > 1) return;
        const [{ data }] = (await preview()) as [AimImage];
        const row = data.length / 4;
        for (let y = 0; y < 4; y++) seen.push([data.subarray(y * row, (y + 1) * row).some((v) => v !== 0)]);
      },
    });
    expect(seen.flat()).toEqual([true, true, true, false]);
  });

  it('that does not fit is refused', async () => {
    const image = picture(size, size, motif);
    const codes = new Uint32Array(16);
    const nan = new AimImage({ width: 2, height: 2, data: new Float32Array(12).fill(Number.NaN) });
    const wrong: [GenerateOptions['from'], RegExp, typeof OptionError | typeof IoError][] = [
      [[], /from is empty/, OptionError],
      [{ image, rows: 5 }, /^from: rows is 5; this model has 4 rows of 4 tokens/, OptionError],
      [
        [
          { image, rows: 1 },
          { codes, tokens: 17 },
        ],
        /^from 1: tokens is 17; this model has 16/,
        OptionError,
      ],
      [{ image, rows: -1 }, /rows is -1/, OptionError],
      [{ image, rows: Number.NaN }, /rows is NaN/, OptionError],
      [{ image }, /how much is kept/, OptionError],
      [{ image, rows: 1, tokens: 4 }, /how much is kept/, OptionError],
      [{ rows: 1 }, /either an image or codes/, OptionError],
      [{ image, codes, rows: 1 }, /either an image or codes/, OptionError],
      [{ codes: codes.slice(0, 3), rows: 1 }, /at least 4 numbers/, OptionError],
      [{ codes: new Uint32Array(17), rows: 1 }, /at most 16/, OptionError],
      [{ codes: [0, 0, 0, aim.config.vocab_size], rows: 1 }, /code 3 is \d+; codes go from 0/, OptionError],
      [{ codes: [0, 0.5, 0, 0], rows: 1 }, /code 1 is 0.5/, OptionError],
      [{ codes: '1234' as never, rows: 1 }, /the codes are "1234"/, OptionError],
      [{ image: nan, rows: 1 }, /^from: the image has NaN as value 0/, OptionError],
      [{ image: { ...image, width: size + 1 }, rows: 1 }, /needs \d+ bytes/, OptionError],
      [{ image: {} as never, rows: 1 }, /the image is \{\}; pass/, OptionError],
      [{ image, rows: 1, background: [0, 0] as never }, /background/, OptionError],
      [{ image: new Uint8Array(9), rows: 1 }, /from: the image is not a/, IoError],
      [{ image: picture(1, 99, motif), rows: 1 }, /too long and thin/, IoError],
      [{ image, row: 1 } as never, /did you mean rows/, OptionError],
      [5 as never, /the options are 5/, OptionError],
    ];
    for (const [from, message, type] of wrong) {
      const error = await aim.generate({ classes: 0, from: from! }).catch((e) => e);
      expect(error.message).toMatch(message);
      expect(error).toBeInstanceOf(type);
    }
    const odd: [GenerateOptions, RegExp][] = [
      [{ classes: { from: 0, to: 99, at: 0 } }, /no class 99/],
      [{ classes: [[1]] as never }, /no class \[1\]/],
      [{ seed: [[1]] as never }, /seed is \[1\]/],
      [{ classes: [{ from: 0, to: 1, at: 1.5 }] }, /at is 1.5/],
      [{ classes: { from: 0, at: 0.5 } as never }, /give from, to and at/],
      [{ classes: { from: 'all', to: 1, at: 0.5 } }, /no class "all"/],
      [{ seed: { from: 0, to: -1, at: 0.5 } }, /seed is -1/],
      [{ seed: { from: 0, to: Number.MAX_SAFE_INTEGER, at: 0.5 }, count: 2 }, /must be at most/],
      [{ seed: [] }, /seed is an empty list/],
      [{ seed: [1, 1.5] }, /seed is 1.5/],
    ];
    for (const [options, message] of odd) {
      const error = await aim.generate(options).catch((e) => e);
      expect(error.message).toMatch(message);
      expect(error).toBeInstanceOf(OptionError);
    }
    const reason = new Error('enough');
    await expect(aim.generate({ from: { image, rows: 1 }, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

it('random numbers between two seeds are uniform, and go the shorter way', () => {
  const count = 4096;
  const [a, b] = [noiseBetween({ from: 1, to: 1, at: 0 }, count), noiseBetween({ from: 2 ** 40, to: 0, at: 0 }, count)];
  for (const at of [0.25, 0.5, 0.9]) {
    const words = noiseBetween({ from: 1, to: 2 ** 40, at }, count);
    const bins = new Array<number>(16).fill(0);
    for (const word of words) bins[word >>> 28]!++;
    // χ² with 15 degrees of freedom is above 50 once in 100,000 times.
    expect(bins.reduce((sum, n) => sum + (n - 256) ** 2 / 256, 0)).toBeLessThan(50);
    const way = (x: number, y: number) => Math.abs((y - x) | 0);
    const off = Array.from(words, (word, t) => Math.abs(way(a[t]!, word) - at * way(a[t]!, b[t]!)));
    expect(Math.max(...off)).toBeLessThanOrEqual(0.5);
  }
});

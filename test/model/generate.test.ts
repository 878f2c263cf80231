/** Generation is reproducible: the same image alone, in a batch, in a second call, and on another backend. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AiM, type GenerateOptions } from '../../src/aim.js';
import { DisposedError, OptionError } from '../../src/core/errors.js';
import { Acts } from '../../src/model/acts.js';
import { aimForward, aimState } from '../../src/model/aim.js';
import { modulationForward } from '../../src/model/modulation.js';
import { hasAdapter, NO_ADAPTER, onDevice } from '../backends.js';
import { FASHION, fixture } from '../goldens.js';
import { CONFIG } from '../train/tiny_model.js';

const SMALL = fixture('mamba2-adaln');
/** 100 take minutes on a software adapter, which draws fewer unless AIM_SLOW=1. */
const seeds = (device: 'wasm' | 'webgpu') => (device === 'wasm' || process.env.AIM_SLOW ? 100 : 4);

const same = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  a.length === b.length && Array.prototype.every.call(a, (v, i) => v === b[i]);
const tokens = async (aim: AiM, options: GenerateOptions) => (await aim.generate(options)).tokens;

for (const device of ['wasm', 'webgpu'] as const) {
  describe(device, () => {
    let aim: AiM | undefined;
    beforeAll(async () => {
      if (device === 'webgpu' && !(await hasAdapter())) return;
      aim = await AiM.fromPretrained(SMALL, { device: await onDevice(device) });
    });
    afterAll(() => aim?.dispose());

    it('an image does not depend on the batch it is drawn in', async ({ skip }) => {
      if (!aim) return skip(NO_ADAPTER);
      const n = seeds(device);
      const options = { classes: [0, 3, 7], count: n, seed: 5, cfgScale: 2, topK: 40, topP: 0.95 };
      const draw = async (o: GenerateOptions) => {
        const { images, tokens } = await aim!.generate({ ...options, ...o });
        return images.map(({ data }, i) => ({ tokens: tokens[i]!, data }));
      };
      const together = await draw({ batchSize: n });
      expect(await draw({ batchSize: 7 })).toEqual(together);
      for (let i = 0; i < n; i++) {
        expect(await draw({ classes: [[0, 3, 7][i % 3]!], count: 1, seed: 5 + i })).toEqual([together[i]]);
      }
    });

    it('two equal calls give identical tokens and pixels', async ({ skip }) => {
      if (!aim) return skip(NO_ADAPTER);
      const options = { count: 10, seed: 77 };
      const a = await aim.generate(options);
      const b = await aim.generate(options);
      expect(b.tokens).toEqual(a.tokens);
      a.images.forEach((image, i) => {
        expect(same(image.data, b.images[i]!.data)).toBe(true);
      });
      expect(a.seeds).toEqual([77, 78, 79, 80, 81, 82, 83, 84, 85, 86]);
      expect(a.images[3]!.seed).toBe(80);
    });

    it('one pass over a whole sequence gives the same logits as its steps one by one', async ({ skip }) => {
      if (!aim) return skip(NO_ADAPTER);
      for (const folder of [SMALL, fixture('mamba1-adaln-group')]) {
        const other = await AiM.fromPretrained(folder, { device: await onDevice(device) });
        const { be, config } = other.model;
        const p = other.model.params.mamba.backbone;
        const [b, T, V] = [2, config.num_tokens, config.vocab_size];
        const t = be.from(
          Array.from({ length: b * T }, (_, i) => (i * 31) % V),
          [b, T],
          'u32',
        );
        const labels = be.from([1, 4], [b], 'u32');
        const step = be.from([0, 0], [b], 'u32');
        const modulation = modulationForward(be, p, config, { labels }, new Acts(be));
        const input = { tokens: t, step, modulation, shift: 0 as const };
        const whole = await be.read(aimForward(be, p, config, { ...input, length: T }));
        const largest = Array.from(whole).reduce((m, v) => Math.max(m, Math.abs(v)), 0);
        const state = aimState(be, config, b);
        for (const arena of state.arenas) be.zero(arena);
        let worst = 0;
        for (let q = 0; q < T; q++) {
          be.write(step, Uint32Array.of(q, q));
          const logits = await be.read(aimForward(be, p, config, { ...input, length: 1, state: state.layers }));
          for (let i = 0; i < b * V; i++) {
            const at = (Math.floor(i / V) * T + q) * V + (i % V);
            worst = Math.max(worst, Math.abs(logits[i]! - whole[at]!));
          }
        }
        expect(worst / largest).toBeLessThan(1e-4);
        await other.dispose();
      }
    });

    it('previews show the tokens drawn so far and do not change the image', async ({ skip }) => {
      if (!aim) return skip(NO_ADAPTER);
      const plain = await tokens(aim, { count: 2, seed: 3 });
      const steps: number[] = [];
      let grey = 0;
      const seen = await tokens(aim, {
        count: 2,
        seed: 3,
        onStep: async ({ step, preview }) => {
          steps.push(step);
          if (step !== 4) return;
          const images = await preview();
          grey = images[0]!.data.slice(-3).reduce((a, v) => a + Math.abs(v), 0);
          expect(images).toHaveLength(2);
        },
      });
      expect(steps).toEqual(Array.from({ length: aim.config.num_tokens }, (_, i) => i + 1));
      expect(grey).toBe(0);
      expect(seen).toEqual(plain);
    });

    it('abort rejects with the reason and frees the memory of the call', async ({ skip }) => {
      if (!aim) return skip(NO_ADAPTER);
      const before = aim.model.be.bytes;
      const abort = new AbortController();
      const reason = new Error('enough');
      await expect(
        aim.generate({ count: 3, signal: abort.signal, onStep: ({ step }) => step === 5 && abort.abort(reason) }),
      ).rejects.toBe(reason);
      expect(aim.model.be.bytes).toBe(before);
      await aim.generate({ count: 3 });
      expect(aim.model.be.bytes).toBe(before);
    });
  });
}

it('WASM and WebGPU draw the same tokens', async ({ skip }) => {
  if (!(await hasAdapter())) return skip(NO_ADAPTER);
  const n = seeds('webgpu');
  const options = { count: n, seed: 1000 };
  const drawn: Uint32Array[][] = [];
  for (const device of ['wasm', 'webgpu'] as const) {
    const aim = await AiM.fromPretrained(FASHION, { device: await onDevice(device) });
    drawn.push(await tokens(aim, options));
    await aim.dispose();
  }
  const equal = drawn[0]!.filter((t, i) => same(t, drawn[1]![i]!)).length;
  console.log(`WASM and WebGPU: ${equal} of ${n} images of models/fashion-mnist have the same tokens`);
  expect(equal).toBeGreaterThanOrEqual(0.95 * n);
});

describe('options of generate', () => {
  it('invalid options are refused with their name', async () => {
    const aim = await AiM.fromPretrained(FASHION, { device: 'wasm' });
    const wrong: [GenerateOptions, RegExp][] = [
      [{ topP: 0 }, /topP is 0/],
      [{ topP: 1.1 }, /topP/],
      [{ topK: -1 }, /topK/],
      [{ temperature: Number.NaN }, /temperature/],
      [{ cfgScale: Number.POSITIVE_INFINITY }, /cfgScale/],
      [{ count: 0 }, /count is 0/],
      [{ seed: -1 }, /seed/],
      [{ classes: [10] }, /no class 10.*0 to 9/],
      [{ classes: ['Hat'] }, /no class "Hat".*Ankle boot/],
      [{ classes: [] }, /classes is empty/],
      [{ positions: 'both' as 'trained' }, /positions/],
      [{ topk: 5 } as GenerateOptions, /generate: there is no option "topk"; did you mean topK\?/],
      [{ prefix: [1] } as GenerateOptions, /there is no option "prefix"; it takes/],
      [{ onStep: 3 } as unknown as GenerateOptions, /onStep is 3; it must be a function/],
      [{ count: '3' } as unknown as GenerateOptions, /count is "3"/],
      [{ seed: Number.MAX_SAFE_INTEGER, count: 2 }, /seed is .*with 2 images it must be at most/],
      [{ cfgScale: 1e39 }, /cfgScale is 1e\+39/],
      [null as unknown as GenerateOptions, /the options are null/],
    ];
    for (const [options, message] of wrong) {
      const error = await aim.generate(options).catch((e) => e);
      expect(error).toBeInstanceOf(OptionError);
      expect(error.message).toMatch(message);
    }
    expect((await aim.generate({ classes: ['ankle BOOT', '3'], count: 2 })).labels).toEqual([9, 3]);
    await aim.dispose();
    await expect(aim.generate()).rejects.toBeInstanceOf(DisposedError);
  });

  it('temperature 0 and topK 1 both take the most likely token', async () => {
    const aim = await AiM.fromPretrained(SMALL, { device: 'wasm' });
    const a = await tokens(aim, { count: 5, temperature: 0, seed: 1 });
    const b = await tokens(aim, { count: 5, topK: 1, seed: 9 });
    expect(b).toEqual(a);
    await aim.dispose();
  });

  it('topK larger than the vocabulary allows all tokens', async () => {
    const aim = await AiM.fromPretrained(SMALL, { device: 'wasm' });
    const all = await tokens(aim, { count: 5, seed: 1 });
    for (const topK of [aim.config.vocab_size, aim.config.vocab_size + 1, 2 ** 32 + 1])
      expect(await tokens(aim, { count: 5, seed: 1, topK })).toEqual(all);
    await aim.dispose();
  });

  it('positions counted as the authors do give different tokens', async () => {
    const aim = await AiM.fromPretrained(SMALL, { device: 'wasm' });
    const a = await tokens(aim, { count: 5, seed: 1 });
    const b = await tokens(aim, { count: 5, seed: 1, positions: 'authors' });
    expect(b).not.toEqual(a);
    await aim.dispose();
  });
});

it('encode and decode run the tokenizer', async () => {
  const aim = await AiM.fromPretrained(FASHION, { device: 'wasm' });
  const { images, tokens: drawn } = await aim.generate({ count: 3, seed: 4 });
  const again = await aim.decode(drawn);
  again.forEach((image, i) => {
    expect(same(image.data, images[i]!.data)).toBe(true);
  });
  const codes = await aim.encode(images);
  expect(codes.map((c) => c.length)).toEqual([64, 64, 64]);
  const fromBytes = await aim.encode([{ width: 32, height: 32, data: images[0]!.toRGBA() }]);
  expect(fromBytes[0]!.filter((c, i) => c === codes[0]![i]).length).toBeGreaterThan(50);
  await expect(aim.encode([{ width: 30, height: 32, data: new Uint8Array(30 * 32 * 4) }])).rejects.toThrow(/multiples of 4/);
  await expect(aim.decode([[0, 1, 2]])).rejects.toThrow(/square/);
  await expect(aim.decode([[0, 1, 2, 512]])).rejects.toThrow(/code 3 is 512/);
  await aim.dispose();
});

describe('encode refuses unusable images and states the reason', () => {
  const floats = (value: number) => ({ width: 4, height: 4, data: new Float32Array(48).fill(value) });
  const bytes = (width: number, height: number, length: number) => ({ width, height, data: new Uint8Array(length) });
  for (const [image, message] of [
    [floats(Number.NaN), /image 0 has NaN as value 0; pixels must be finite/],
    [floats(Number.POSITIVE_INFINITY), /has Infinity/],
    [bytes(1e9, 1e9, 16), /1000000000×1000000000 RGBA needs .* bytes, got 16/],
    [bytes(0, 4, 0), /multiples of/],
    [bytes(4, 4, 48), /4×4 RGBA needs 64 bytes, got 48/],
    [{}, /image 0 is \{\}; pass an AimImage/],
    [null, /image 0 is null/],
  ] as const)
    it(String(message), async () => {
      const aim = await AiM.fromPretrained(SMALL, { device: 'wasm' });
      const error = await aim.encode([image as never]).catch((e) => e);
      expect(error).toBeInstanceOf(OptionError);
      expect(error.message).toMatch(message);
      await expect(aim.encode(null as never)).rejects.toThrow(/the images are null/);
      await aim.dispose();
    });
});

for (const device of ['wasm', 'webgpu'] as const)
  describe(`generate on ${device} ends at once`, () => {
    const open = async () => {
      const aim = await AiM.fromPretrained(SMALL, { device });
      const steps: number[] = [];
      return { aim, steps };
    };

    it('with DisposedError when the model is disposed', async ({ skip }) => {
      if (device === 'webgpu' && !(await hasAdapter())) return skip(NO_ADAPTER);
      const { aim, steps } = await open();
      const drawing = aim.generate({
        count: 8,
        batchSize: 2,
        onStep: ({ step }) => {
          steps.push(step);
          if (steps.length === 3) void aim.dispose();
        },
      });
      const error = await drawing.catch((e) => e);
      expect(error).toBeInstanceOf(DisposedError);
      expect(error.message).toMatch(/this AiM/);
      // WebGPU may report what its device had finished already, but begins no further batch.
      expect(steps.length).toBeLessThanOrEqual(device === 'wasm' ? 3 : aim.config.num_tokens);
    });

    it('when aborted or disposed while the promise of onStep is pending', async ({ skip }) => {
      if (device === 'webgpu' && !(await hasAdapter())) return skip(NO_ADAPTER);
      const { aim } = await open();
      const abort = new AbortController();
      const reason = new Error('enough');
      const stopped = aim.generate({ count: 1, signal: abort.signal, onStep: () => new Promise(() => {}) });
      setTimeout(() => abort.abort(reason), 20);
      await expect(stopped).rejects.toBe(reason);
      const ended = aim.generate({ count: 1, onStep: () => new Promise(() => {}) });
      setTimeout(() => void aim.dispose(), 20);
      await expect(ended).rejects.toBeInstanceOf(DisposedError);
    });
  });

it('wasmUrl loads the WASM module from a URL', async () => {
  const { readFileSync } = await import('node:fs');
  const bytes = readFileSync(new URL('../../build/aim.wasm', import.meta.url));
  const wasmUrl = `data:application/wasm;base64,${bytes.toString('base64')}`;
  const aim = await AiM.fromPretrained(SMALL, { device: 'wasm', wasmUrl });
  expect((await aim.generate({ count: 1 })).images).toHaveLength(1);
  await aim.dispose();
  const bad = await AiM.fromPretrained(SMALL, { device: 'wasm', wasmUrl: 'data:application/wasm;base64,AAAA' }).catch((e) => e);
  expect(bad).toMatchObject({ code: 'ERR_DEVICE', message: expect.stringContaining('could not be started') });
});

it('a model of 1000 classes without names takes those of ImageNet', async () => {
  const aim = await AiM.fromConfig({ ...CONFIG, num_classes: 1000 }, { device: 'wasm' });
  try {
    const { labels } = await aim.generate({ classes: ['golden retriever', 'toilet paper', 3], batchSize: 3 });
    expect(labels).toEqual([207, 999, 3]);
    await expect(aim.generate({ classes: 'retriever' })).rejects.toThrow(OptionError);
    expect(aim.classes).toBeUndefined();
  } finally {
    await aim.dispose();
  }
});

describe('generateEach', () => {
  it('yields the images of generate in order, a batch at a time', async () => {
    const aim = await AiM.fromPretrained(SMALL, { device: 'wasm' });
    const options = { classes: [1, 4], count: 5, seed: 9, batchSize: 2 };
    const whole = await aim.generate(options);
    const drawn: number[] = [];
    const steps: number[] = [];
    for await (const { image, tokens, label, seed, index } of aim.generateEach({
      ...options,
      onStep: ({ first, step }) => void (step === 1 && steps.push(first)),
    })) {
      expect(index).toBe(drawn.length);
      // The third image is there before the third batch has begun.
      if (index === 2) expect(steps).toEqual([0, 2]);
      expect([tokens, label, seed]).toEqual([whole.tokens[index], whole.labels[index], whole.seeds[index]]);
      expect(image).toEqual(whole.images[index]);
      drawn.push(index);
    }
    expect(drawn).toEqual([0, 1, 2, 3, 4]);
    await aim.dispose();
  });

  it('ends when the loop is left, and refuses what generate refuses', async () => {
    const aim = await AiM.fromPretrained(SMALL, { device: 'wasm' });
    let batches = 0;
    const onStep = ({ step }: { step: number }) => void (step === 1 && batches++);
    for await (const _ of aim.generateEach({ count: 4, batchSize: 1, onStep })) break;
    expect(batches).toBe(1);
    await expect(aim.generateEach({ cuont: 1 } as never).next()).rejects.toThrow(/did you mean count/);
    await aim.dispose();
    await expect(aim.generateEach().next()).rejects.toThrow(DisposedError);
  });
});

/** Guidance by position, on probabilities, and min-p: what they mean, the same on WASM and on the reference, in any batch. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AiM, type GenerateOptions } from '../../src/aim.js';
import { ReferenceBackend } from '../../src/backend/reference.js';
import { OptionError } from '../../src/core/errors.js';
import { defaultsOf } from '../../src/core/options.js';
import { GUIDANCE, type GuidanceOptions } from '../../src/model/guidance.js';
import { guidanceScales } from '../../src/model/guidance_by_position.js';
import { checkSampling, guidanceModule, Sampler } from '../../src/model/sampler.js';
import { fixture } from '../goldens.js';

let [aim, reference]: AiM[] = [];
beforeAll(async () => {
  const folder = fixture('mamba2-adaln');
  aim = await AiM.fromPretrained(folder, { device: 'wasm', threads: 1 });
  reference = await AiM.fromPretrained(folder, { backend: () => new ReferenceBackend() });
});
afterAll(async () => {
  await aim?.dispose();
  await reference?.dispose();
});

const scales = (o: GuidanceOptions, count: number) => {
  const found = guidanceScales({ ...defaultsOf(GUIDANCE), ...o } as Required<GuidanceOptions>, count);
  return Array.from(found, (v) => Math.round(v * 1e4) / 1e4);
};

it('schedules go from 1 to the scale, and an interval has no guidance outside', async () => {
  expect(scales({ cfgScale: 3 }, 3)).toEqual([3, 3, 3]);
  expect(await guidanceModule(checkSampling({ cfgScale: 3 }))).toBeUndefined();
  expect(scales({ cfgScale: 3, cfgSchedule: 'linear' }, 5)).toEqual([1, 1.5, 2, 2.5, 3]);
  expect(scales({ cfgScale: 3, cfgSchedule: 'cosine' }, 5)).toEqual([1, 1.2929, 2, 2.7071, 3]);
  // 1 − cos(π·x²) at x = 1/4, 1/2, 3/4.
  expect(scales({ cfgScale: 3, cfgSchedule: 'power-cosine', cfgPower: 2 }, 5)).toEqual([1, 1.0192, 1.2929, 2.1951, 3]);
  expect(scales({ cfgScale: 3, cfgStart: 0.2, cfgEnd: 0.8 }, 5)).toEqual([1, 3, 3, 3, 1]);
  expect(scales({ cfgScale: 3, cfgSchedule: 'linear', cfgEnd: 0.6 }, 5)).toEqual([1, 1.5, 2, 1, 1]);
  expect(scales({ cfgScale: 3, cfgSchedule: 'linear' }, 1)).toEqual([3]);
  expect(() => checkSampling({ cfgStart: 0.5, cfgEnd: 0.5 })).toThrow(OptionError);
});

it('every way to guide draws the tokens of the reference, in any batch', async () => {
  const ways: GenerateOptions[] = [
    { cfgScale: 4, cfgSchedule: 'power-cosine', cfgPower: 1.5, minP: 0.05 },
    { cfgScale: 2, cfgOn: 'probabilities', cfgStart: 0.25, topK: 20, minP: 0.1 },
    { cfgScale: 0.5, cfgOn: 'probabilities' },
  ];
  for (const way of ways) {
    const draw = async (of: AiM, o: GenerateOptions) => (await of.generate({ ...way, classes: [0, 3], seed: 5, ...o })).tokens;
    const all = await draw(aim!, { count: 3, batchSize: 3 });
    expect(await draw(aim!, { count: 3, batchSize: 2 })).toEqual(all);
    expect(await draw(reference!, { count: 1 })).toEqual(all.slice(0, 1));
  }
});

it('before the interval no token is guided; min-p of 1 takes the most likely', async () => {
  const T = aim!.config.num_tokens;
  const draw = async (o: GenerateOptions) =>
    (await aim!.generate({ classes: 2, count: 4, seed: 1, ...o })).tokens.map((t) => [...t]);
  const [plain, late] = [await draw({ cfgScale: 1 }), await draw({ cfgScale: 8, cfgStart: 0.5 })];
  const half = (tokens: number[][]) => tokens.map((t) => t.slice(0, T / 2));
  expect(half(late)).toEqual(half(plain));
  expect(late).not.toEqual(plain);
  expect(await draw({ minP: 1 })).toEqual(await draw({ temperature: 0 }));
});

it('guidance on probabilities is Eq. 11 of the paper, after which temperature and cuts come', async () => {
  const { be, params } = aim!.model;
  const logits = async (o: GuidanceOptions, values: number[]) => {
    const s = checkSampling(o);
    const sampler = new Sampler(be, aim!.config, params.mamba.backbone, 1, s, { guidance: await guidanceModule(s) });
    sampler.start(values, [0]);
    sampler.logitsOnly();
    const got = Float64Array.from(await be.read(sampler.logits));
    sampler.dispose();
    return got;
  };
  const softmax = (x: Float64Array) => {
    const e = x.map((v) => Math.exp(v - Math.max(...x)));
    const sum = e.reduce((a, v) => a + v, 0);
    return e.map((v) => v / sum);
  };
  // The class after the last is the unconditional one.
  const c = softmax(await logits({ cfgScale: 1 }, [3]));
  const u = softmax(await logits({ cfgScale: 1 }, [aim!.config.num_classes]));
  const got = await logits({ cfgScale: 3, cfgOn: 'probabilities' }, [3]);
  const want = c.map((p, i) => Math.max(0, u[i]! + (p - u[i]!) * 3));
  got.forEach((l, i) => {
    expect(Math.exp(l)).toBeCloseTo(want[i]!, 6);
  });
});

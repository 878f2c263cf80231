/** The measurements of `aim bench`: each function gives a row of a table. */
import type { Backend, Profile } from '../../backend/backend.js';
import { WebGpuBackend } from '../../backend/webgpu.js';
import { BYTES } from '../../core/tensor.js';
import { type Codes, tokenizerFingerprint } from '../../data/codes.js';
import type { MixerName } from '../../model/mixers.js';
import type { Model } from '../../model/model.js';
import { checkSampling, drawTokens, Sampler } from '../../model/sampler.js';
import { tokenizerOf } from '../../model/tokenizers.js';
import { Trainer } from '../../train/trainer.js';
import { type GemmShape, gemm, gemmUncached, type Timing, timed, timing } from './measure.js';
import type { Row } from './report.js';

export type Precision = 'f32' | 'mixed';
export type Mixer = MixerName;

/** How tokens are drawn: of all of them, and as in the authors' showcase. */
export const SAMPLING = {
  plain: { cfgScale: 1.5, topK: 0, topP: 1 },
  authors: { cfgScale: 5, topK: 600, topP: 0.98 },
};

export interface Context {
  runs: number;
  signal: AbortSignal;
  /** The device's limits as measured: bytes per second of a copy, FLOP/s of a square product. Shares in tables are fractions of these. */
  copy: number;
  ceilings: Partial<Record<Precision, number>>;
  /** True if the time by op is asked for too. */
  profile: boolean;
}

/** A row, and the time by op of one run of its work. */
export interface Measured {
  row: Row;
  profile: { of: string; ops: Profile } | undefined;
}

export const round = (v: number, digits = 3) => Number(v.toPrecision(digits));

/** Median and spread; `per` 1000 makes microseconds of milliseconds. */
export const spread = ({ median, fastest, slowest }: Timing, unit = 'ms', per = 1): Row => ({
  [unit]: round(median * per, 4),
  fastest: round(fastest * per, 4),
  slowest: round(slowest * per, 4),
});

const share = (rate: number, ceiling: number | undefined) => round((rate / ceiling!) * 100);

const rate = (flops: number, { median }: Timing, precision: Precision, c: Context): Row => ({
  'TFLOP/s': round(flops / median / 1e9),
  '% of GEMM': share((flops / median) * 1000, c.ceilings[precision]),
});

async function profiled(c: Context, of: string, be: Backend, fn: () => Promise<unknown>): Promise<Measured['profile']> {
  return c.profile ? { of, ops: await be.profile(fn) } : undefined;
}

/** Tokens of a batch, conditioning included and decoding left out. */
export async function generation(
  aim: Model,
  name: string,
  batch: number,
  dtype: string,
  sampling: keyof typeof SAMPLING,
  c: Context,
): Promise<Measured> {
  const { be, config } = aim;
  const how = checkSampling(SAMPLING[sampling]);
  const sampler = new Sampler(be, config, aim.params.mamba.backbone, batch, how);
  try {
    const labels = Array.from({ length: batch }, (_, i) => i % config.num_classes);
    await sampler.compile();
    const draw = async () => {
      sampler.start(labels, labels);
      await drawTokens(be, sampler, config.num_tokens, { signal: c.signal });
      await be.settle();
    };
    const t = await timed(c.runs, draw, c.signal);
    const { commands, bytes } = sampler.cost;
    const perToken = t.median / config.num_tokens;
    return {
      row: {
        model: name,
        mixer: config.mixer.layer,
        batch,
        weights: dtype,
        guidance: how.cfgScale,
        'top-k': how.topK,
        'top-p': how.topP,
        ...spread(t),
        'µs/token': round(perToken * 1000, 4),
        'dispatches/token': commands,
        'MB/token': round(bytes / 1e6),
        '% of copy': share((bytes / perToken) * 1000, c.copy),
      },
      profile: await profiled(c, `generate ${name} ${config.mixer.layer} batch ${batch} ${dtype} ${sampling}`, be, draw),
    };
  } finally {
    sampler.dispose();
  }
}

/** Codes of square images → pixels on the device. */
export async function decoding(aim: Model, name: string, batch: number, precision: Precision, c: Context): Promise<Measured> {
  const { be, config, params } = aim;
  const side = Math.sqrt(config.num_tokens);
  const codes = Uint32Array.from({ length: batch * config.num_tokens }, (_, i) => (i * 7919) % config.vocab_size);
  const tokens = be.from(codes, [codes.length], 'u32');
  const { recording, result } = be.record(() =>
    tokenizerOf(config.tokenizer).decode(be, params.vqvae, config.tokenizer, tokens, [batch, side, side]),
  );
  try {
    const run = async () => {
      recording.replay();
      await be.settle();
    };
    const t = await timed(c.runs, run, c.signal);
    const image = result.shape.slice(1, 3).join('×');
    return {
      row: { model: name, batch, precision, image, ...spread(t), ...rate(recording.cost.flops, t, precision, c) },
      profile: await profiled(c, `decode ${name} batch ${batch} ${precision}`, be, run),
    };
  } finally {
    recording.dispose();
    be.free(tokens);
  }
}

/** A whole training step of stage 2: forward, backward, clipping, AdamW. */
export async function training(
  aim: Model,
  name: string,
  { batch, precision, recompute }: { batch: number; precision: Precision; recompute: 'off' | 'on' },
  c: Context,
): Promise<Measured> {
  const { config, be } = aim;
  // The first two warm up.
  const steps = c.runs + 2;
  const items = 4 * batch;
  const data: Codes = {
    codes: Uint32Array.from({ length: items * config.num_tokens }, (_, i) => (i * 7919) % config.vocab_size),
    labels: Uint32Array.from({ length: items }, (_, i) => i % config.num_classes),
    eval: undefined,
    classes: Array.from({ length: config.num_classes }, (_, i) => `${i}`),
    tokens: config.num_tokens,
    vocabulary: config.vocab_size,
    fingerprint: await tokenizerFingerprint(aim),
  };
  const how = { batchSize: batch, recompute: recompute === 'on', steps: 2 * steps, evalEvery: 0, lr: 1e-5 };
  const trainer = new Trainer({ model: aim, data, ...how });
  try {
    const times: number[] = [];
    let last = performance.now();
    const begin = be instanceof WebGpuBackend ? be.dispatches : 0;
    let loss = 0;
    for await (const s of trainer.run({ signal: c.signal })) {
      times.push(performance.now() - last);
      last = performance.now();
      loss = s.loss;
      if (s.step === steps) break;
    }
    const dispatches = be instanceof WebGpuBackend ? (be.dispatches - begin) / times.length : 0;
    const t = timing(times.slice(2));
    return {
      row: {
        model: name,
        mixer: config.mixer.layer,
        batch,
        precision,
        recompute,
        ...spread(t),
        'tokens/s': Math.round((batch * config.num_tokens * 1000) / t.median),
        ...rate(trainer.cost.flops, t, precision, c),
        dispatches: Math.round(dispatches),
        'GB on device': round(be.bytes / 1e9),
        loss: round(loss, 5),
      },
      profile: await profiled(
        c,
        `train ${name} ${config.mixer.layer} batch ${batch} ${precision}, recompute ${recompute}`,
        be,
        async () => {
          for await (const _ of trainer.run({ signal: c.signal })) break;
        },
      ),
    };
  } finally {
    trainer.dispose();
  }
}

/** y = x·wᵀ as in training and in batches: bound by arithmetic. */
export async function product(
  be: Backend,
  shape: GemmShape,
  dtype: 'f32' | 'f16',
  precision: Precision,
  c: Context,
): Promise<Measured> {
  const { m, n, k } = shape;
  const t = await gemm(be, shape, dtype, c.runs, c.signal);
  const factors = precision === 'mixed' ? 'f16' : 'f32';
  const row = { m, n, k, weights: dtype, factors, ...spread(t, 'µs', 1000), ...rate(2 * m * n * k, t, precision, c) };
  return { row, profile: undefined };
}

/** y = x·wᵀ of a token's step: with few rows it waits for w, which is in no cache. A row for each m of `rows`. */
export async function* fewRows(
  be: Backend,
  rows: readonly number[],
  { n, k }: Omit<GemmShape, 'm'>,
  dtype: 'f32' | 'f16',
  c: Context,
): AsyncGenerator<Measured> {
  for await (const [m, t] of gemmUncached(be, rows, { n, k }, dtype, c.runs, c.signal)) {
    const bytes = 4 * m * (n + k) + BYTES[dtype] * n * k;
    const row = {
      m,
      n,
      k,
      weights: dtype,
      ...spread(t, 'µs', 1000),
      'TFLOP/s': round((2 * m * n * k) / t.median / 1e9),
      'GB/s': round(bytes / t.median / 1e6),
      '% of copy': share((bytes / t.median) * 1000, c.copy),
    };
    yield { row, profile: undefined };
  }
}

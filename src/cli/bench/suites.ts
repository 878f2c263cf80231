/** What `aim bench` measures. Each suite gives rows of a table. */
import type { AiM } from '../../aim.js';
import type { Backend, Profile } from '../../backend/backend.js';
import { WebGpuBackend } from '../../backend/webgpu.js';
import { type Codes, tokenizerFingerprint } from '../../data/codes.js';
import { checkSampling, drawTokens, Sampler } from '../../generate.js';
import { type AimConfigJson, VQ_F16 } from '../../model/config.js';
import { decodeForward } from '../../model/tokenizer.js';
import { Trainer } from '../../train/trainer.js';
import { exponent, type GemmShape, gemm, type Timing, timed } from './measure.js';

export type Row = Record<string, string | number>;

export interface Context {
  runs: number;
  signal: AbortSignal;
  /** Bytes a second of a copy, FLOP/s of a 4096³ product: what a share is a share of. */
  copy: number;
  peak: number;
  profiles: Record<string, Profile> | undefined;
}

const round = (v: number, digits = 3) => Number(v.toPrecision(digits));
const spread = ({ median, fastest, slowest }: Timing) => ({
  ms: round(median, 4),
  fastest: round(fastest, 4),
  slowest: round(slowest, 4),
});

/** Guided tokens of a batch, conditioning included and decoding left out. */
export async function generation(aim: AiM, name: string, batch: number, dtype: string, c: Context): Promise<Row> {
  const { be, config } = aim;
  const sampler = new Sampler(be, config, aim.params.mamba.backbone, batch, checkSampling({ cfgScale: 1.5 }));
  try {
    const labels = Array.from({ length: batch }, (_, i) => i % config.num_classes);
    const draw = async () => {
      sampler.start(labels, labels);
      await drawTokens(be, sampler, config.num_tokens, { signal: c.signal });
      await be.settle();
    };
    const t = await timed(c.runs, draw, c.signal);
    await keep(c, `generate ${name} batch ${batch} ${dtype}`, be, draw);
    const { commands, bytes } = sampler.cost;
    const perToken = t.median / config.num_tokens;
    return {
      model: name,
      batch,
      weights: dtype,
      ...spread(t),
      'µs/token': round(perToken * 1000, 4),
      'dispatches/token': commands,
      'MB/token': round(bytes / 1e6),
      '% of copy': round((bytes / (perToken / 1000) / c.copy) * 100),
    };
  } finally {
    sampler.dispose();
  }
}

/** Codes of square images → pixels on the device. */
export async function decoding(aim: AiM, name: string, batch: number, precision: string, c: Context): Promise<Row> {
  const { be, config, params } = aim;
  const side = Math.sqrt(config.num_tokens);
  const codes = Uint32Array.from({ length: batch * config.num_tokens }, (_, i) => (i * 7919) % config.vocab_size);
  const tokens = be.from(codes, [codes.length], 'u32');
  let flops = 0;
  const { recording, result } = be.record(() => decodeForward(be, params.vqvae, tokens, [batch, side, side]));
  try {
    flops = recording.cost.flops;
    const run = async () => {
      recording.replay();
      await be.settle();
    };
    const t = await timed(c.runs, run, c.signal);
    await keep(c, `decode ${name} batch ${batch} ${precision}`, be, run);
    return { model: name, batch, precision, image: result.shape.slice(1, 3).join('×'), ...spread(t), ...rate(flops, t, c) };
  } finally {
    recording.dispose();
    be.free(tokens);
  }
}

/** A whole training step of stage 2: forward, backward, clipping, AdamW. */
export async function training(aim: AiM, name: string, batch: number, precision: string, c: Context): Promise<Row> {
  const { config, be } = aim;
  const steps = c.runs + 2;
  const codes = (n: number): Codes => ({
    codes: Uint32Array.from({ length: n * config.num_tokens }, (_, i) => (i * 7919) % config.vocab_size),
    labels: Uint32Array.from({ length: n }, (_, i) => i % config.num_classes),
    eval: undefined,
    classes: Array.from({ length: config.num_classes }, (_, i) => `${i}`),
    tokens: config.num_tokens,
    vocabulary: config.vocab_size,
    fingerprint: '',
  });
  const data = { ...codes(4 * batch), fingerprint: await tokenizerFingerprint(aim) };
  const trainer = new Trainer({ model: aim, data, batchSize: batch, steps: 2 * steps, evalEvery: 0, lr: 1e-5, warmup: 10 });
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
    const measured = times.slice(2).sort((a, b) => a - b);
    const t = { median: measured[measured.length >> 1]!, fastest: measured[0]!, slowest: measured.at(-1)! };
    const { flops } = trainer.cost;
    await keep(c, `train ${name} ${precision}`, be, async () => {
      for await (const _ of trainer.run({ signal: c.signal })) break;
    });
    return {
      model: name,
      mixer: config.mixer.layer,
      batch,
      precision,
      ...spread(t),
      'tokens/s': Math.round((batch * config.num_tokens * 1000) / t.median),
      ...rate(flops, t, c),
      dispatches: Math.round(dispatches),
      'GB on device': round(be.bytes / 1e9),
      loss: round(loss, 5),
    };
  } finally {
    trainer.dispose();
  }
}

/** y = x·wᵀ: rate by arithmetic and, where few rows make it wait for the weights, by memory. */
export async function product(be: Backend, shape: GemmShape, dtype: 'f32' | 'f16', precision: string, c: Context): Promise<Row> {
  const { m, n, k } = shape;
  const t = await gemm(be, shape, dtype, c.runs);
  const bytes = 4 * m * (n + k) + (dtype === 'f16' ? 2 : 4) * n * k;
  return {
    m,
    n,
    k,
    weights: dtype,
    factors: precision === 'mixed' ? 'f16' : 'f32',
    µs: round(t.median * 1000, 4),
    'TFLOP/s': round((2 * m * n * k) / t.median / 1e9),
    'GB/s': round(bytes / t.median / 1e6),
    '% of copy': round((bytes / (t.median / 1000) / c.copy) * 100),
  };
}

/** How time grows with batch, tokens, width and depth: one at a time about `base`, with the fitted exponents. */
export async function scaling(
  make: (json: AimConfigJson) => Promise<AiM>,
  base: AimConfigJson,
  c: Context,
  add: (row: Row) => void,
): Promise<void> {
  const series = async (axis: string, sizes: readonly number[], at: (size: number) => [AimConfigJson, number]) => {
    const points: [number, number][] = [];
    for (const size of sizes) {
      const [json, batch] = at(size);
      const aim = await make(json);
      try {
        const row = await generation(aim, 'scaled', batch, 'f32', { ...c, profiles: undefined });
        points.push([size, row.ms as number]);
        add({ axis, size, ms: row.ms!, 'µs/token': row['µs/token']! });
      } finally {
        await aim.dispose();
      }
    }
    const upper = points.slice(-Math.ceil(points.length / 2));
    add({ axis, size: 'exponent', ms: round(exponent(points)), 'µs/token': `upper half ${round(exponent(upper))}` });
  };
  // Only stage 2 is timed, so the tokenizer is as small as can be.
  const small = {
    ...base,
    vq_config: { ...VQ_F16, ch: 32, ch_mult: [1, 1], num_res_blocks: 1, z_channels: 32, n_embed: base.vocab_size },
  };
  const times = (n: number, factors: readonly number[]) => factors.map((f) => n * f);
  await series('batch', [1, 2, 4, 8, 16, 32, 64], (n) => [small, n]);
  await series('tokens', [64, 144, 256, 576, 1024], (n) => [{ ...small, num_tokens: n }, 1]);
  await series('width', times(base.d_model, [0.5, 1, 1.5, 2]), (n) => [{ ...small, d_model: n }, 1]);
  await series('depth', times(base.n_layer, [0.25, 0.5, 1, 2]), (n) => [{ ...small, n_layer: n }, 1]);
}

const rate = (flops: number, t: Timing, c: Context) => ({
  'TFLOP/s': round(flops / t.median / 1e9),
  '% of GEMM': round((flops / (t.median / 1000) / c.peak) * 100),
});

/** Keeps the profile of one run, when profiles are wanted. */
async function keep(c: Context, name: string, be: Backend, fn: () => Promise<unknown>): Promise<void> {
  if (c.profiles) c.profiles[name] = await be.profile(fn);
}

/** `aim verify`: a checkpoint's own golden values (expected.safetensors) against what a backend computes. */
import type { AiM, Placed } from '../aim.js';
import type { ByteSource } from '../checkpoint/source.js';
import { CheckpointError } from '../core/errors.js';
import type { NumArray, Tensor } from '../core/tensor.js';
import { parseHeader, readFloats, readInts, type SafetensorsHeader } from '../io/safetensors.js';
import { Acts } from '../model/acts.js';
import { aimForward } from '../model/aim.js';
import { widened } from '../model/layers.js';
import { modulationForward, modulationTensors } from '../model/modulation.js';
import { allocate, mapParams, toCheckpoint, zip } from '../model/params.js';
import { checkSampling, Sampler } from '../model/sampler.js';
import { tokenizerOf } from '../model/tokenizers.js';
import { bringKernels } from '../train/kernels.js';
import { type Tolerances, type VerifyMode, verifyMode } from './tolerance.js';
import { compareAfter, type TrainingRun, trainingRun } from './training.js';

export interface VerifyRow {
  name: string;
  /** Largest absolute error; for tokens and codes the number that differ. */
  maxAbs: number;
  /**
   * maxAbs over the tensor's largest magnitude; for tokens and codes the share that differ; for weights after training steps the
   * largest share that a weight takes of what it is allowed.
   */
  maxRel: number;
  /** Allowed maxRel. */
  allowed: number;
  ok: boolean;
  note?: string;
}

export interface Skipped {
  name: string;
  reason: string;
}

export interface VerifyOptions {
  /** The data set whose images some goldens name by index. */
  testSet?: TestSet | undefined;
  /** Also run checks that take minutes on a slow device. */
  slow?: boolean;
  onRow?: (row: VerifyRow) => void;
  signal?: AbortSignal | undefined;
}

/** A labelled test set, read by index. */
export interface TestSet {
  /** NHWC pixels in [-1, 1]. */
  images(indices: readonly number[]): Promise<{ width: number; height: number; pixels: Float32Array }>;
  labels(indices: readonly number[]): Promise<Uint32Array>;
}

interface Expected {
  shape: readonly number[];
  data: NumArray;
}

/** A gradient whose values are all below this share of the largest of all gradients is 0 but for rounding. */
const ROUNDING = 1e-6;
/** Largest squared distance of two normalised vectors. */
const FARTHEST = 4;
/** Images per forward pass, to bound memory. */
const CHUNK = 10;

/**
 * Checks every tensor of `source` that this knows; returns a row each and the rest with the reason.
 *
 * What is allowed depends on how the model computes, which `mode` tells: `dtype: 'f16'` rounds weights that are not float16 in the
 * checkpoint, `precision: 'mixed'` the factors of products where the device has matrix units. A token or code may then differ from
 * the golden where the two candidates are as close as that; positions after it are judged under the golden's history. Rounded
 * weights are held against the same weights in float32, too, to float32's tolerance; training, which never uses them, is skipped.
 *
 * Throws CheckpointError when the file is not of the goldens' form.
 */
export async function verify(
  aim: AiM,
  source: ByteSource,
  options: VerifyOptions = {},
): Promise<{ mode: VerifyMode; rows: VerifyRow[]; skipped: Skipped[] }> {
  bringKernels(aim.be);
  const header = await parseHeader(source, { signal: options.signal });
  const names = [...header.tensors.keys()];
  const rows: VerifyRow[] = [];
  const skipped: Skipped[] = [];
  const load = (name: string) => loadExpected(source, header, name);
  const add = (row: VerifyRow) => {
    rows.push(row);
    options.onRow?.(row);
  };
  const run = new Checker(aim, load, header, options);
  try {
    for (const name of names) {
      options.signal?.throwIfAborted();
      if (name.startsWith('input.') || name === 'vq.image') continue;
      const check = await run.check(name);
      if ('reason' in check) skipped.push({ name, reason: check.reason });
      else add(check);
    }
  } finally {
    run.dispose();
  }
  return { mode: run.mode, rows, skipped };
}

type Params = Placed['params'];

class Checker {
  readonly mode: VerifyMode;
  private readonly allowed: Readonly<Tolerances>;
  private widened: { params: Params; copies: Tensor[] } | undefined;
  private training: Promise<TrainingRun> | undefined;
  private trained: Promise<TrainedTokenizer | { reason: string }> | undefined;
  private image: Promise<{ pixels: Float32Array; shape: [number, number, number, number] } | { reason: string }> | undefined;

  constructor(
    private readonly aim: AiM,
    private readonly load: (name: string) => Promise<Expected>,
    private readonly header: SafetensorsHeader,
    private readonly options: VerifyOptions,
  ) {
    this.mode = verifyMode(aim);
    this.allowed = this.mode.allowed;
  }

  /** Compares one expected tensor, or says why it cannot. */
  async check(name: string): Promise<VerifyRow | { reason: string }> {
    const decode = /^decode\.(logits|greedy-tokens)\.positions-(trained|authors)\.cfg([\d.]+)$/.exec(name);
    if (decode) {
      const [, what, positions, w] = decode as unknown as [string, string, 'trained' | 'authors', string];
      return what === 'logits' ? this.decodeLogits(name, positions, Number(w)) : this.greedyTokens(name, positions, Number(w));
    }
    switch (name) {
      case 'forward.logits':
        return this.forwardLogits(name);
      case 'forward.loss':
        return this.forwardLoss(name);
      case 'vq.pre-quant':
        return this.preQuant(name);
      case 'vq.codes':
        return this.vqCodes(name);
      case 'vq.decoded-from-codes':
        return this.decoded(name);
    }
    const first = /^forward\.loss\.first-(\d+)-test-images$/.exec(name);
    if (first) return this.testLoss(name, Number(first[1]));
    if (this.aim.rounded && /^(?:grad|adamw|vq\.loss)\./.test(name)) return { reason: TRAINING };
    const trained = /^(?:grad|adamw\.after5)\.(mamba\..+)$/.exec(name)?.[1];
    if (trained) return name.startsWith('grad.') ? this.gradient(name, trained) : this.afterSteps(name, trained);
    if (name === 'adamw.losses')
      return compare(name, (await this.train()).losses, (await this.load(name)).data, this.allowed.loss);
    const loss = /^vq\.loss\.(mse|codebook|commitment)$/.exec(name);
    if (loss) return this.tokenizerLoss(name, loss[1] as 'mse');
    if (name.startsWith('grad.vqvae.')) return this.tokenizerGradient(name);
    return { reason: 'unknown name' };
  }

  /** The weights in float32, as training has them. */
  private wide(): Params {
    const { aim } = this;
    const named = aim.named();
    const copies: Tensor[] = [];
    const wide = (_: unknown, name: string) => {
      const { tensor } = named.get(name)!;
      if (tensor.dtype !== 'f16') return tensor;
      copies.push(widened(aim.be, tensor));
      return copies.at(-1)!;
    };
    this.widened ??= { params: mapParams(aim.tree, wide) as unknown as Params, copies };
    return this.widened.params;
  }

  dispose(): void {
    this.aim.be.free(...(this.widened?.copies ?? []));
  }

  /** Compares what the model computes. The goldens leave rounded weights room, in which a fault of theirs must not hide. */
  private async computed(
    name: string,
    want: NumArray,
    allowed: number,
    values: (params: Params) => Promise<NumArray>,
  ): Promise<VerifyRow> {
    const got = await values(this.aim.params);
    const row = compare(name, got, want, allowed);
    if (this.mode.name !== 'f16 weights') return row;
    const { maxRel, ok } = compare(name, got, await values(this.wide()), STORAGE);
    const note = `${maxRel.toExponential(1)} from the same weights in float32, allowed ${STORAGE}`;
    return { ...row, ok: row.ok && ok, note };
  }

  private async tokens(): Promise<{ tokens: Expected; labels: Expected }> {
    const tokens = this.header.tensors.has('input.tokens') ? 'input.tokens' : 'vq.codes';
    return { tokens: await this.load(tokens), labels: await this.load('input.labels') };
  }

  /** Logits of whole sequences, handed out in chunks of images as (index of the first, [n, T, V] values). */
  private async forward(
    { mamba }: Params,
    tokens: NumArray,
    labels: NumArray,
    n: number,
    use: (first: number, logits: NumArray) => void,
  ) {
    const { be, config } = this.aim;
    const T = config.num_tokens;
    for (let at = 0; at < n; at += CHUNK) {
      this.options.signal?.throwIfAborted();
      const k = Math.min(CHUNK, n - at);
      const t = be.from(tokens.subarray(at * T, (at + k) * T), [k, T], 'u32');
      const l = be.from(labels.subarray(at, at + k), [k], 'u32');
      const step = be.from(new Uint32Array(k), [k], 'u32');
      const a = new Acts(be);
      const modulation = modulationForward(be, mamba.backbone, config, { labels: l }, a);
      const logits = aimForward(be, mamba.backbone, config, { tokens: t, step, modulation, length: T, shift: 0 }, a);
      use(at, await be.read(logits));
      be.free(t, l, step, logits, ...modulationTensors(modulation));
    }
  }

  private train(): Promise<TrainingRun> {
    this.training ??= this.tokens().then(({ tokens, labels }) =>
      trainingRun(this.aim, this.wide(), tokens.data, labels.data, this.options.signal),
    );
    return this.training;
  }

  private async gradient(name: string, param: string): Promise<VerifyRow | { reason: string }> {
    const grad = (await this.train()).grads.get(param);
    if (!grad) return { reason: 'the model has no such parameter' };
    return compare(name, grad, (await this.load(name)).data, this.allowed.gradient);
  }

  private async afterSteps(name: string, param: string): Promise<VerifyRow | { reason: string }> {
    const { after, grads } = await this.train();
    const got = after.get(param);
    if (!got) return { reason: 'the model has no such parameter' };
    const { maxAbs, share } = compareAfter(got, (await this.load(name)).data, grads.get(param)!, this.allowed.noise);
    return { name, maxAbs, maxRel: share, allowed: 1, ok: share <= 1 };
  }

  private async forwardLogits(name: string): Promise<VerifyRow> {
    const want = await this.load(name);
    const { tokens, labels } = await this.tokens();
    const n = want.shape[0]!;
    return this.computed(name, want.data, this.allowed.logits, async (params) => {
      const got = new Float64Array(want.data.length);
      await this.forward(params, tokens.data, labels.data, n, (first, logits) => got.set(logits, (first * got.length) / n));
      return got;
    });
  }

  private async loss(tokens: NumArray, labels: NumArray, n: number): Promise<number> {
    const { num_tokens: T, vocab_size: V } = this.aim.config;
    let sum = 0;
    await this.forward(this.aim.params, tokens, labels, n, (first, logits) => {
      for (let i = 0; i < logits.length / V; i++)
        sum += crossEntropy(logits.subarray(i * V, (i + 1) * V), tokens[first * T + i]!);
    });
    return sum / (n * T);
  }

  private async forwardLoss(name: string): Promise<VerifyRow> {
    const { tokens, labels } = await this.tokens();
    const loss = await this.loss(tokens.data, labels.data, tokens.shape[0]!);
    return compare(name, [loss], (await this.load(name)).data, this.allowed.loss);
  }

  private async testLoss(name: string, n: number): Promise<VerifyRow | { reason: string }> {
    const { testSet, slow } = this.options;
    if (!testSet) return { reason: NO_DATA };
    if (!slow && (this.aim.backend === 'reference' || /swiftshader|llvmpipe/i.test(this.aim.device)))
      return { reason: `${n} images take minutes on ${this.aim.device}; pass --slow to run them` };
    const index = Array.from({ length: n }, (_, i) => i);
    const { width, height, pixels } = await testSet.images(index);
    const labels = await testSet.labels(index);
    const codes = await this.encode(this.aim.params, pixels, [n, height, width, 3]);
    return compare(name, [await this.loss(codes.codes, labels, n)], (await this.load(name)).data, this.allowed.loss);
  }

  private async decodeLogits(name: string, positions: 'trained' | 'authors', cfgScale: number): Promise<VerifyRow> {
    const want = await this.load(name);
    const { tokens, labels } = await this.tokens();
    return this.computed(name, want.data, this.allowed.logits, (params) =>
      this.forced(params, tokens.data, labels.data, want.shape[0]!, positions, cfgScale),
    );
  }

  /** Guided logits [n, T, V], step by step with state, feeding the given tokens. */
  private async forced(
    { mamba }: Params,
    tokens: NumArray,
    labels: NumArray,
    n: number,
    positions: 'trained' | 'authors',
    cfgScale: number,
  ) {
    const { be, config } = this.aim;
    const { num_tokens: T, vocab_size: V } = config;
    const got = new Float64Array(n * T * V);
    const sampler = new Sampler(be, config, mamba.backbone, n, checkSampling({ cfgScale, positions }));
    try {
      sampler.start([...labels.subarray(0, n)], new Array<number>(n).fill(0));
      be.write(sampler.tokens, Uint32Array.from(tokens.subarray(0, n * T)));
      for (let t = 0; t < T; t++) {
        be.write(sampler.step, new Uint32Array(n).fill(t));
        sampler.logitsOnly();
        const logits = await be.read(sampler.logits);
        for (let i = 0; i < n; i++) got.set(logits.subarray(i * V, (i + 1) * V), (i * T + t) * V);
      }
    } finally {
      sampler.dispose();
    }
    return got;
  }

  private async greedyTokens(name: string, positions: 'trained' | 'authors', cfgScale: number): Promise<VerifyRow> {
    const { be, config, params } = this.aim;
    const { num_tokens: T, vocab_size: V } = config;
    const want = await this.load(name);
    const n = want.shape[0]!;
    const given = this.header.tensors.get('input.labels');
    // Goldens of a real checkpoint draw labels 0, 1, 2, …; small ones draw their input's labels.
    const labels = given?.shape[0] === n ? (await this.load('input.labels')).data : Uint32Array.from({ length: n }, (_, i) => i);
    const sampler = new Sampler(be, config, params.mamba.backbone, n, checkSampling({ cfgScale, positions, temperature: 0 }));
    let got: NumArray;
    try {
      sampler.start([...labels], new Array<number>(n).fill(0));
      for (let t = 0; t < T; t++) sampler.next();
      got = await be.read(sampler.tokens);
    } finally {
      sampler.dispose();
    }
    if (want.data.every((v, i) => got[i] === v)) return exactRow(name, 0, want.data.length);
    // Rows part ways after one near tie, so look at every position under the expected history.
    const logits = await this.forced(params, want.data, labels, n, positions, cfgScale);
    return tieRow(name, want.data, this.allowed.tie * largestOf(logits), (i) => {
      const row = logits.subarray(i * V, (i + 1) * V);
      const best = row.reduce((b, v, j) => (v > row[b]! ? j : b), 0);
      return { best, gap: row[best]! - row[want.data[i]!]! };
    });
  }

  private pixels() {
    this.image ??= (async () => {
      if (this.header.tensors.has('vq.image')) {
        const { shape, data } = await this.load('vq.image');
        const [b, c, h, w] = shape as [number, number, number, number];
        return { pixels: toNhwc(data, b, c, h * w), shape: [b, h, w, c] as [number, number, number, number] };
      }
      if (!this.header.tensors.has('input.test-index')) return { reason: 'there is no vq.image to encode' };
      if (!this.options.testSet) return { reason: NO_DATA };
      const index = await this.load('input.test-index');
      const { width, height, pixels } = await this.options.testSet.images([...index.data]);
      return { pixels, shape: [index.data.length, height, width, 3] as [number, number, number, number] };
    })();
    return this.image;
  }

  private async encode({ vqvae }: Params, pixels: Float32Array, [n, h, w, c]: [number, number, number, number]) {
    const { be, config } = this.aim;
    const tokenizer = tokenizerOf(config.tokenizer);
    const codes: number[] = [];
    const features: number[] = [];
    const per = h * w * c;
    for (let at = 0; at < n; at += CHUNK) {
      this.options.signal?.throwIfAborted();
      const k = Math.min(CHUNK, n - at);
      const x = be.from(pixels.subarray(at * per, (at + k) * per), [k, h, w, c]);
      const z = tokenizer.encode(be, vqvae, config.tokenizer, x);
      const q = tokenizer.quantize(be, vqvae, config.tokenizer, z);
      for (const v of await be.read(z)) features.push(v);
      for (const v of await be.read(q)) codes.push(v);
      be.free(x, z, q);
    }
    return { codes: Uint32Array.from(codes), features: Float64Array.from(features) };
  }

  /** One forward and backward pass of the tokenizer on vq.image, for all rows that need it. */
  private tokenizerPass(): Promise<TrainedTokenizer | { reason: string }> {
    this.trained ??= (async () => {
      const image = await this.pixels();
      if ('reason' in image) return image;
      const { be, config } = this.aim;
      const { vqvae } = this.wide();
      const a = new Acts(be, true);
      const x = be.from(image.pixels, image.shape);
      const tokenizer = tokenizerOf(config.tokenizer);
      const { losses, codes } = tokenizer.lossForward(be, vqvae, config.tokenizer, x, a);
      const tree = tokenizer.params(config.tokenizer);
      const g = allocate(be, tree);
      for (const [, , tensor] of zip(tree, g)) be.zero(tensor);
      tokenizer.lossBackward(be, vqvae, g, config.tokenizer, a);
      const loss = async (of: string) => (await be.read(losses[of]!))[0]!;
      const values = { mse: await loss('mse'), codebook: await loss('codebook'), commitment: await loss('commitment') };
      const gradients = new Map<string, ArrayLike<number>>();
      let largest = 0;
      for (const [name, spec, tensor] of zip(tree, g, 'grad.vqvae')) {
        gradients.set(name, toCheckpoint(spec, Float32Array.from(await be.read(tensor))));
        if (this.header.tensors.has(name)) largest = Math.max(largest, largestOf((await this.load(name)).data));
      }
      const taken = await be.read(codes);
      be.free(x, ...[...zip(tree, g)].map(([, , tensor]) => tensor));
      a.free();
      const want = this.header.tensors.has('vq.codes') ? (await this.load('vq.codes')).data : taken;
      if (want.some((code, i) => taken[i] !== code)) return { reason: OTHER_CODES };
      return { losses: values, gradients, largest };
    })();
    return this.trained;
  }

  private async tokenizerLoss(name: string, which: 'mse' | 'codebook' | 'commitment'): Promise<VerifyRow | { reason: string }> {
    const pass = await this.tokenizerPass();
    if ('reason' in pass) return pass;
    return compare(name, [pass.losses[which]], (await this.load(name)).data, this.allowed.loss);
  }

  private async tokenizerGradient(name: string): Promise<VerifyRow | { reason: string }> {
    const pass = await this.tokenizerPass();
    if ('reason' in pass) return pass;
    const got = pass.gradients.get(name);
    if (!got) return { reason: 'the model has no such parameter' };
    return gradientRow(name, got, (await this.load(name)).data, this.allowed, pass.largest);
  }

  private async preQuant(name: string): Promise<VerifyRow | { reason: string }> {
    const image = await this.pixels();
    if ('reason' in image) return image;
    const want = await this.load(name);
    const [b, c, h, w] = want.shape as [number, number, number, number];
    return this.computed(name, toNhwc(want.data, b, c, h * w), this.allowed.features, async (params) => {
      return (await this.encode(params, image.pixels, image.shape)).features;
    });
  }

  private async vqCodes(name: string): Promise<VerifyRow | { reason: string }> {
    const image = await this.pixels();
    if ('reason' in image) return image;
    const want = (await this.load(name)).data;
    const { codes, features } = await this.encode(this.aim.params, image.pixels, image.shape);
    const codebook = tokenizerOf(this.aim.config.tokenizer).codebook(this.aim.params.vqvae);
    const book = await this.aim.be.read(codebook);
    const d = codebook.shape[1]!;
    return tieRow(name, want, this.allowed.tie * FARTHEST, (i) => {
      const best = codes[i]!;
      const z = features.subarray(i * d, (i + 1) * d);
      const gap = best === want[i] ? 0 : Math.abs(distance(z, book, best, d) - distance(z, book, want[i]!, d));
      return { best, gap };
    });
  }

  private async decoded(name: string): Promise<VerifyRow> {
    const { be, config } = this.aim;
    const want = await this.load(name);
    const codes = await this.load('vq.codes');
    const [b, c, h, w] = want.shape as [number, number, number, number];
    const side = Math.sqrt(codes.shape[1]!);
    return this.computed(name, toNhwc(want.data, b, c, h * w), this.allowed.pixels, async ({ vqvae }) => {
      const t = be.from(codes.data.subarray(0, b * side * side), [b * side * side], 'u32');
      const pixels = tokenizerOf(config.tokenizer).decode(be, vqvae, config.tokenizer, t, [b, side, side]);
      const got = await be.read(pixels);
      be.free(t, pixels);
      return got;
    });
  }
}

interface TrainedTokenizer {
  losses: Record<'mse' | 'codebook' | 'commitment', number>;
  /** By name in the goldens, in checkpoint order. */
  gradients: Map<string, ArrayLike<number>>;
  /** Largest magnitude of all expected gradients. */
  largest: number;
}

/** What float16 storage may change of the results of the weights in it: float32 sums in another order. */
const STORAGE = 1e-5;

const TRAINING = "training keeps float32 weights, so rounded ones are not what it is checked with; use dtype 'f32'";
const OTHER_CODES = 'the encoder took other codes (vq.codes tells whether it may), and the rest depends on them';
const NO_DATA = 'needs the test images: install Debian package dataset-fashion-mnist or pass --data FOLDER';

async function loadExpected(source: ByteSource, header: SafetensorsHeader, name: string): Promise<Expected> {
  const entry = header.tensors.get(name);
  if (!entry) throw new CheckpointError(`${source.name} has no tensor ${name}, which its other tensors need.`);
  const float = /^(F|BF)/.test(entry.dtype);
  const data = float ? await readFloats(source, header, name) : Uint32Array.from(await readInts(source, header, name));
  return { shape: entry.shape, data };
}

const largestOf = (values: ArrayLike<number>) =>
  Array.prototype.reduce.call(values, (m, v) => Math.max(m as number, Math.abs(v)), 0) as number;

/**
 * A gradient is held against its own largest value. Where that is rounding itself (of a bias before a GroupNorm that takes it
 * away, say, or of attention's keys), both sides must be small beside `largest`, the largest value of all gradients.
 */
function gradientRow(
  name: string,
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  { gradient, vanishing }: Tolerances,
  largest: number,
): VerifyRow {
  const row = compare(name, got, want, gradient);
  if (largestOf(want) > ROUNDING * largest) return row;
  const maxRel = row.maxAbs / largest;
  const note = `0 but for rounding: relative to the largest of all gradients, ${largest.toPrecision(2)}`;
  return { ...row, maxRel, allowed: vanishing, ok: maxRel <= vanishing, note };
}

function compare(name: string, got: ArrayLike<number>, want: ArrayLike<number>, allowed: number): VerifyRow {
  if (got.length !== want.length)
    throw new CheckpointError(`${name} has ${want.length} values, but this model's config makes ${got.length}.`);
  let maxAbs = 0;
  let largest = 0;
  for (let i = 0; i < want.length; i++) {
    const diff = Math.abs(got[i]! - want[i]!);
    // NaN fails: it is larger than any allowance.
    if (!(diff <= maxAbs)) maxAbs = Number.isNaN(diff) ? Number.POSITIVE_INFINITY : diff;
    largest = Math.max(largest, Math.abs(want[i]!));
  }
  const maxRel = maxAbs === 0 ? 0 : maxAbs / largest;
  return { name, maxAbs, maxRel, allowed, ok: maxRel <= allowed };
}

const exactRow = (name: string, differ: number, of: number): VerifyRow => ({
  name,
  maxAbs: differ,
  maxRel: differ / of,
  allowed: 0,
  ok: differ === 0,
});

/** Equal integers, except where the wanted one is within `tie` of the best candidate. */
function tieRow(name: string, want: ArrayLike<number>, tie: number, at: (i: number) => { best: number; gap: number }): VerifyRow {
  let differ = 0;
  let widest = 0;
  for (let i = 0; i < want.length; i++) {
    const { best, gap } = at(i);
    if (best === want[i]) continue;
    differ++;
    // NaN stays, and is no tie.
    widest = Math.max(widest, gap);
  }
  const row = exactRow(name, differ, want.length);
  if (!differ) return row;
  const note = `of two candidates ${widest.toPrecision(2)} apart, a near tie up to ${tie.toPrecision(2)}`;
  return { ...row, ok: widest <= tie, note };
}

/** −log softmax(logits)[target] */
function crossEntropy(logits: NumArray, target: number): number {
  let max = Number.NEGATIVE_INFINITY;
  for (const v of logits) max = Math.max(max, v);
  let sum = 0;
  for (const v of logits) sum += Math.exp(v - max);
  return Math.log(sum) + max - logits[target]!;
}

/** Squared distance of L2-normalised z and codebook row. */
function distance(z: ArrayLike<number>, book: ArrayLike<number>, row: number, d: number): number {
  let nz = 0;
  let ne = 0;
  for (let i = 0; i < d; i++) {
    nz += z[i]! ** 2;
    ne += book[row * d + i]! ** 2;
  }
  let sum = 0;
  for (let i = 0; i < d; i++) sum += (z[i]! / Math.sqrt(nz) - book[row * d + i]! / Math.sqrt(ne)) ** 2;
  return sum;
}

/** [b, c, s] → [b, s, c] */
function toNhwc(data: ArrayLike<number>, b: number, c: number, s: number): Float32Array {
  const out = new Float32Array(data.length);
  for (let n = 0; n < b; n++) {
    for (let i = 0; i < c; i++) for (let j = 0; j < s; j++) out[(n * s + j) * c + i] = data[(n * c + i) * s + j]!;
  }
  return out;
}

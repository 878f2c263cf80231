/** Checks of stage 2: logits of whole sequences, step-by-step decoding, losses, gradients and AdamW steps. */
import type { NumArray } from '../core/tensor.js';
import { crossEntropy, forwardLogits } from '../model/likelihood.js';
import { checkSampling, Sampler } from '../model/sampler.js';
import { compare, exactRow, largestOf, tieRow, type VerifyRow } from './compare.js';
import type { Checked, Context, Params } from './context.js';
import { compareAfter, type TrainingRun, trainingRun } from './training.js';

/** How the goldens were decoded. */
export interface Decoding {
  positions: 'trained' | 'authors';
  cfgScale: number;
}

/** Images drawn on a slow device, where ten take half a minute. */
const FEW = 3;

/** One method for each kind of golden of stage 2. They return a row, or the reason why they cannot. */
export class Stage2Checks {
  private training: Promise<TrainingRun> | undefined;

  constructor(private readonly c: Context) {}

  /** Computes logits of whole sequences. Calls `use(index of the first image, logits [k, T, V])` for some images at a time. */
  private forward(
    params: Params,
    { tokens, labels, n }: { tokens: NumArray; labels: NumArray; n: number },
    use: (first: number, logits: NumArray) => void,
  ): Promise<void> {
    const { be, config } = this.c.model;
    const sequences = { tokens, labels: labels.subarray(0, n) };
    return forwardLogits({ be, params }, config, sequences, use, this.c.options.signal);
  }

  /** The training run that several rows share. */
  private train(): Promise<TrainingRun> {
    this.training ??= this.c.tokens().then(({ tokens, labels }) =>
      trainingRun(this.c.model, {
        params: this.c.wide(),
        tokens: tokens.data,
        labels: labels.data,
        signal: this.c.options.signal,
      }),
    );
    return this.training;
  }

  async gradient(name: string, param: string): Promise<Checked> {
    const grad = (await this.train()).grads.get(param);
    if (!grad) return { reason: 'the model has no such parameter' };
    return compare(name, grad, (await this.c.load(name)).data, this.c.allowed.gradient);
  }

  async afterSteps(name: string, param: string): Promise<Checked> {
    const { after, grads } = await this.train();
    const got = after.get(param);
    if (!got) return { reason: 'the model has no such parameter' };
    const { maxAbs, share } = compareAfter(got, (await this.c.load(name)).data, grads.get(param)!, this.c.allowed.noise);
    return { name, maxAbs, maxRel: share, allowed: 1, ok: share <= 1 };
  }

  async forwardLogits(name: string): Promise<VerifyRow> {
    const want = await this.c.load(name);
    const { tokens, labels } = await this.c.tokens();
    const n = want.shape[0]!;
    return this.c.computed(name, want.data, this.c.allowed.logits, async (params) => {
      const got = new Float64Array(want.data.length);
      await this.forward(params, { tokens: tokens.data, labels: labels.data, n }, (first, logits) =>
        got.set(logits, (first * got.length) / n),
      );
      return got;
    });
  }

  /** Mean cross-entropy of n sequences, in nats per token. */
  private async loss(tokens: NumArray, labels: NumArray, n: number): Promise<number> {
    const { num_tokens: T, vocab_size: V } = this.c.model.config;
    let sum = 0;
    await this.forward(this.c.model.params, { tokens, labels, n }, (first, logits) => {
      for (let i = 0; i < logits.length / V; i++)
        sum += crossEntropy(logits.subarray(i * V, (i + 1) * V), tokens[first * T + i]!);
    });
    return sum / (n * T);
  }

  async forwardLoss(name: string): Promise<VerifyRow> {
    const { tokens, labels } = await this.c.tokens();
    const loss = await this.loss(tokens.data, labels.data, tokens.shape[0]!);
    return compare(name, [loss], (await this.c.load(name)).data, this.c.allowed.loss);
  }

  async testLoss(name: string, n: number): Promise<Checked> {
    const testSet = this.c.testImages();
    if ('reason' in testSet) return testSet;
    if (this.c.shortened)
      return { reason: `${n} images take minutes on ${this.c.model.be.description}; pass --slow to run them` };
    const index = Array.from({ length: n }, (_, i) => i);
    const { width, height, pixels } = await testSet.images(index);
    const labels = await testSet.labels(index);
    const codes = await this.c.encode(this.c.model.params, pixels, [n, height, width, 3]);
    return compare(name, [await this.loss(codes.codes, labels, n)], (await this.c.load(name)).data, this.c.allowed.loss);
  }

  async decodeLogits(name: string, how: Decoding): Promise<VerifyRow> {
    const want = await this.c.load(name);
    const { tokens, labels } = await this.c.tokens();
    return this.c.computed(name, want.data, this.c.allowed.logits, (params) =>
      this.forced(params, { tokens: tokens.data, labels: labels.data, n: want.shape[0]!, how }),
    );
  }

  /** Guided logits [n, T, V], computed step by step with state, where each step gets the given tokens. */
  private async forced(
    { mamba }: Params,
    { tokens, labels, n, how }: { tokens: NumArray; labels: NumArray; n: number; how: Decoding },
  ): Promise<Float64Array> {
    const { be, config } = this.c.model;
    const { num_tokens: T, vocab_size: V } = config;
    const got = new Float64Array(n * T * V);
    const sampler = new Sampler(be, config, mamba.backbone, n, checkSampling(how));
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

  async greedyTokens(name: string, how: Decoding): Promise<VerifyRow> {
    const { be, config, params } = this.c.model;
    const { num_tokens: T } = config;
    const golden = await this.c.load(name);
    const all = golden.shape[0]!;
    const n = this.c.shortened ? Math.min(all, FEW) : all;
    const want = golden.data.subarray(0, n * T);
    const given = this.c.header.tensors.get('input.labels');
    // Goldens of a real checkpoint use labels 0, 1, 2, …; small goldens use the labels of their input.
    const labels =
      given?.shape[0] === all
        ? (await this.c.load('input.labels')).data.subarray(0, n)
        : Uint32Array.from({ length: n }, (_, i) => i);
    const sampler = new Sampler(be, config, params.mamba.backbone, n, checkSampling({ ...how, temperature: 0 }));
    let got: NumArray;
    try {
      sampler.start([...labels], new Array<number>(n).fill(0));
      for (let t = 0; t < T; t++) sampler.next();
      got = await be.read(sampler.tokens);
    } finally {
      sampler.dispose();
    }
    const row = await this.tokensRow(name, got, want, { params, labels, n, how });
    return n === all ? row : { ...row, note: [row.note, `${n} of ${all} images; --slow draws all`].filter(Boolean).join('; ') };
  }

  /** Compares tokens [n, T] drawn with the expected ones. */
  private async tokensRow(
    name: string,
    got: NumArray,
    want: NumArray,
    { params, labels, n, how }: { params: Params; labels: NumArray; n: number; how: Decoding },
  ): Promise<VerifyRow> {
    const { vocab_size: V } = this.c.model.config;
    if (want.every((v, i) => got[i] === v)) return exactRow(name, 0, want.length);
    // After one near tie all later tokens may differ, so each position is judged with the expected history.
    const logits = await this.forced(params, { tokens: want, labels, n, how });
    return tieRow(name, want, this.c.allowed.tie * largestOf(logits), (i) => {
      const row = logits.subarray(i * V, (i + 1) * V);
      const best = row.reduce((b, v, j) => (v > row[b]! ? j : b), 0);
      return { best, gap: row[best]! - row[want[i]!]! };
    });
  }

  async losses(name: string): Promise<VerifyRow> {
    return compare(name, (await this.train()).losses, (await this.c.load(name)).data, this.c.allowed.loss);
  }
}

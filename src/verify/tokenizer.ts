/** Checks of the tokenizer: features, codes, decoded pixels, losses and gradients. */
import { Acts } from '../model/acts.js';
import { allocate, toCheckpoint, zip } from '../model/params.js';
import { tokenizerOf } from '../model/tokenizers.js';
import { compare, distance, gradientRow, largestOf, tieRow, toNhwc, type VerifyRow } from './compare.js';
import type { Checked, Context } from './context.js';

/** The largest squared distance of two normalised vectors. */
const FARTHEST = 4;

const OTHER_CODES = 'the encoder chose other codes (see the row vq.codes), and this value depends on them';

interface TrainedTokenizer {
  losses: Record<'mse' | 'codebook' | 'commitment', number>;
  /** Gradients by their names in the goldens, in checkpoint order. */
  gradients: Map<string, ArrayLike<number>>;
  /** The largest magnitude of all expected gradients. */
  largest: number;
}

/** One method for each kind of golden of the tokenizer. They return a row, or the reason why they cannot. */
export class TokenizerChecks {
  private trained: Promise<TrainedTokenizer | { reason: string }> | undefined;

  constructor(private readonly c: Context) {}

  /** One forward and backward pass of the tokenizer on vq.image, which several rows share. */
  private pass(): Promise<TrainedTokenizer | { reason: string }> {
    this.trained ??= (async () => {
      const image = await this.c.pixels();
      if ('reason' in image) return image;
      const { be, config } = this.c.model;
      const { vqvae } = this.c.wide();
      const a = new Acts(be, true);
      const x = be.from(image.pixels, image.shape);
      const tokenizer = tokenizerOf(config.tokenizer);
      const { losses, codes } = tokenizer.lossForward(be, vqvae, config.tokenizer, x, a);
      const tree = tokenizer.params(config.tokenizer);
      const g = allocate(be, tree);
      for (const [, , tensor] of zip(tree, g)) be.zero(tensor);
      tokenizer.lossBackward(be, vqvae, g, config.tokenizer, a);
      const loss = async (name: string) => (await be.read(losses[name]!))[0]!;
      const values = { mse: await loss('mse'), codebook: await loss('codebook'), commitment: await loss('commitment') };
      const gradients = new Map<string, ArrayLike<number>>();
      let largest = 0;
      for (const [name, spec, tensor] of zip(tree, g, 'grad.vqvae')) {
        gradients.set(name, toCheckpoint(spec, Float32Array.from(await be.read(tensor))));
        if (this.c.has(name)) largest = Math.max(largest, largestOf((await this.c.load(name)).data));
      }
      const taken = await be.read(codes);
      be.free(x, ...[...zip(tree, g)].map(([, , tensor]) => tensor));
      a.free();
      const want = this.c.has('vq.codes') ? (await this.c.load('vq.codes')).data : taken;
      if (want.some((code, i) => taken[i] !== code)) return { reason: OTHER_CODES };
      return { losses: values, gradients, largest };
    })();
    return this.trained;
  }

  async loss(name: string, which: 'mse' | 'codebook' | 'commitment'): Promise<Checked> {
    const pass = await this.pass();
    if ('reason' in pass) return pass;
    return compare(name, [pass.losses[which]], (await this.c.load(name)).data, this.c.allowed.loss);
  }

  async gradient(name: string): Promise<Checked> {
    const pass = await this.pass();
    if ('reason' in pass) return pass;
    const got = pass.gradients.get(name);
    if (!got) return { reason: 'the model has no such parameter' };
    return gradientRow(name, got, (await this.c.load(name)).data, this.c.allowed, pass.largest);
  }

  async features(name: string): Promise<Checked> {
    const image = await this.c.pixels();
    if ('reason' in image) return image;
    const want = await this.c.load(name);
    const [b, c, h, w] = want.shape as [number, number, number, number];
    return this.c.computed(name, toNhwc(want.data, b, c, h * w), this.c.allowed.features, async (params) => {
      return (await this.c.encode(params, image.pixels, image.shape)).features;
    });
  }

  async codes(name: string): Promise<Checked> {
    const image = await this.c.pixels();
    if ('reason' in image) return image;
    const want = (await this.c.load(name)).data;
    const { codes, features } = await this.c.encode(this.c.model.params, image.pixels, image.shape);
    const codebook = tokenizerOf(this.c.model.config.tokenizer).codebook(this.c.model.params.vqvae);
    const book = await this.c.model.be.read(codebook);
    const d = codebook.shape[1]!;
    return tieRow(name, want, this.c.allowed.tie * FARTHEST, (i) => {
      const best = codes[i]!;
      const z = features.subarray(i * d, (i + 1) * d);
      const gap = best === want[i] ? 0 : Math.abs(distance(z, book, best, d) - distance(z, book, want[i]!, d));
      return { best, gap };
    });
  }

  async decoded(name: string): Promise<VerifyRow> {
    const { be, config } = this.c.model;
    const want = await this.c.load(name);
    const codes = await this.c.load('vq.codes');
    const [b, c, h, w] = want.shape as [number, number, number, number];
    const side = Math.sqrt(codes.shape[1]!);
    return this.c.computed(name, toNhwc(want.data, b, c, h * w), this.c.allowed.pixels, async ({ vqvae }) => {
      const t = be.from(codes.data.subarray(0, b * side * side), [b * side * side], 'u32');
      const pixels = tokenizerOf(config.tokenizer).decode(be, vqvae, config.tokenizer, t, [b, side, side]);
      const got = await be.read(pixels);
      be.free(t, pixels);
      return got;
    });
  }
}

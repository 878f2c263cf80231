/** The tokenizer's losses and gradients: against the authors' modules, against finite differences, and in training. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import type { Backend } from '../../src/backend/backend.js';
import { ReferenceBackend } from '../../src/backend/reference.js';
import type { Tensor } from '../../src/core/tensor.js';
import { openFile } from '../../src/io/file_source.js';
import { Acts } from '../../src/model/acts.js';
import { allocate, toDevice, zip } from '../../src/model/params.js';
import { decodeBackward, VQ_LOSS, type VqConfig, type VqParams, vqTokenizer } from '../../src/model/vq_tokenizer.js';
import { adamw } from '../../src/ops/adamw.js';
import { unitRow } from '../../src/ops/codebook_lookup.reference.js';
import { mse } from '../../src/ops/mse.js';
import { verify } from '../../src/verify/run.js';
import { wasmBackend } from '../backends.js';
import { fixture, GOLDENS, golden, NO_GOLDENS } from '../goldens.js';
import { rng } from '../ops/harness.js';

const rowsOf = async (folder: string) => {
  const aim = await AiM.fromPretrained(folder, { device: 'wasm' });
  const source = await openFile(`${folder}/expected.safetensors`);
  try {
    return { rows: (await verify(aim, source)).rows, parameters: [...aim.model.named().keys()] };
  } finally {
    await source.close();
    await aim.dispose();
  }
};

describe('against the authors’ modules', () => {
  it('losses match', async () => {
    const { rows } = await rowsOf(fixture('mamba2-adaln'));
    const losses = rows.filter((r) => r.name.startsWith('vq.loss.'));
    expect(losses.map((r) => r.name).sort()).toEqual(['vq.loss.codebook', 'vq.loss.commitment', 'vq.loss.mse']);
    expect(losses.filter((r) => !r.ok)).toEqual([]);
  });

  for (const name of GOLDENS.filter((n) => /^mamba/.test(n))) {
    it(`gradients of ${name} match`, async ({ skip }) => {
      const folder = golden(name);
      if (!folder || folder === fixture(name)) return skip(NO_GOLDENS);
      const { rows, parameters } = await rowsOf(folder);
      const gradients = rows.filter((r) => r.name.startsWith('grad.vqvae.'));
      const want = parameters.filter((n) => n.startsWith('vqvae.')).map((n) => `grad.${n}`);
      expect(gradients.map((r) => r.name).sort()).toEqual(want.sort());
      expect(gradients.filter((r) => !r.ok)).toEqual([]);
    });
  }
});

/** The smallest config with every kind of block. */
const TINY: VqConfig = { type: 'vq', ch: 32, ch_mult: [1, 2], num_res_blocks: 1, z_channels: 32, n_embed: 6, embed_dim: 3 };

/** A tokenizer of random weights with gradients, a batch of blurry random images and its step. */
function setUp(be: Backend, [b, side]: [number, number], seed: number) {
  const tree = vqTokenizer.params(TINY);
  const random = rng(seed);
  const [p, g] = [allocate(be, tree), allocate(be, tree)] as unknown as [VqParams, VqParams];
  for (const [, spec, t] of zip(tree, p)) {
    const data = new Float32Array(t.size);
    spec.init(spec.shape, random, data);
    be.write(t, toDevice(spec, data));
  }
  const phase = Array.from({ length: 3 * b }, () => 6 * random());
  const value = (i: number) => Math.sin(phase[Math.floor(i / (side * side * 3)) * 3 + (i % 3)]! + ((i / 3) % side) / 2);
  const image = be.from(
    Float64Array.from({ length: b * side * side * 3 }, (_, i) => value(i)),
    [b, side, side, 3],
  );
  const a = new Acts(be, true);
  const forward = () => vqTokenizer.lossForward(be, p, TINY, image, a);
  const zero = () => {
    for (const [, , t] of zip(tree, g)) be.zero(t);
  };
  const backward = () => vqTokenizer.lossBackward(be, p, g, TINY, a);
  return { tree, p, g, image, a, forward, zero, backward };
}

describe('gradients match finite differences', () => {
  const be = new ReferenceBackend();
  const s = setUp(be, [2, 4], 5);
  const EPS = 1e-5;
  const d = TINY.embed_dim;
  let dz_q: ArrayLike<number>;
  const codes: number[] = [];

  beforeAll(async () => {
    codes.push(...(await be.read(s.forward().codes)));
    s.zero();
    s.backward();
    // The gradient of what the decoder got, for the straight-through path; decoder gradients go elsewhere.
    const { decoded } = s.a.saved(VQ_LOSS);
    const ddecoded = be.tensor([decoded.size]);
    const flat = (t: Tensor) => be.reshape(t, [t.size]);
    be.run(mse.backward, { x: flat(decoded), truth: flat(s.image), dx: ddecoded }, { scale: 1 / decoded.size });
    const unused = allocate(be, s.tree) as unknown as VqParams;
    dz_q = await be.read(decodeBackward(be, s.p, unused, be.reshape(ddecoded, decoded.shape), s.a.child('decoder')));
  });

  /** Central difference of a function of the losses and of z with respect to one element. */
  async function difference(t: Tensor, i: number, loss: () => Promise<number>): Promise<number> {
    const values = await be.read(t);
    const at = async (shift: number) => {
      be.write(t, values.map((v, j) => (j === i ? v + shift : v)) as Float64Array);
      s.forward();
      return loss();
    };
    const slope = ((await at(EPS)) - (await at(-EPS))) / (2 * EPS);
    be.write(t, values);
    return slope;
  }
  const lossOf = async (name: 'mse' | 'codebook') => (await be.read(s.a.saved(VQ_LOSS)[name]))[0]!;
  const close = (got: number, want: number, what: string) =>
    expect(Math.abs(got - want), `${what}: ${got}, expected ${want}`).toBeLessThan(1e-7 + 1e-4 * Math.abs(want));

  it('for the decoder, with the mean squared error', async () => {
    const random = rng(8);
    const chosen = [...zip(s.tree, s.p)].filter(([n]) => /^(post_quant|decoder)/.test(n) && random() < 0.15);
    const gradients = new Map([...zip(s.tree, s.g)].map(([n, , t]) => [n, t]));
    for (const [name, , t] of chosen) {
      const i = Math.floor(random() * t.size);
      close((await be.read(gradients.get(name)!))[i]!, await difference(t, i, () => lossOf('mse')), `${name}[${i}]`);
    }
  });

  it('for the codebook, with its own loss and the decoder gradient of the mean squared error', async () => {
    const { weight } = s.p.quantize.embedding;
    const [gradient, book] = [await be.read(s.g.quantize.embedding.weight), await be.read(weight)];
    for (const i of [0, 4, codes[0]! * d + 1, codes.at(-1)! * d]) {
      close(gradient[i]!, await difference(weight, i, () => lossOf('codebook')), `codebook[${i}]`);
      const code = Math.floor(i / d);
      const unit = unitRow(book, code, d);
      const sent = unit.map((_, j) => codes.reduce((sum, c, r) => sum + (c === code ? dz_q[r * d + j]! : 0), 0));
      const along = sent.reduce((sum, v, j) => sum + v * unit[j]!, 0);
      const length = Math.hypot(...book.slice(code * d, code * d + d));
      const through = (sent[i % d]! - unit[i % d]! * along) / length;
      close(through, await difference(weight, i, () => lossOf('mse')), `mse by codebook[${i}]`);
    }
  });

  it('for the encoder, with the straight-through gradient and the commitment loss', async () => {
    const book = await be.read(s.p.quantize.embedding.weight);
    const loss = async () => {
      const z = await be.read(s.a.saved(VQ_LOSS).z);
      let sum = 0;
      codes.forEach((code, r) => {
        const [unit, row] = [unitRow(z, r, d), unitRow(book, code, d)];
        unit.forEach((v, j) => {
          sum += dz_q[r * d + j]! * v + (0.25 * (v - row[j]!) ** 2) / z.length;
        });
      });
      return sum;
    };
    const random = rng(9);
    const chosen = [...zip(s.tree, s.p)].filter(([n]) => /^(quant_conv|encoder)/.test(n) && random() < 0.15);
    const gradients = new Map([...zip(s.tree, s.g)].map(([n, , t]) => [n, t]));
    for (const [name, , t] of chosen) {
      const i = Math.floor(random() * t.size);
      close((await be.read(gradients.get(name)!))[i]!, await difference(t, i, loss), `${name}[${i}]`);
    }
  });
});

describe('on wasm', () => {
  let be: Backend;
  beforeAll(async () => {
    be = await wasmBackend();
  });
  afterAll(() => be.dispose());

  it('a replayed step gives the same gradients, and a second step adds to them', async () => {
    const s = setUp(be, [3, 8], 6);
    const read = () => Promise.all([...zip(s.tree, s.g)].map(async ([, , t]) => Float32Array.from(await be.read(t))));
    s.zero();
    s.forward();
    s.backward();
    const once = await read();
    const { recording } = be.record(() => {
      s.forward();
      s.backward();
    });
    s.zero();
    recording.replay();
    expect(await read()).toEqual(once);
    recording.replay();
    const largest = once.reduce((most, g) => g.reduce((m, v) => Math.max(m, Math.abs(v)), most), 0);
    const twice = await read();
    const worst = twice.reduce((most, g, i) => g.reduce((m, v, j) => Math.max(m, Math.abs(v - 2 * once[i]![j]!)), most), 0);
    expect(worst).toBeLessThan(1e-6 * largest);
    recording.dispose();
  });

  it('30 steps of AdamW lower the loss', async () => {
    const s = setUp(be, [4, 8], 7);
    const grads = [...zip(s.tree, s.g)].map(([, , t]) => t);
    const state = [...zip(s.tree, s.p)].map(([, , param], i) => {
      const [m, v] = [be.tensor([param.size]), be.tensor([param.size])];
      be.zero(m);
      be.zero(v);
      return { param: be.reshape(param, [param.size]), grad: be.reshape(grads[i]!, [param.size]), m, v };
    });
    const hyper = be.tensor([8]);
    const { recording, result } = be.record(() => {
      s.zero();
      const { losses } = s.forward();
      s.backward();
      for (const t of state) be.run(adamw.forward, { ...t, hyper }, { decay: 0 });
      return losses;
    });
    const [beta1, beta2] = [0.9, 0.95];
    const losses: number[] = [];
    for (let t = 1; t <= 30; t++) {
      be.write(hyper, Float32Array.of(2e-3, beta1, beta2, 1e-8, 1 - beta1 ** t, 1 - beta2 ** t, 1, 0));
      recording.replay();
      const parts = await Promise.all(Object.values(result).map(async (l: Tensor) => (await be.read(l))[0]!));
      losses.push(parts.reduce((sum, l) => sum + l, 0));
    }
    expect(losses.at(-1)).toBeLessThan(losses[0]! / 2);
  });

  it('backward without saved activations throws an error that says what to do', () => {
    const s = setUp(be, [1, 8], 1);
    const a = new Acts(be);
    vqTokenizer.lossForward(be, s.p, TINY, s.image, a);
    expect(() => vqTokenizer.lossBackward(be, s.p, s.g, TINY, a)).toThrow(
      /backward needs the activation image, which forward did not save; run forward on new Acts\(be, true\)/,
    );
  });
});

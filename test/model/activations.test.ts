/** Backward refuses, by name, activations that forward did not save; their bytes are what the parts declare. */
import { describe, expect, it } from 'vitest';
import type { Backend } from '../../src/backend/backend.js';
import { ReferenceBackend } from '../../src/backend/reference.js';
import { Acts, activationBytes, activations } from '../../src/model/acts.js';
import { type AimParams, aimActivationBytes, aimLoss, aimParams } from '../../src/model/aim.js';
import { blockBackward, blockForward } from '../../src/model/block.js';
import { conditionOf } from '../../src/model/conditions.js';
import { type AimConfig, parseConfig } from '../../src/model/config.js';
import * as layers from '../../src/model/extra_layers.js';
import { headLoss } from '../../src/model/head.js';
import { haveLayers, MIXER_NAMES, mixerOf } from '../../src/model/mixers.js';
import { modulationBackward, modulationForward, modulationGradient } from '../../src/model/modulation.js';
import { allocate, type ParamTree, toDevice, zip } from '../../src/model/params.js';
import { tokenizerOf } from '../../src/model/tokenizers.js';
import { blocksBackward, type LevelParams, midBackward, outBackward } from '../../src/model/vq_blocks.js';
import { decodeBackward, type VqParams } from '../../src/model/vq_tokenizer.js';
import { rng } from '../ops/harness.js';

const be = new ReferenceBackend();

/** Random weights and zeroed gradients. */
function weights<P>(tree: ParamTree): { p: P; g: P } {
  const random = rng(3);
  const [p, g] = [allocate(be, tree), allocate(be, tree)];
  for (const [, spec, t] of zip(tree, p)) {
    const data = new Float32Array(t.size);
    spec.init(spec.shape, random, data);
    be.write(t, toDevice(spec, data));
  }
  for (const [, , t] of zip(tree, g)) be.zero(t);
  return { p: p as P, g: g as P };
}

const config = (layer: string, change: object = {}): AimConfig =>
  parseConfig({
    d_model: 32,
    n_layer: 3,
    vocab_size: 16,
    num_classes: 3,
    num_tokens: 4,
    ssm_cfg: { layer, d_state: 4, headdim: 16 },
    vq_config: { ch: 32, ch_mult: [1, 2, 1], num_res_blocks: 1, z_channels: 32, n_embed: 16, embed_dim: 3 },
    ...change,
  });

const batch = (c: AimConfig, b: number) => {
  const condition = conditionOf(c.condition).inputs(be, c.condition, b);
  conditionOf(c.condition).write(be, c.condition, condition, Array(b).fill(1));
  return {
    tokens: be.from(
      Array.from({ length: b * c.num_tokens }, (_, i) => i % c.vocab_size),
      [b, c.num_tokens],
      'u32',
    ),
    condition,
    step: be.from(Array(b).fill(0), [b], 'u32'),
    loss: be.tensor([1]),
  };
};
const image = (b: number, side: number) =>
  be.from(
    Float64Array.from({ length: b * side * side * 3 }, (_, i) => Math.sin(i)),
    [b, side, side, 3],
  );

/** The maps of an `Acts` object. */
const mapsOf = (a: Acts) => a as unknown as Record<'made' | 'references', Map<string, unknown>>;

/** Runs backward once without each of the named activations, and expects an error that names it. */
function withoutEach(a: Acts, backward: () => void, of: (map: 'made' | 'references', name: string) => boolean) {
  const tried: string[] = [];
  for (const [which, map] of Object.entries({ made: mapsOf(a).made, references: mapsOf(a).references })) {
    for (const [name, tensor] of [...map]) {
      if (!of(which as 'made', name)) continue;
      map.delete(name);
      expect(backward, name).toThrow(`backward needs the activation ${name}, which forward did not save`);
      map.set(name, tensor);
      tried.push(name);
    }
  }
  expect(backward).not.toThrow();
  return tried;
}

haveLayers(layers);
const attending = { attn_layer_idx: [0, 1, 2], attn_cfg: { num_heads: 2, causal: true } };

describe.each([...MIXER_NAMES, 'Attention'])('%s', (layer) => {
  const c = layer === 'Attention' ? config('Mamba1', attending) : config(layer);
  const { p, g } = weights<AimParams>(aimParams(c));
  const tensor = (be: Backend, shape: number[]) =>
    be.from(
      Float64Array.from({ length: 2 * 4 * 32 }, (_, i) => Math.cos(i)),
      shape,
    );
  const [m, l, d] = [2, c.num_tokens, c.d_model];
  const modulation = be.from(new Float64Array(m * 3 * d).fill(0.5), [m, 3, d]);

  it('backward of the mixer names each activation that was not saved', () => {
    const a = new Acts(be, true);
    const stream = { x: tensor(be, [m, l, d]), res: undefined, gate: undefined };
    blockForward(be, p.layers[0]!, c, 0, stream, [modulation], a);
    const mixer = mixerOf(c.mixer);
    const u = a.part(activations({ u: 'm l d' }), { m, l, d }).tensor('u');
    const { mixer: mp } = p.layers[0]!;
    const { mixer: mg } = g.layers[0]!;
    const run = () => mixer.backward(be, mp, mg, c.mixer, u, tensor(be, [m, l, d]), a.child('mixer'));
    const tried = withoutEach(a, run, (_map, name) => name.startsWith('mixer.'));
    expect(tried.map((name) => name.slice(6)).sort()).toEqual(Object.keys(mixer.activations(c.mixer).spec.made).sort());
    expect(() => mixer.backward(be, mp, mg, c.mixer, u, u, new Acts(be, true))).toThrow(/backward needs the activation/);
  });

  it('backward of a block names each activation that was not saved', () => {
    const a = new Acts(be, true);
    const stream = { x: tensor(be, [m, l, d]), res: undefined, gate: undefined };
    blockForward(be, p.layers[0]!, c, 0, stream, [modulation], a);
    const run = () => {
      const dmodulation = [be.from(new Float64Array(m * 3 * d), [m, 3, d])];
      const t = { dres: tensor(be, [m, l, d]), modulation: [modulation], dmodulation };
      blockBackward(be, p.layers[0]!, g.layers[0]!, c, 0, t, a);
    };
    expect(withoutEach(a, run, (_map, name) => !name.startsWith('mixer.')).sort()).toEqual(['out', 'res', 'u']);
  });

  it('a training step saves as many bytes as the parts declare', () => {
    for (const change of [{}, { adaln_group: true, num_groups: 2, d_intermediate: 128 }]) {
      const changed = parseConfig({ ...c.json, ...change });
      const { p, g } = weights<AimParams>(aimParams(changed));
      for (const b of [1, 3]) {
        const a = new Acts(be, true);
        aimLoss(be, p, changed, batch(changed, b), a, g);
        expect(a.bytes).toBe(aimActivationBytes(changed, b));
        a.free();
        expect(a.bytes).toBe(0);
      }
    }
  });
});

describe('head, model and adaLN', () => {
  const c = config('Mamba2');
  const { p, g } = weights<AimParams>(aimParams(c));

  it('backward of the head and of the whole model refuses activations that were not saved', () => {
    const x = be.from(new Float64Array(2 * 4 * 32).fill(1), [2, 4, 32]);
    const { tokens, loss } = batch(c, 2);
    const modulation = be.from(new Float64Array(2 * 2 * 32), [2, 2, 32]);
    const gradients = { g, dmodulation: be.from(new Float64Array(2 * 2 * 32), [2, 2, 32]), lossScale: undefined };
    const stream = { x, res: undefined, gate: undefined };
    expect(() => headLoss(be, p, c, stream, { modulation, targets: tokens, loss }, new Acts(be), gradients)).toThrow(
      /backward needs the activation norm_f, which forward did not save/,
    );
    expect(() => aimLoss(be, p, c, batch(c, 2), new Acts(be), g)).toThrow(/backward needs the activation norm_f/);
  });

  it('backward of adaLN names each activation that was not saved', () => {
    const a = new Acts(be, true);
    const inputs = batch(c, 2).condition;
    const modulation = modulationForward(be, p, c, inputs, a);
    const run = () => {
      const gradient = modulationGradient(be, modulation);
      be.zero(gradient.first);
      modulationBackward(be, p, g, c, inputs, gradient, a);
    };
    const declared = ['silu', 'final', 'embedding'];
    expect(withoutEach(a, run, (_map, name) => declared.includes(name)).sort()).toEqual(declared.sort());
  });
});

describe('the tokenizer', () => {
  const { tokenizer: c } = config('Mamba2');
  const tokenizer = tokenizerOf(c);
  const { p, g } = weights<VqParams>(tokenizer.params(c));

  it('backward names each activation that was not saved', () => {
    const a = new Acts(be, true);
    tokenizer.lossForward(be, p, c, image(1, 4), a);
    // The output of a convolution is read as the input of what comes after it.
    const read = (map: string, name: string) => map === 'references' || !/(^|\.)conv$/.test(name);
    const tried = withoutEach(a, () => tokenizer.lossBackward(be, p, g, c, a), read);
    expect(tried).toEqual(
      expect.arrayContaining([
        'image',
        'z',
        'decoded',
        'codes',
        'encoder.image',
        'encoder.features',
        'decoder.z_q',
        'decoder.post_quant',
      ]),
    );
    expect(tried.filter((name) => /attn\.0\.(x|q|k|v|mixed)$/.test(name)).length).toBeGreaterThan(4);
  });

  it('backward of each block names each activation that was not saved', () => {
    const dy = () => image(1, 4);
    const empty = new Acts(be, true);
    const [level] = Object.values(p.encoder.conv_blocks) as [LevelParams];
    const [glevel] = Object.values(g.encoder.conv_blocks) as [LevelParams];
    expect(() => blocksBackward(be, level, glevel, dy(), empty)).toThrow(/needs the activation res\.0\.x,/);
    const attn = Object.values(p.encoder.conv_blocks).at(-1)!;
    expect(() => blocksBackward(be, attn, attn, dy(), empty)).toThrow(/needs the activation attn\.0\.x,/);
    expect(() => midBackward(be, p.decoder.mid, g.decoder.mid, dy(), empty)).toThrow(/needs the activation 2\.x,/);
    expect(() => outBackward(be, p.encoder, g.encoder, dy(), empty)).toThrow(/needs the activation x,/);
    expect(() => decodeBackward(be, p, g, dy(), empty)).toThrow(/needs the activation z_q,/);
    expect(() => tokenizer.lossBackward(be, p, g, c, empty)).toThrow(/needs the activation image,/);
  });

  it('a training step saves as many bytes as the parts declare', () => {
    for (const [b, side] of [
      [1, 4],
      [2, 8],
    ] as const) {
      const a = new Acts(be, true);
      tokenizer.lossForward(be, p, c, image(b, side), a);
      expect(a.bytes).toBe(tokenizer.activationBytes(c, [b, side, side]));
      a.free();
    }
  });
});

describe('declarations of activations', () => {
  const spec = activations({ y: 'm l 3 d', codes: { shape: 'm', dtype: 'u32' } }, ['x']);

  it('give sizes computed from the dimensions', () => {
    expect(activationBytes(spec, { m: 2, l: 5, d: 7 })).toBe(4 * (2 * 5 * 3 * 7 + 2));
    // @ts-expect-error a dimension is missing
    expect(() => activationBytes(spec, { m: 2, l: 5 })).toThrow(/the dimension d has no size/);
  });

  it('have names that TypeScript checks', () => {
    const act = new Acts(be, true).part(spec, { m: 2, l: 5, d: 7 });
    expect(act.tensor('y').shape).toEqual([2, 5, 3, 7]);
    expect(act.tensor('codes').dtype).toBe('u32');
    // @ts-expect-error there is no such activation
    expect(() => act.tensor('z')).toThrow();
    // @ts-expect-error an input is not this part's to make
    expect(() => act.tensor('x')).toThrow();
  });

  it('are saved for backward in tensors that passes of one size reuse, and freed', () => {
    const a = new Acts(be, true);
    const y = a.part(spec, { m: 2, l: 5, d: 7 }).tensor('y');
    expect(a.part(spec, { m: 2, l: 5, d: 7 }).tensor('y')).toBe(y);
    const other = a.part(spec, { m: 3, l: 5, d: 7 });
    expect(other.tensor('y')).not.toBe(y);
    other.tensor('codes');
    expect(() => a.saved(spec)).toThrow(/needs the activation x,/);
    const x = be.tensor([1]);
    other.input('x', x);
    expect(a.saved(spec).y.shape).toEqual([3, 5, 3, 7]);
    be.free(x);
    expect(() => a.saved(spec)).toThrow(/needs the activation x,/);
  });
});

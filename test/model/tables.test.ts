/** A mixer, a condition and a tokenizer that the tables do not have yet: each takes one object and one entry in its table. */
import { afterAll, describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { ReferenceBackend } from '../../src/backend/reference.js';
import type { Tensor } from '../../src/core/tensor.js';
import { Acts, activations } from '../../src/model/acts.js';
import { type AimParams, aimActivationBytes, aimLoss, aimParams, aimState } from '../../src/model/aim.js';
import { linearBackward } from '../../src/model/backward.js';
import type { Condition, ConditionConfig } from '../../src/model/condition.js';
import { CONDITIONS } from '../../src/model/conditions.js';
import { type AimConfigJson, parseConfig } from '../../src/model/config.js';
import { addTo, linearForward } from '../../src/model/layers.js';
import { layerNorm, type Mixer, type MixerConfig } from '../../src/model/mixer.js';
import { MIXERS } from '../../src/model/mixers.js';
import { allocate, init, linearParams, param, toDevice, zip } from '../../src/model/params.js';
import { checkSampling, Sampler } from '../../src/model/sampler.js';
import { TOKENIZERS } from '../../src/model/tokenizers.js';
import { vqTokenizer } from '../../src/model/vq_tokenizer.js';
import { embedding } from '../../src/ops/embedding.js';
import { bringKernels } from '../../src/train/kernels.js';
import { rng } from '../ops/harness.js';

interface ToyConfig extends MixerConfig {
  width: number;
}
interface ToyParams {
  up: { weight: Tensor };
  down: { weight: Tensor };
}
const HIDDEN = activations({ hidden: 'm l w', out: 'm l d' });
/** Two products; its state has the form of a cache of keys. */
const toy: Mixer<ToyConfig, ToyParams, 'keys'> = {
  parse: (ssm, d_model) => ({ layer: 'Toy', d_model, width: ssm.int('width', { fallback: 8 }) }),
  params: (c) => ({ up: linearParams(c.width, c.d_model), down: linearParams(c.d_model, c.width) }),
  state: (c, m, positions) => ({ keys: [m, positions, c.width] }),
  activations: (c) => ({ spec: HIDDEN, dims: { w: c.width, d: c.d_model } }),
  forward(be, p, c, input, a) {
    const [m, l] = input.x.shape as [number, number];
    const act = a.part(HIDDEN, { m, l, w: c.width, d: c.d_model });
    const u = layerNorm(be, input, a);
    const hidden = act.tensor('hidden');
    linearForward(be, u, p.up.weight, hidden);
    a.done(u);
    const out = act.tensor('out');
    linearForward(be, hidden, p.down.weight, out);
    a.done(hidden);
    return out;
  },
  backward(be, p, g, _c, u, dout, a) {
    const { hidden } = a.saved(HIDDEN);
    const dhidden = be.tensor(hidden.shape);
    linearBackward(be, { x: hidden, w: p.down.weight, dy: dout, dx: dhidden, dw: g.down.weight });
    const du = be.tensor(u.shape);
    linearBackward(be, { x: u, w: p.up.weight, dy: dhidden, dx: du, dw: g.up.weight });
    be.free(dhidden);
    return du;
  },
  summary: (c) => `width ${c.width}`,
};

interface PairConfig extends ConditionConfig {
  type: 'pair';
  sizes: [number, number];
}
type PairParams = Record<'shape_table' | 'colour_table', { weight: Tensor }>;
const PAIR = activations({ shape: 'm d', colour: 'm d' });
/** Two labels, whose embeddings are added. */
const pair: Condition<PairConfig, PairParams, { shapes: Tensor; colours: Tensor }, [number, number]> = {
  parse: (c) => ({ type: 'pair', num_classes: 0, sizes: [c.int('num_shapes'), c.int('num_colours')] }),
  params: ({ sizes: [s, c] }, d) => ({
    shape_table: { weight: param([s + 1, d], init.normal(0.5)) },
    colour_table: { weight: param([c + 1, d], init.normal(0.5)) },
  }),
  inputs: (be, _c, m) => ({ shapes: be.tensor([m], 'u32'), colours: be.tensor([m], 'u32') }),
  write(be, _c, { shapes, colours }, values) {
    be.write(
      shapes,
      Uint32Array.from(values, ([shape]) => shape),
    );
    be.write(
      colours,
      Uint32Array.from(values, ([, colour]) => colour),
    );
  },
  unconditional: ({ sizes }) => sizes,
  activations: (_c, d_model) => ({ spec: PAIR, dims: { d: d_model } }),
  forward(be, p, _c, { shapes, colours }, a) {
    const table = p.shape_table.weight;
    const act = a.part(PAIR, { m: shapes.size, d: table.shape[1]! });
    const [shape, colour] = [act.tensor('shape'), act.tensor('colour')];
    be.run(embedding.forward, { table, ids: shapes, y: shape });
    be.run(embedding.forward, { table: p.colour_table.weight, ids: colours, y: colour });
    addTo(be, shape, colour);
    a.done(colour);
    return shape;
  },
  backward(be, _p, g, _c, { shapes, colours }, dy) {
    be.run(embedding.backward, { ids: shapes, dy, dtable: g.shape_table.weight });
    be.run(embedding.backward, { ids: colours, dy, dtable: g.colour_table.weight });
  },
};

Object.assign(MIXERS, { Toy: toy });
Object.assign(CONDITIONS, { pair });
Object.assign(TOKENIZERS, {
  half: {
    ...vqTokenizer,
    parse: (fields: Parameters<typeof vqTokenizer.parse>[0]) => ({ ...vqTokenizer.parse(fields), type: 'half' }),
    factor: () => 2,
  },
});
afterAll(() => {
  for (const [table, name] of [
    [MIXERS, 'Toy'],
    [CONDITIONS, 'pair'],
    [TOKENIZERS, 'half'],
  ] as const)
    Reflect.deleteProperty(table, name);
});

const JSON_BASE = {
  d_model: 8,
  n_layer: 2,
  vocab_size: 6,
  num_classes: 3,
  num_tokens: 4,
  vq_config: { ch: 32, ch_mult: [1, 1], num_res_blocks: 1, z_channels: 8, n_embed: 6, embed_dim: 3 },
};
const CASES = {
  mixer: { ...JSON_BASE, ssm_cfg: { layer: 'Toy', width: 5 } },
  condition: { ...JSON_BASE, ssm_cfg: { layer: 'Mamba1', d_state: 2 }, condition: 'pair', num_shapes: 3, num_colours: 2 },
};

describe.each(Object.entries(CASES))('a new %s', (kind, json) => {
  const c = parseConfig(json);
  const be = new ReferenceBackend();
  const values =
    kind === 'condition'
      ? ([
          [0, 1],
          [2, 0],
          [0, 2],
        ] as const)
      : [0, 2, 0];

  it('has gradients that agree with finite differences, and uses the bytes it declares', async () => {
    const tree = aimParams(c);
    const random = rng(11);
    const [p, g] = [allocate(be, tree), allocate(be, tree)];
    for (const [, spec, t] of zip(tree, p)) {
      const data = new Float32Array(t.size);
      spec.init(spec.shape, random, data);
      be.write(
        t,
        toDevice(
          spec,
          data.map((v) => v + 0.2 * random() - 0.1),
        ),
      );
    }
    for (const [, , t] of zip(tree, g)) be.zero(t);
    const of = kind === 'condition' ? pair : CONDITIONS.label;
    const condition = (of as Condition).inputs(be, c.condition, 3);
    (of as Condition).write(be, c.condition, condition, values);
    const tokens = Array.from({ length: 12 }, (_, i) => (i * 5) % 6);
    const batch = {
      tokens: be.from(tokens, [3, 4], 'u32'),
      condition,
      step: be.from([0, 0, 0], [3], 'u32'),
      loss: be.tensor([1]),
    };
    const loss = async () => {
      aimLoss(be, p as unknown as AimParams, c, batch, new Acts(be));
      return (await be.read(batch.loss))[0]!;
    };
    const a = new Acts(be, true);
    aimLoss(be, p as unknown as AimParams, c, batch, a, g as unknown as AimParams);
    expect(a.bytes).toBe(aimActivationBytes(c, 3));
    const gradients = new Map([...zip(tree, g)].map(([name, , t]) => [name, t]));
    const EPS = 1e-5;
    for (const [name, , t] of zip(tree, p)) {
      const [before, got] = [await be.read(t), await be.read(gradients.get(name)!)];
      for (let k = 0; k < 3; k++) {
        const i = Math.floor(random() * t.size);
        const at = async (shift: number) => {
          be.write(t, Float64Array.of(before[i]! + shift), i);
          return loss();
        };
        const slope = ((await at(EPS)) - (await at(-EPS))) / (2 * EPS);
        be.write(t, Float64Array.of(before[i]!), i);
        expect(Math.abs(got[i]! - slope), `${name}[${i}]: ${got[i]}, expected ${slope}`).toBeLessThan(
          1e-8 + 1e-4 * Math.abs(slope),
        );
      }
    }
  });

  it('draws with and without guidance', async () => {
    const aim = await AiM.fromConfig(json as AimConfigJson, { device: 'wasm', seed: 4 });
    // addTo runs a kernel that WASM has for training only.
    bringKernels(aim.model.be);
    const draw = async (cfgScale: number) => {
      const sampler = new Sampler(aim.model.be, aim.config, aim.model.params.mamba.backbone, 3, checkSampling({ cfgScale }));
      sampler.start(values, [1, 2, 3]);
      sampler.next();
      // With fresh weights, whose adaLN is zero, only the first position depends on the condition.
      const logits = await aim.model.be.read(sampler.logits);
      for (let t = 1; t < c.num_tokens; t++) sampler.next();
      const tokens = await aim.model.be.read(sampler.tokens);
      sampler.dispose();
      return { tokens, logits };
    };
    const [guided, plain] = [await draw(3), await draw(1)];
    expect(guided.tokens.every((t) => t < 6)).toBe(true);
    expect(guided.logits.every(Number.isFinite)).toBe(true);
    expect(guided.logits).not.toEqual(plain.logits);
    await aim.dispose();
  });
});

it('a state may have any shape, also one with a dimension for positions', () => {
  const be = new ReferenceBackend();
  const state = aimState(be, parseConfig(CASES.mixer), 2);
  expect(state.layers.map(({ keys }) => keys!.shape)).toEqual([
    [2, 4, 5],
    [2, 4, 5],
  ]);
  expect(state.arenas).toHaveLength(1);
});

it('a new tokenizer determines the size of images', async () => {
  const json = { ...JSON_BASE, ssm_cfg: { layer: 'Mamba1', d_state: 2 }, vq_config: { ...JSON_BASE.vq_config, type: 'half' } };
  const aim = await AiM.fromConfig(json as AimConfigJson, { device: 'wasm', seed: 4 });
  expect(aim.config.image_size).toBe(4);
  const { images, tokens } = await aim.generate({ count: 1 });
  expect(images[0]!.width).toBe(4);
  expect((await aim.encode(images))[0]).toHaveLength(tokens[0]!.length);
  await aim.dispose();
});

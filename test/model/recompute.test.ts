/** Activations that are computed again in backward give the same bits as saved ones, in much less memory. */
import { afterAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/backend/backend.js';
import type { NumArray } from '../../src/core/tensor.js';
import { Acts } from '../../src/model/acts.js';
import { type AimParams, aimActivationBytes, aimLoss, aimParams } from '../../src/model/aim.js';
import { conditionOf } from '../../src/model/conditions.js';
import { type AimConfig, parseConfig } from '../../src/model/config.js';
import * as extra from '../../src/model/extra_layers.js';
import { haveLayers } from '../../src/model/mixers.js';
import { modulationBytes } from '../../src/model/modulation.js';
import { allocate, toDevice, zip } from '../../src/model/params.js';
import { NO_ADAPTER, wasmBackend, webgpuBackend } from '../backends.js';
import { HalfReference } from '../half_reference.js';
import { rng } from '../ops/harness.js';

haveLayers(extra);

const config = (layer: string, change: object = {}): AimConfig =>
  parseConfig({
    d_model: 64,
    n_layer: 3,
    vocab_size: 32,
    num_classes: 3,
    num_tokens: 16,
    ssm_cfg: { layer, d_state: 16, headdim: 16 },
    vq_config: { ch: 32, ch_mult: [1, 2], num_res_blocks: 1, z_channels: 32, n_embed: 32, embed_dim: 3 },
    ...change,
  });
const attention = { attn_layer_idx: [0, 2], attn_cfg: { num_heads: 4, causal: true } };
const MODELS: Record<string, AimConfig> = {
  'Mamba-2': config('Mamba2'),
  'Mamba-1 with adaLN of its own in each layer': config('Mamba1', { adaln_group: false }),
  'Mamba-2 and attention, each with an MLP': config('Mamba2', { ...attention, d_intermediate: 128 }),
  'Mamba-1 and attention': config('Mamba1', attention),
};
const BATCH = 4;

interface Outcome {
  /** The loss and all gradients of one replay, then of a second one, which adds to them. */
  values: NumArray[];
  /** Bytes that the recorded step holds on the device. */
  bytes: number;
  /** Bytes that are saved by name. */
  saved: number;
}

/** Records loss and gradient, with the loss scaled as in mixed precision, and replays them twice. */
async function gradients(be: Backend, c: AimConfig, recompute: boolean, b = BATCH): Promise<Outcome> {
  const random = rng(3);
  const tree = aimParams(c);
  const [p, g] = [allocate(be, tree), allocate(be, tree)] as unknown as [AimParams, AimParams];
  for (const [, spec, t] of zip(tree, p)) {
    // All gates and shifts differ from zero.
    const data = Float32Array.from({ length: t.size }, () => 0.2 * (random() - 0.5));
    if (!spec.init.name) spec.init(spec.shape, random, data);
    be.write(t, toDevice(spec, data));
  }
  for (const [, , t] of zip(tree, g)) be.zero(t);
  const condition = conditionOf(c.condition).inputs(be, c.condition, b);
  conditionOf(c.condition).write(
    be,
    c.condition,
    condition,
    Array.from({ length: b }, (_, i) => i % 4),
  );
  const batch = {
    tokens: be.from(
      Array.from({ length: b * c.num_tokens }, (_, i) => (7 * i + (i % 5)) % c.vocab_size),
      [b, c.num_tokens],
      'u32',
    ),
    condition,
    step: be.from(Array(b).fill(0), [b], 'u32'),
    loss: be.tensor([1]),
    lossScale: be.from([1024, 0]),
  };
  const before = be.bytes;
  const acts = new Acts(be, true, recompute);
  const { recording } = be.record(() => aimLoss(be, p, c, batch, acts, g));
  const bytes = be.bytes - before;
  const values: NumArray[] = [];
  for (let i = 0; i < 2; i++) {
    recording.replay();
    values.push(await be.read(batch.loss));
    for (const [, , t] of zip(tree, g)) values.push(await be.read(t));
  }
  recording.dispose();
  const all = [...zip(tree, p), ...zip(tree, g)].map(([, , t]) => t);
  be.free(...all, batch.tokens, batch.step, batch.loss, batch.lossScale, ...Object.values(condition));
  return { values, bytes, saved: acts.bytes };
}

const bits = (values: NumArray[]) => values.map((v) => Buffer.from(v.buffer, v.byteOffset, v.byteLength).toString('base64'));

const BACKENDS: Record<string, () => Promise<Backend | undefined>> = {
  wasm: () => wasmBackend(),
  webgpu: () => webgpuBackend(),
  'webgpu in mixed precision': () => webgpuBackend({ precision: 'mixed' }),
  'the reference of float16 activations': async () => new HalfReference(),
};

describe.each(Object.entries(BACKENDS))('on %s', (_name, open) => {
  let opened: Promise<Backend | undefined> | undefined;
  const backend = () => (opened ??= open());
  afterAll(async () => (await opened)?.dispose());

  for (const [model, c] of Object.entries(MODELS))
    it(`losses and gradients of ${model} are the same, bit for bit`, async ({ skip }) => {
      const be = (await backend()) ?? skip(NO_ADAPTER);
      const saving = await gradients(be, c, false);
      const again = await gradients(be, c, true);
      expect(bits(again.values)).toEqual(bits(saving.values));
      expect(saving.values.every((v) => v.some((x) => x !== 0))).toBe(true);
    });
});

it.each([
  [8, 0.4],
  [24, 0.25],
])('a step of %i layers holds less than %f of the memory', async (n_layer, share) => {
  const be = await wasmBackend();
  for (const layer of ['Mamba2', 'Mamba1']) {
    const c = config(layer, { n_layer });
    const [saving, again] = [await gradients(be, c, false, 16), await gradients(be, c, true, 16)];
    expect(again.bytes).toBeLessThan(share * saving.bytes);
  }
  be.dispose();
});

it('what is saved is the residual sum and the output of each branch, the embedded tokens and the modulation', async () => {
  const be = await wasmBackend();
  const halves = new HalfReference();
  for (const c of Object.values(MODELS)) {
    const [saving, again] = [await gradients(be, c, false), await gradients(be, c, true)];
    expect(saving.saved).toBe(aimActivationBytes(c, BATCH));
    expect(again.saved).toBe(aimActivationBytes(c, BATCH, { recompute: true }));
    for (const recompute of [false, true]) {
      const half = await gradients(halves, c, recompute);
      expect(half.saved).toBe(aimActivationBytes(c, BATCH, { recompute, halfActivations: true }));
      expect(half.saved).toBeLessThan((recompute ? again : saving).saved);
    }
    const saved = 2 * c.n_layer * (c.mlp_hidden ? 2 : 1) + 1;
    expect(again.saved).toBe(4 * saved * BATCH * c.num_tokens * c.d_model + modulationBytes(c, BATCH));
  }
  be.dispose();
});

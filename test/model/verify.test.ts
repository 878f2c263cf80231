/** `verify` of float16 weights, and which deviations pass and which fail. Whole checkpoints: verify_golden.ts. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { bytesSource } from '../../src/io/bytes.js';
import { goldensOf as goldensOfBackend } from '../../src/verify/goldens.js';
import { verify } from '../../src/verify/run.js';
import { verifyMode } from '../../src/verify/tolerance.js';
import { compareAfter } from '../../src/verify/training.js';
import { hasAdapter, NO_ADAPTER, onDevice } from '../backends.js';
import { FASHION, fixture } from '../goldens.js';
import { goldensOf } from './verify_golden.js';

describe('weights rounded to float16', () => {
  const folder = fixture('mamba2-adaln');
  let aim: AiM | undefined;
  beforeAll(async () => {
    if (await hasAdapter()) aim = await AiM.fromPretrained(folder, { device: await onDevice('webgpu'), dtype: 'f16' });
  });
  afterAll(() => aim?.dispose());

  it('pass with the tolerances for float16', async ({ skip }) => {
    if (!aim) return skip(NO_ADAPTER);
    const goldens = await goldensOf(folder, /^input|forward\.logits|greedy|^vq\.(image|pre-quant|codes)$|vq\.loss\.mse/);
    const { mode, rows, skipped } = await verify(aim, goldens);
    expect(mode).toMatchObject({ name: 'f16 weights', weights: expect.stringMatching(/float16, rounded/), products: 'float32' });
    expect(rows.filter((r) => !r.ok)).toEqual([]);
    const row = Object.fromEntries(rows.map((r) => [r.name, r]));
    // They are rounded: float32's own tolerance would not do.
    expect(row['forward.logits']!.maxRel).toBeGreaterThan(1e-4);
    expect(row['forward.logits']!.note).toMatch(/from the same weights in float32/);
    expect(row['vq.pre-quant']!.note).toMatch(/from the same weights in float32/);
    expect(row['decode.greedy-tokens.positions-trained.cfg2']).toMatchObject({
      maxAbs: 1,
      note: expect.stringMatching(/near tie/),
    });
    expect(skipped).toEqual([{ name: 'vq.loss.mse', reason: expect.stringMatching(/training keeps float32/) }]);
  });

  it('a wrong weight or a wrong token still fails', async ({ skip }) => {
    if (!aim) return skip(NO_ADAPTER);
    const { tensor } = aim.model.named().get('mamba.backbone.layers.1.mixer.out_proj.weight')!;
    expect(tensor.dtype).toBe('f16');
    const values = await aim.model.be.read(tensor);
    aim.model.be.write(
      tensor,
      values.map((v) => v * 1.02),
    );
    const logits = await verify(aim, await goldensOf(folder, /^input|forward\.logits/));
    expect(logits.rows).toMatchObject([{ name: 'forward.logits', ok: false }]);
    aim.model.be.write(tensor, values);
    const other = (name: string, data: Float32Array | Int32Array) => {
      if (/greedy/.test(name)) data[data.length - 1]! ^= 1;
    };
    const tokens = await verify(aim, await goldensOf(folder, /^input|greedy/, other));
    expect(tokens.rows).toMatchObject([{ maxAbs: 2, ok: false }]);
  });
});

describe('golden values that another backend computes', () => {
  it('are met by the same model, and not by another one', async () => {
    const folder = fixture('mamba2-adaln');
    const device = (await hasAdapter()) ? await onDevice('webgpu') : 'wasm';
    const [aim, other] = [await AiM.fromPretrained(folder, { device }), await AiM.fromPretrained(folder, { device: 'wasm' })];
    const of = (bytes: Uint8Array) => verify(aim, bytesSource(bytes));
    const { rows, skipped } = await of(await goldensOfBackend(other, { count: 2 }));
    expect(skipped).toEqual([]);
    expect(rows.map(({ name, ok }) => [name, ok])).toEqual(
      [
        'decode.greedy-tokens.positions-trained.cfg1.5',
        'forward.logits',
        'vq.codes',
        'vq.decoded-from-codes',
        'vq.pre-quant',
      ].map((name) => [name, true]),
    );
    for (const name of ['mamba.backbone.layers.1.mixer.out_proj.weight', 'vqvae.quant_conv.weight']) {
      const { tensor } = other.model.named().get(name)!;
      other.model.be.write(
        tensor,
        (await other.model.be.read(tensor)).map((v) => v * 1.02),
      );
    }
    const changed = await of(await goldensOfBackend(other, { count: 1 }));
    expect(changed.rows.filter(({ ok }) => !ok).map(({ name }) => name)).toEqual(
      expect.arrayContaining(['forward.logits', 'vq.pre-quant']),
    );
    await aim.dispose();
    await other.dispose();
  });
});

describe('the reported mode', () => {
  it('is what the device computes in, not what was requested', async ({ skip }) => {
    const modeOf = async (device: 'wasm' | 'webgpu', folder = fixture('mamba2-adaln')) => {
      const aim = await AiM.fromPretrained(folder, { device: await onDevice(device), dtype: 'f16', precision: 'mixed' });
      const { matrixUnits: halfProducts } = aim.model.be.traits;
      const mode = verifyMode(aim);
      await aim.dispose();
      return { halfProducts, ...mode };
    };
    expect(await modeOf('wasm')).toMatchObject({ name: 'f32', weights: 'float32', products: 'float32' });
    if (!(await hasAdapter())) return skip(NO_ADAPTER);
    const { halfProducts, name, products } = await modeOf('webgpu');
    expect(name).toBe(halfProducts ? 'mixed' : 'f16 weights');
    expect(products).toMatch(halfProducts ? /^float16 factors/ : /^float32, since 'mixed' needs matrix units/);
    // Its file is float16 already.
    const lossless = await modeOf('webgpu', FASHION);
    expect(lossless).toMatchObject({ name: halfProducts ? 'mixed' : 'f32', weights: 'float16, as they are stored' });
  });

  it('the tolerance of weights after steps grows with the uncertainty of the gradient', () => {
    const share = (off: number, gradient: number) => compareAfter([off, 0], [0, 0], [gradient, 1], 1e-3).share;
    expect(share(9e-3, 1e-3)).toBeLessThan(1);
    expect(share(9e-3, 1e-2)).toBeGreaterThan(1);
    expect(share(1e-3, 1e-2)).toBeLessThan(1);
    expect(share(1e-3, 1)).toBeGreaterThan(1);
    expect(share(Number.NaN, 1) <= 1).toBe(false);
  });
});

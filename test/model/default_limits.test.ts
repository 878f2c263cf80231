/** Whole models with the kernels for real GPUs, on devices with lower limits: golden values, training, and images identical to those of a device with more. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { GRADES, hasAdapter, NO_ADAPTER, sharedDevice, takeKernels } from '../backends.js';
import { fixture } from '../goldens.js';
import { expectSameTraining } from './same_training.js';
import { expectGoldens } from './verify_golden.js';

/** Golden values of a forward pass, of single steps, of greedy generation, and of encoder and decoder. */
const MUST_CHECK = [
  'forward.logits',
  'forward.loss',
  'decode.logits.positions-trained.cfg2',
  'decode.greedy-tokens.positions-trained.cfg2',
  'vq.codes',
  'vq.decoded-from-codes',
];

describe.each(['mamba1-adaln-group', 'mamba2-adaln'])('%s', (name) => {
  const folder = fixture(name);
  const models = {} as Record<keyof typeof GRADES, AiM | undefined>;
  beforeAll(async () => {
    if (!(await hasAdapter())) return;
    for (const grade of Object.keys(GRADES) as (keyof typeof GRADES)[]) {
      const aim = await AiM.fromPretrained(folder, { device: await sharedDevice(grade) });
      takeKernels(aim.model.be, false);
      models[grade] = aim;
    }
  });
  afterAll(async () => {
    for (const aim of Object.values(models)) await aim?.dispose();
  });

  it('golden values are met with default limits', async ({ skip }) => {
    const aim = models.default;
    if (!aim) return skip(NO_ADAPTER);
    await expectGoldens(aim, folder, MUST_CHECK);
  });

  it('gradients and five AdamW steps with default limits match those of WASM', async ({ skip }) => {
    const aim = models.default;
    if (!aim) return skip(NO_ADAPTER);
    const wasm = await AiM.fromPretrained(folder, { device: 'wasm' });
    await expectSameTraining(aim, wasm, [1, 4]).finally(() => wasm.dispose());
  });

  // Five guided images are ten rows, two are four: those fit the fused kernels of a step, which bind up to 12 buffers.
  it('images are bit-identical with default limits, 10 storage buffers and all that the adapter has', async ({ skip }) => {
    if (!models.default) return skip(NO_ADAPTER);
    const drawn = [];
    for (const aim of Object.values(models)) {
      const { images, tokens } = await aim!.generate({ count: 7, batchSize: 5, seed: 3, cfgScale: 2, topK: 40, topP: 0.95 });
      drawn.push({ tokens, images: images.map(({ data }) => data) });
    }
    for (const other of drawn.slice(1)) expect(other).toEqual(drawn[0]);
  });
});

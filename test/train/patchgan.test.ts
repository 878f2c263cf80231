/** PatchGAN against LlamaGen's module: logits, losses, gradients and running averages, on every backend. */
import { expect, it } from 'vitest';
import { OptionError } from '../../src/core/errors.js';
import type { Tensor } from '../../src/core/tensor.js';
import { Acts } from '../../src/model/acts.js';
import { zeros } from '../../src/model/layers.js';
import { toCheckpoint, toDevice } from '../../src/model/params.js';
import { Adversary } from '../../src/train/adversary.js';
import type { RunOptions } from '../../src/train/options.js';
import { patchgan } from '../../src/train/patchgan.js';
import { BACKENDS, goldens, NO_ADAPTER, off } from './stage1_goldens.js';

const OPTIONS = {
  discriminator: 'patchgan',
  discChannels: 16,
  discWeight: 1,
  adaptive: false,
  seed: 0,
  lossScale: 0,
  accumulate: 1,
} as unknown as RunOptions;

for (const [name, make] of Object.entries(BACKENDS)) {
  it(`has the values, gradients and running averages of LlamaGen's, on ${name}`, async ({ skip }) => {
    const want = await goldens('patchgan');
    if (typeof want === 'string') return skip(want);
    const be = await make();
    if (!be) return skip(NO_ADAPTER);
    const adversary = new Adversary(be, 64, OPTIONS);
    const saved = new Map(adversary.saved);
    const prefix = 'discriminator.';
    for (const key of want.names.filter((n) => n.startsWith('before.'))) {
      const { spec, tensor } = saved.get(key.replace('before.', prefix))!;
      be.write(tensor, toDevice(spec, await want.floats(key)));
    }
    const put = async (key: string) => {
      const { shape, data } = await want.pixels(key);
      return be.from(data, shape);
    };
    const [real, fake] = [await put('input.real'), await put('input.fake')];
    const dfake = zeros(be, fake.shape);
    const never = (): Tensor => {
      throw new Error('only the adaptive weight needs it');
    };
    adversary.optimizer.zeroGrad();
    const acts = new Acts(be, true);
    const logits = adversary.judge(fake, dfake, acts, never);
    expect(off(await be.read(logits), (await want.pixels('generator.logits')).data)).toBeLessThan(1e-4);
    expect(off(await be.read(adversary.generator), await want.floats('generator.loss'))).toBeLessThan(1e-4);
    expect(off(await be.read(dfake), (await want.pixels('generator.grad.fake')).data)).toBeLessThan(1e-3);
    adversary.train(real, logits, acts);
    expect(off(await be.read(adversary.discriminator), await want.floats('discriminator.loss'))).toBeLessThan(1e-4);
    let compared = 0;
    for (const { name: of, spec, grad } of adversary.optimizer.slots) {
      const got = toCheckpoint(spec, await be.read(grad));
      expect(off(got, await want.floats(`discriminator.grad.${of.replace(prefix, '')}`)), of).toBeLessThan(1e-3);
      compared++;
    }
    for (const key of want.names.filter((n) => n.startsWith('after.'))) {
      const { tensor } = saved.get(key.replace('after.', prefix))!;
      expect(off(await be.read(tensor), await want.floats(key)), key).toBeLessThan(1e-4);
      compared++;
    }
    expect(compared).toBe(13 + 6);
    acts.free();
    adversary.dispose();
    be.dispose();
  });
}

it('has fewer layers for small images, and refuses tiny ones', () => {
  const layers = (size: number) => Object.keys(patchgan.trees(size, 64).params.main!);
  expect(layers(256)).toEqual(['0', '2', '3', '5', '6', '8', '9', '11']);
  expect(layers(12)).toEqual(['0', '2', '3', '5', '6', '8']);
  expect(layers(8)).toEqual(['0', '2', '3', '5']);
  expect(() => patchgan.trees(5, 64)).toThrow(OptionError);
});

/** LPIPS against LlamaGen's module on every backend, and how its weights are read. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/backend/backend.js';
import { CheckpointError } from '../../src/core/errors.js';
import type { Tensor } from '../../src/core/tensor.js';
import { encodeSafetensors } from '../../src/io/safetensors.js';
import { type FeatureNetwork, PerceptualLoss } from '../../src/train/features.js';
import { openLpips } from '../../src/train/lpips.js';
import { noise } from '../evaluate/inception_noise.js';
import { Ordered, storage, TensorView, torchFile } from '../io/torch_file.js';
import { BACKENDS, goldens, NO_ADAPTER, off } from './stage1_goldens.js';

const CONVS: [n: number, co: number, ci: number][] = [
  [0, 64, 3],
  [2, 64, 64],
  [5, 128, 64],
  [7, 128, 128],
  [10, 256, 128],
  [12, 256, 256],
  [14, 256, 256],
  [17, 512, 256],
  [19, 512, 512],
  [21, 512, 512],
  [24, 512, 512],
  [26, 512, 512],
  [28, 512, 512],
];

type Tensors = Map<string, { shape: number[]; data: Float32Array }>;

/** The weights that the golden values are of, by the rule beside them. */
function noiseWeights(): Tensors {
  const made: Tensors = new Map();
  const put = (name: string, shape: number[], of: (u: number) => number) => {
    const n = shape.reduce((a, b) => a * b, 1);
    made.set(name, { shape, data: Float32Array.from(noise(name, n), of) });
  };
  for (const [n, co, ci] of CONVS) {
    const bound = Math.sqrt(6 / (9 * ci));
    put(`net.features.${n}.weight`, [co, ci, 3, 3], (u) => u * bound);
    put(`net.features.${n}.bias`, [co], (u) => u / 10);
  }
  for (const [j, c] of [64, 128, 256, 512, 512].entries()) put(`lin${j}.model.1.weight`, [1, c, 1, 1], (u) => 0.5 + u / 2);
  return made;
}

/** A safetensors file of some of the weights. */
const file = (weights: Tensors, name = (key: string): string | undefined => key) =>
  encodeSafetensors(
    [...weights].flatMap(([key, { shape, data }]) => {
      const as = name(key);
      return as === undefined ? [] : [{ name: as, dtype: 'F32' as const, shape, data }];
    }),
  ) as Uint8Array<ArrayBuffer>;

let weights: Tensors;
let network: FeatureNetwork;
beforeAll(async () => {
  weights = noiseWeights();
  network = await openLpips(file(weights));
});

describe('the distance', () => {
  for (const [name, make] of Object.entries(BACKENDS)) {
    it(`has the values and the gradient of LlamaGen's, on ${name}`, async ({ skip }) => {
      if (name !== 'wasm' && !process.env.AIM_SLOW)
        return skip('takes a minute on a software GPU and on the reference; AIM_SLOW=1 runs it');
      const want = await goldens('lpips');
      if (typeof want === 'string') return skip(want);
      const be = await make();
      if (!be) return skip(NO_ADAPTER);
      const loss = new PerceptualLoss(be, network);
      const [image, truth] = [await want.pixels('input.image'), await want.pixels('input.target')];
      const [distance, gradient] = [await want.floats('distance'), (await want.pixels('grad.image')).data];
      const per = image.data.length / 2;
      // Float64 in JavaScript is slow, so the reference computes one image.
      for (let i = 0; i < (name === 'reference' ? 1 : 2); i++) {
        const one = ({ data, shape }: typeof image) => be.from(data.subarray(i * per, (i + 1) * per), [1, ...shape.slice(1)]);
        const y = be.tensor([1]);
        const comparison = loss.forward(one(image), one(truth), y);
        const seen = i === 0 ? await Promise.all(comparison.truth.map((t) => firstChannels(be, t))) : undefined;
        expect(Math.abs((await be.read(y))[0]! / distance[i]! - 1)).toBeLessThan(1e-4);
        // The golden gradient is of the mean of both.
        const got = await be.read(loss.backward(comparison, 0.5));
        expect(off(got, gradient.subarray(i * per, (i + 1) * per))).toBeLessThan(1e-3);
        if (!seen) continue;
        expect(seen).toHaveLength(5);
        for (const [k, values] of seen.entries())
          expect(off(values, (await want.pixels(`features.${k}`)).data), `features.${k}`).toBeLessThan(1e-4);
      }
      loss.dispose();
      be.dispose();
    });
  }
});

it('a small network has the same distance and gradient on every backend', async ({ skip }) => {
  const layer = (co: number, ci: number, compared: 'equal' | Float32Array, more = {}) => {
    const weight = Float32Array.from(noise(`weight ${ci}`, co * 9 * ci), (u) => u / 2);
    const bias = new Float32Array(co).fill(0.1);
    return { kind: 'conv' as const, shape: [co, 3, 3, ci] as const, weight, bias, stride: 1, pad: 1, compared, ...more };
  };
  const small: FeatureNetwork = {
    name: 'own_features',
    id: '',
    input: { weight: new Float32Array(3).fill(1 / 6), bias: Float32Array.of(0.5) },
    layers: [
      layer(8, 1, 'equal', { stride: 2 }),
      { kind: 'pool' },
      layer(5, 8, Float32Array.of(1, 0, 2, 1, 3)),
      { kind: 'pool' },
    ],
  };
  const [image, truth] = ['image', 'truth'].map((name) => noise(name, 2 * 17 * 17 * 3));
  const found: { y: number; gradient: ArrayLike<number> }[] = [];
  for (const make of Object.values(BACKENDS)) {
    const be = await make();
    if (!be) return skip(NO_ADAPTER);
    const loss = new PerceptualLoss(be, small);
    const [x, t, y, scale] = [be.from(image!, [2, 17, 17, 3]), be.from(truth!, [2, 17, 17, 3]), be.tensor([1]), be.from([8, 0])];
    const comparison = loss.forward(x, t, y, 0.7);
    found.push({ y: (await be.read(y))[0]!, gradient: Float64Array.from(await be.read(loss.backward(comparison, 0.7, scale))) });
    loss.dispose();
    be.dispose();
  }
  const [reference, ...others] = found;
  for (const { y, gradient } of others) {
    expect(Math.abs(y / reference!.y - 1)).toBeLessThan(1e-5);
    expect(off(gradient, reference!.gradient)).toBeLessThan(1e-4);
  }
  expect(others).toHaveLength(2);
});

/** The first 8 channels of features [1, h, w, c]. */
async function firstChannels(be: Backend, features: Tensor): Promise<Float64Array> {
  const [values, c] = [await be.read(features), features.shape[3]!];
  return Float64Array.from({ length: (values.length / c) * 8 }, (_, i) => values[Math.floor(i / 8) * c + (i % 8)]!);
}

describe('its weights', () => {
  it('are read from two files, and under the names of other packages', async () => {
    const vgg = file(weights, (key) => (key.startsWith('net.') ? key.slice(4) : undefined));
    const lin = file(weights, (key) => (key.startsWith('lin') ? key.replace(/lin(\d)/, 'lins.$1') : undefined));
    expect((await openLpips([vgg, lin])).id).toBe(network.id);
    const slices = file(weights, (key) => key.replace('features', 'slice1'));
    expect((await openLpips(slices)).id).toBe(network.id);
    // LPIPS's own file is one of torch.save.
    const entries = [...weights].filter(([key]) => key.startsWith('lin'));
    const views = entries.map(
      ([key, { shape, data }], i) => [key, new TensorView(storage(`${i}`, 'FloatStorage', data), shape)] as const,
    );
    expect((await openLpips([vgg, torchFile(new Ordered(views))])).id).toBe(network.id);
    await expect(openLpips(vgg)).rejects.toThrow(CheckpointError);
    await expect(openLpips(vgg)).rejects.toThrow(/has no tensor lin0\.model\.1\.weight; give the files/);
    const other = new Map(weights).set('net.features.2.bias', { shape: [3], data: Float32Array.of(1, 2, 3) });
    await expect(openLpips(file(other))).rejects.toThrow(/net\.features\.2\.bias has shape \[3\].*has \[64\]/);
  });
});

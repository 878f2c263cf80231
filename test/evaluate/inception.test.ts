/** The FID network: the real one against torch-fidelity's values, and a small one on every backend against the reference. */
import { existsSync, readFileSync } from 'node:fs';
import { afterAll, describe, expect, it, type TestContext } from 'vitest';
import type { Backend } from '../../src/backend/backend.js';
import { ReferenceBackend } from '../../src/backend/reference.js';
import { CheckpointError } from '../../src/core/errors.js';
import type { Tensor } from '../../src/core/tensor.js';
import { convolutions, inceptionForward, inceptionNetwork } from '../../src/evaluate/inception.js';
import { Inception } from '../../src/evaluate/inception_features.js';
import { loadInception, weightShapes } from '../../src/evaluate/inception_weights.js';
import { bytesSource } from '../../src/io/bytes.js';
import { parseHeader, readFloats, readInts } from '../../src/io/safetensors.js';
import { resizeForInception } from '../../src/metrics/index.js';
import { pool2d } from '../../src/ops/pool2d.js';
import { NO_ADAPTER, wasmBackend, webgpuBackend } from '../backends.js';
import { SHARED_GOLDENS } from '../goldens.js';
import { noise, noiseWeights } from './inception_noise.js';
import { plainFeatures, plainWeights } from './plain_inception.js';

const FOLDER = `${SHARED_GOLDENS}/inception`;
const real = inceptionNetwork();
const small = inceptionNetwork({ divisor: 16, side: 75, classes: 12 });

/** Largest difference over the largest magnitude of `want`. */
function off(got: ArrayLike<number>, want: ArrayLike<number>): number {
  let [most, largest] = [0, 0];
  expect(got.length).toBe(want.length);
  for (let i = 0; i < want.length; i++) {
    most = Math.max(most, Math.abs(got[i]! - want[i]!));
    largest = Math.max(largest, Math.abs(want[i]!));
  }
  return most / largest;
}

async function golden(context: TestContext) {
  const path = `${FOLDER}/expected.safetensors`;
  if (!existsSync(path)) return context.skip(`the golden values (${path}) are not here`);
  const source = bytesSource(readFileSync(path));
  const header = await parseHeader(source);
  return {
    floats: (name: string) => readFloats(source, header, name),
    async image(size: string) {
      const [count, , height, width] = header.tensors.get(`image.${size}`)!.shape as [number, number, number, number];
      const planes = await readInts(source, header, `image.${size}`);
      const area = height * width;
      const data = Uint8Array.from({ length: planes.length }, (_, i) => {
        const n = Math.floor(i / (3 * area));
        return planes[(n * 3 + (i % 3)) * area + (Math.floor(i / 3) % area)]!;
      });
      return { count, height, width, data };
    },
  };
}

it('noise makes the numbers that the description of the golden values gives', () => {
  const [a, b, c] = noise('net.features.0.weight', 3);
  expect([a, b, c].map((v) => v!.toFixed(10))).toEqual(['0.2756552529', '-0.9667211222', '0.3429885274']);
});

describe('the real network', () => {
  it('has the tensors and shapes of the weights file', (context) => {
    const path = `${FOLDER}/tensors.json`;
    if (!existsSync(path)) return context.skip(`the list of tensors (${path}) is not here`);
    const listed = JSON.parse(readFileSync(path, 'utf8')) as [string, number[]][];
    const { 'fc.bias': unused, ...wanted } = Object.fromEntries(listed);
    expect(unused).toEqual([1008]);
    expect(Object.fromEntries(weightShapes(real))).toEqual(wanted);
    expect([real.features, real.spatialSide ** 2 * real.spatialChannels]).toEqual([2048, 2023]);
  });

  it('has the features and logits of torch-fidelity, its earlier layers, and spatial features by their definition, on WASM', async (context) => {
    const { floats, image } = (await golden(context))!;
    const file = noiseWeights(real);
    const [weights, be] = [bytesSource(file), await wasmBackend()];
    const { params } = await loadInception(be, weights, real);
    const { count, height, width, data } = await image('32');
    const per = data.length / count;
    const input = new Float32Array(count * 299 * 299 * 3);
    for (let i = 0; i < count; i++)
      input.set(resizeForInception(data.subarray(i * per, (i + 1) * per), width, height), (i * input.length) / count);
    const layers = new Map<string, Tensor>();
    let pools = 0;
    const { pool, logits } = inceptionForward(be, params, real, be.from(input, [count, 299, 299, 3]), (name, y) => {
      const feature = name === 'halve' ? ['64', '192'][pools++] : { Mixed_6e: '768' }[name];
      if (!feature) return;
      const mean = be.tensor([count, 1, 1, y.shape[3]!]);
      be.run(pool2d.forward, { x: y, y: mean }, { size: y.shape[1]!, stride: 1, pad: 0, mean: 1, offset: 0 });
      layers.set(feature, mean);
    });
    layers.set('2048', pool).set('logits_unbiased', logits);
    expect([...layers.keys()]).toEqual(['64', '192', '768', '2048', 'logits_unbiased']);
    for (const [name, mean] of layers) expect(off(await be.read(mean), await floats(`${name}.32`)), name).toBeLessThan(1e-4);
    be.dispose();

    const net = await Inception.load(await wasmBackend(), weights);
    for (const size of ['256', '64x48']) {
      const got = await net.run(await image(size));
      expect(off(got.pool, await floats(`2048.${size}`)), size).toBeLessThan(1e-4);
      expect(off(got.logits, await floats(`logits_unbiased.${size}`)), size).toBeLessThan(1e-4);
      expect(got.spatial).toHaveLength(2 * 2023);
    }
    // The golden values have no spatial features, but a later layer, which vouches for the plain implementation.
    const plain = plainFeatures(await plainWeights(file), { bytes: data.subarray(0, per), width, height }, 299);
    expect(off(plain.means, (await floats('768.32')).subarray(0, 768))).toBeLessThan(1e-6);
    const got = await net.run({ count, width, height, data });
    expect(off(got.spatial.subarray(0, 2023), plain.spatial)).toBeLessThan(1e-4);
    net.dispose();
  });
});

describe('a small network', () => {
  const images = {
    count: 5,
    width: 20,
    height: 13,
    data: Uint8Array.from(noise('images', 5 * 20 * 13 * 3), (u) => Math.round(127.5 * (u + 1))),
  };
  const weights = noiseWeights(small);
  const opened: Inception[] = [];
  const open = async (be: Backend) => {
    const net = await Inception.load(be, bytesSource(weights), { network: small });
    opened.push(net);
    return net;
  };
  afterAll(() => {
    for (const net of opened) net.dispose();
  });

  it('gives the same on WASM and WebGPU as on the reference, for batches that are not full', async (context) => {
    const want = await (await open(new ReferenceBackend())).run(images);
    expect(want.pool).toHaveLength(5 * small.features);
    const gpu = await webgpuBackend();
    for (const be of [await wasmBackend(), gpu]) {
      if (!be) continue;
      const net = await open(be);
      const done: number[] = [];
      const got = await net.run(images, { onImages: (n) => done.push(n) });
      for (const name of ['pool', 'spatial', 'logits'] as const)
        expect(off(got[name], want[name]), `${net.device}: ${name}`).toBeLessThan(1e-5);
      expect(done.at(-1)).toBe(5);
    }
    if (!gpu) context.skip(NO_ADAPTER);
  });

  it('gives an image the same features beside other images and after images of another size', async () => {
    const net = await open(await wasmBackend());
    const all = await net.run(images);
    const per = images.data.length / 5;
    await net.run({ count: 1, width: 7, height: 7, data: new Uint8Array(7 * 7 * 3) });
    const last = await net.run({ ...images, count: 1, data: images.data.slice(4 * per) });
    expect([...last.pool]).toEqual([...all.pool.subarray(4 * small.features)]);
    expect([...last.spatial]).toEqual([...all.spatial.subarray((4 * all.spatial.length) / 5)]);
    // A change of one pixel changes them.
    const other = images.data.slice(4 * per);
    other[per >> 1]! ^= 128;
    expect([...(await net.run({ ...images, count: 1, data: other })).pool]).not.toEqual([...last.pool]);
  });

  it('stops when aborted', async () => {
    const net = await open(await wasmBackend());
    const stop = new Error('stop');
    await expect(net.run(images, { signal: AbortSignal.abort(stop) })).rejects.toBe(stop);
    const controller = new AbortController();
    const onImages = () => controller.abort(stop);
    await expect(net.run(images, { signal: controller.signal, onImages })).rejects.toBe(stop);
  });

  it('refuses weights of another network, and damaged ones', async () => {
    const load = (bytes: Uint8Array) =>
      Inception.load(new ReferenceBackend(), bytesSource(bytes, 'weights'), { network: small }).catch((error) => error);
    const errors = [
      await load(
        noiseWeights(small, (name, shape, data) => (name === 'fc.weight' ? undefined : { name, dtype: 'F32', shape, data })),
      ),
      await load(noiseWeights(inceptionNetwork({ divisor: 16, side: 75, classes: 10 }))),
      await load(
        noiseWeights(small, (name, shape, data) => {
          if (name.endsWith('7c.branch1x1.bn.running_var')) data[3] = -1;
          return { name, dtype: 'F32', shape, data };
        }),
      ),
      await load(
        noiseWeights(small, (name, shape, data) => {
          if (name === 'Mixed_6b.branch_pool.conv.weight') data[5] = Number.NaN;
          return { name, dtype: 'F32', shape, data };
        }),
      ),
    ];
    for (const error of errors) expect(error).toBeInstanceOf(CheckpointError);
    expect(errors.map((error) => error.message)).toEqual([
      expect.stringMatching(/weights has no tensor fc\.weight, so it is not the FID network.*pass pt_inception/),
      expect.stringMatching(/fc\.weight has shape \[10, 128\] and the FID network \[12, 128\]: this is another/),
      expect.stringMatching(/Mixed_7c\.branch1x1\.bn\.running_var has -1 at index 3/),
      expect.stringMatching(/Mixed_6b\.branch_pool\.conv\.weight.*NaN/),
    ]);
  });

  it('has every convolution once', () => {
    const names = convolutions(small).map(({ name }) => name);
    expect(names).toHaveLength(94);
    expect(new Set(names).size).toBe(94);
  });
});

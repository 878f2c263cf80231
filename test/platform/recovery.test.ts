/** A GPU device that is lost at any moment: the library creates another, and the results equal those of an undisturbed run. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AiM, type Generated } from '../../src/aim.js';
import type { Progress } from '../../src/checkpoint/source.js';
import { AimError, DeviceError, DisposedError } from '../../src/core/errors.js';
import { hasAdapter, NO_ADAPTER } from '../backends.js';
import { fixture } from '../goldens.js';
import { devices, lose, withDevices } from './gpu.js';
import '../idle_waits.mjs';

const SMALL = fixture('mamba2-adaln');
const options = { count: 4, batchSize: 2, seed: 5, cfgScale: 2 };
let aim: AiM;
/** The same weights on a device that is not lost. */
let untouched: AiM;
let want: Generated;
let here = false;

beforeAll(async () => {
  here = await hasAdapter();
  if (!here) return;
  untouched = await AiM.fromPretrained(SMALL, { device: 'wasm' });
  aim = await AiM.fromPretrained(SMALL, { device: 'webgpu' });
  want = await aim.generate(options);
});
afterAll(() => Promise.all([aim?.dispose(), untouched?.dispose()]));

const failure = (work: Promise<unknown>): Promise<AimError> =>
  work.then(
    () => expect.fail('it went through'),
    (error) => error,
  );
const weights = async (model: AiM) => {
  const names = [
    'mamba.backbone.embeddings.word_embeddings.weight',
    'mamba.backbone.norm_f.weight',
    'vqvae.decoder.conv_in.weight',
  ];
  return Promise.all(names.map(async (name) => [...(await model.model.read(name))]));
};
const pixels = ({ images }: Pick<Generated, 'images'>) => images.map((image) => [...image.data]);
/** A test on a device of its own; skipped with the reason if there is no adapter. */
const onGpu = (name: string, work: () => Promise<void>) => it(name, ({ skip }) => (here ? work() : skip(NO_ADAPTER)));

onGpu('generation continues and reports each step once', async () => {
  const before = aim.model.recoveries;
  const losses = new Set(['0 3', '2 16']);
  const reported: string[] = [];
  let previews = 0;
  const got = await aim.generate({
    ...options,
    async onStep({ first, step, preview }) {
      if (losses.delete(`${first} ${step}`)) lose();
      // The device is lost within the preview: the batch is drawn again, and this step is reported again.
      if (first === 2 && step === 5 && previews++ === 0) {
        const work = preview();
        lose();
        await work;
      }
      reported.push(`${first} ${step}`);
    },
  });
  expect(got.tokens).toEqual(want.tokens);
  expect(pixels(got)).toEqual(pixels(want));
  expect(reported).toEqual([0, 2].flatMap((first) => Array.from({ length: 16 }, (_, i) => `${first} ${i + 1}`)));
  expect([losses.size, previews, aim.model.recoveries - before]).toEqual([0, 2, 3]);
});

onGpu('encoding and decoding continue, also if the device was lost between two calls', async () => {
  const codes = await aim.encode(want.images);
  lose();
  await devices.at(-1)!.lost;
  expect(await aim.encode(want.images)).toEqual(codes);
  const decoding = aim.decode(want.tokens);
  lose();
  expect(pixels({ images: await decoding })).toEqual(pixels(want));
});

onGpu('two concurrent calls share the new device', async () => {
  const before = [aim.model.recoveries, devices.length];
  const both = Promise.all([aim.generate(options), aim.decode(want.tokens)]);
  lose();
  const [drawn, decoded] = await both;
  expect(drawn.tokens).toEqual(want.tokens);
  expect(pixels({ images: decoded })).toEqual(pixels(want));
  expect([aim.model.recoveries, devices.length]).toEqual(before.map((n) => n + 1));
});

onGpu('abort during the replacement rejects with the reason, and the model still works afterwards', async () => {
  const abort = new AbortController();
  const reason = new Error('enough');
  lose();
  const stopped = await withDevices(
    () => abort.abort(reason),
    () => failure(aim.generate({ ...options, signal: abort.signal })),
  );
  expect(stopped).toBe(reason);
  expect(await weights(aim)).toEqual(await weights(untouched));
});

onGpu('a device that is lost repeatedly ends in a DeviceError, and a later call tries again', async () => {
  const often = await failure(
    aim.generate({
      ...options,
      async onStep({ preview }) {
        const work = preview();
        lose();
        await work;
      },
    }),
  );
  expect(often).toBeInstanceOf(DeviceError);
  expect(often.message).toMatch(/device was lost.*3 times in a row; update the GPU's driver/);
  const before = devices.length;
  const never = await withDevices(
    (device) => device.destroy(),
    () => failure(aim.generate(options)),
  );
  expect(never).toBeInstanceOf(DeviceError);
  expect(never.message).toMatch(/device was lost.*Another device could not take over: the WebGPU device was lost/);
  expect(devices.length - before).toBe(3);
  expect(await weights(aim)).toEqual(await weights(untouched));
});

onGpu('dispose() ends a replacement and frees what it has allocated', async () => {
  const other = await AiM.fromPretrained(SMALL, { device: 'webgpu' });
  lose();
  const ended = await withDevices(
    () => void other.dispose(),
    () => failure(other.generate(options)),
  );
  expect(ended).toBeInstanceOf(DisposedError);
  expect((await devices.at(-1)!.lost).reason).toBe('destroyed');
  const third = await AiM.fromPretrained(SMALL, { device: 'webgpu' });
  const running = failure(third.generate(options));
  lose();
  await third.dispose();
  expect(await running).toBeInstanceOf(AimError);
});

onGpu('loading continues', async () => {
  let losses = 0;
  const onProgress = ({ loaded, total }: Progress) => void (loaded === total && losses++ === 0 && lose());
  const other = await AiM.fromPretrained(SMALL, { device: 'webgpu', onProgress });
  expect(other.model.recoveries).toBe(1);
  expect(await weights(other)).toEqual(await weights(untouched));
  await other.dispose();
  const never = await withDevices(
    (device) => device.destroy(),
    () => failure(AiM.fromPretrained(SMALL, { device: 'webgpu' })),
  );
  expect(never).toBeInstanceOf(DeviceError);
});

onGpu('fresh weights and parts loaded later are restored too', async () => {
  const other = await AiM.fromConfig(aim.config.json, { device: 'webgpu', seed: 4 });
  await other.loadPart('vqvae.', SMALL);
  const before = await weights(other);
  lose();
  await devices.at(-1)!.lost;
  expect(await weights(other)).toEqual(before);
  expect([other.model.recoveries, String(before) === String(await weights(untouched))]).toEqual([1, false]);
  await other.dispose();
});

onGpu('weights whose source is missing or has changed end in a DeviceError', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'aim-recovery-'));
  try {
    cpSync(SMALL, dir, { recursive: true });
    const other = await AiM.fromPretrained(dir, { device: 'webgpu' });
    const file = join(dir, 'model.safetensors');
    const bytes = readFileSync(file);
    const changed = Buffer.from(bytes);
    // The lowest byte of each float of the second half.
    for (let i = Math.floor(bytes.length / 8) * 4; i < bytes.length; i += 4) changed[i] = changed[i]! ^ 1;
    writeFileSync(file, changed);
    lose();
    const other1 = await failure(other.generate(options));
    expect(other1).toBeInstanceOf(DeviceError);
    expect(other1.message).toMatch(/device was lost.*is no longer the file that was loaded/);
    rmSync(file);
    const gone = await failure(other.generate(options));
    expect(gone).toBeInstanceOf(DeviceError);
    expect(gone.message).toMatch(/device was lost.*there is no file .*model\.safetensors/);
    writeFileSync(file, bytes);
    expect(await weights(other)).toEqual(await weights(untouched));
    await other.dispose();
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

onGpu("the caller's own device is not replaced", async () => {
  const { device } = aim.model.be as unknown as { device: GPUDevice };
  const mine = await AiM.fromPretrained(SMALL, { device });
  const [before, running] = [devices.length, failure(mine.generate(options))];
  device.destroy();
  for (const error of [await running, await failure(mine.generate(options))]) {
    expect(error).toBeInstanceOf(DeviceError);
    expect(error.message).toMatch(/^the WebGPU device was lost .*create the model again/);
  }
  expect(devices.length).toBe(before);
  await mine.dispose();
});

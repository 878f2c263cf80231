/** Loading, drawing (much of it aborted) and disposing again and again leaves memory as it was. */
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { sum } from '../../src/ops/index.js';
import { hasAdapter, NO_ADAPTER, webgpuBackend } from '../backends.js';
import { run } from './run.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const CYCLES = 200;
/** The process is warm after this many. */
const WARM = 80;

/** What both scripts begin with. */
const COMMON = `
  import { AiM } from ${JSON.stringify(`${root}dist/aim.js`)};
  const fixture = ${JSON.stringify(`${root}test/fixtures/mamba2-adaln`)};
  const collect = async () => {
    for (let n = 0; n < 3; n++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { rss, heapUsed } = process.memoryUsage();
    return [rss, heapUsed].map((b) => Math.round(b / 2 ** 20));
  };`;

const SCRIPT = `${COMMON}
  const seen = [];
  for (let i = 1; i <= ${CYCLES}; i++) {
    const aim = await AiM.fromPretrained(fixture, { device: 'wasm' });
    const abort = new AbortController();
    const onStep = ({ step }) => step === i % 32 && abort.abort();
    await aim.generate({ count: 2, seed: i, signal: abort.signal, onStep }).catch(() => {});
    await aim.dispose();
    if (i === ${WARM} || i === ${CYCLES}) seen.push(await collect());
  }
  console.log(JSON.stringify(seen));`;

const node = async (script: string, cycles?: number) => {
  const args = ['--expose-gc', '--input-type=module', '-e', script, ...(cycles ? [String(cycles)] : [])];
  const { stdout, stderr } = await run(process.execPath, args, process.env.AIM_SLOW ? { timeout: 0 } : {});
  expect(stderr).toBe('');
  return JSON.parse(stdout);
};

it(`${CYCLES} cycles on WASM`, async () => {
  const [warm, end] = (await node(SCRIPT)) as [number, number][];
  console.log(`after ${WARM} cycles ${warm![0]} MiB (heap ${warm![1]}), after ${CYCLES} ${end![0]} MiB (heap ${end![1]})`);
  expect(end![0] - warm![0]).toBeLessThan(30);
  expect(end![1] - warm![1]).toBeLessThan(3);
});

/** Counts the buffers of a device that are not destroyed, and those that JavaScript still holds. */
const GPU = `${COMMON}
  import { create } from 'webgpu';
  const cycles = Number(process.argv[1]);
  const gpu = create([]);
  const open = async () => {
    const device = await (await gpu.requestAdapter()).requestDevice();
    const live = new Map();
    const held = [];
    const createBuffer = device.createBuffer;
    device.createBuffer = (descriptor) => {
      const buffer = createBuffer.call(device, descriptor);
      const destroy = buffer.destroy;
      const key = held.push(new WeakRef(buffer));
      live.set(key, descriptor.size);
      buffer.destroy = () => {
        live.delete(key);
        destroy.call(buffer);
      };
      return buffer;
    };
    const count = () => ({ buffers: live.size, bytes: [...live.values()].reduce((a, b) => a + b, 0) });
    return { device, count, held: () => held.filter((ref) => ref.deref()).length };
  };
  // The same numbers every time; when an abort falls is as chance will have it.
  let seed = 1;
  const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
  const draw = async (aim, i) => {
    const abort = new AbortController();
    const at = random(24);
    const timer = i % 3 ? setTimeout(() => abort.abort(), random(400)) : undefined;
    const onStep = async ({ step, preview }) => {
      if (step === at) abort.abort();
      if (step === 3 && i % 4 === 0) await preview();
    };
    await aim.generate({ count: 1 + (i % 3), batchSize: 2, seed: i, temperature: 1 + (i % 2), signal: abort.signal, onStep })
      .catch((error) => { if (!abort.signal.aborted) throw error; });
    clearTimeout(timer);
  };`;

const CALLS = `${GPU}
  const { device, count } = await open();
  const aim = await AiM.fromPretrained(fixture, { device });
  const empty = count();
  // Every shape and option once, so that what is kept for the next call is there.
  const onStep = ({ step, preview }) => step === 3 && preview();
  for (const temperature of [1, 2]) await aim.generate({ count: 3, batchSize: 2, temperature, onStep });
  const warm = { ...count(), rss: (await collect())[0] };
  let most = 0;
  for (let i = 0; i < cycles; i++) {
    await draw(aim, i);
    most = Math.max(most, count().buffers);
  }
  const end = { ...count(), rss: (await collect())[0] };
  await aim.dispose();
  console.log(JSON.stringify({ empty, warm, most, end, disposed: count() }));
  device.destroy();`;

const MODELS = `${GPU}
  const { device, count, held } = await open();
  const seen = [];
  for (let i = 0; i < cycles; i++) {
    const aim = await AiM.fromPretrained(fixture, { device });
    await draw(aim, i);
    await aim.dispose();
    seen.push(count().buffers);
  }
  await collect();
  console.log(JSON.stringify({ most: Math.max(...seen), held: held() }));
  device.destroy();`;

/** A software GPU compiles the shaders of each model for seconds. */
const many = process.env.AIM_SLOW ? 200 : 0;

it('calls aborted at any moment on WebGPU', async ({ skip }) => {
  if (!(await hasAdapter())) return skip(NO_ADAPTER);
  const cycles = many || 20;
  const { empty, warm, most, end, disposed } = await node(CALLS, cycles);
  const words = ({ buffers, bytes, rss }: { buffers: number; bytes: number; rss: number }) =>
    `${buffers} buffers of ${(bytes / 2 ** 10).toFixed(0)} KiB (process ${rss} MiB)`;
  console.log(`loaded: ${empty.buffers} buffers; warm: ${words(warm)}; after ${cycles} calls: ${words(end)}, at most ${most}`);
  expect(most).toBeLessThanOrEqual(warm.buffers);
  expect(end.bytes).toBeLessThanOrEqual(warm.bytes);
  expect(disposed.buffers).toBe(0);
});

it('models loaded, used and disposed on one GPU device', async ({ skip }) => {
  if (!(await hasAdapter())) return skip(NO_ADAPTER);
  const cycles = many || 4;
  const { most, held } = await node(MODELS, cycles);
  console.log(`after each of ${cycles} models at most ${most} buffers were left; ${held} JavaScript objects at the end`);
  expect(most).toBe(0);
  // Those of the last model may still be on the stack.
  expect(held).toBeLessThan(400);
});

it('what a GPU device keeps for later calls is bounded', async ({ skip }) => {
  const be = await webgpuBackend();
  if (!be) return skip(NO_ADAPTER);
  const kept = be as unknown as { params: Map<string, GPUBuffer>; spareBytes: number };
  const [x, y] = [be.from([1, 2, 3, 4]), be.tensor([1])];
  for (let i = 1; i <= 3000; i++) be.run(sum.forward, { x, y }, { scale: i });
  // Those dropped may still be bound by work that was not done yet.
  expect((await be.read(y))[0]).toBe(30_000);
  expect(kept.params.size).toBeLessThanOrEqual(1024);
  const MiB = 2 ** 20;
  be.free(be.tensor([8 * MiB]));
  await be.settle();
  expect(kept.spareBytes).toBe(32 * MiB);
  // Twelve sizes that never come again.
  for (let i = 1; i <= 12; i++) be.free(be.tensor([8 * MiB + 4 * i]));
  await be.settle();
  expect(kept.spareBytes).toBeLessThanOrEqual(256 * MiB);
  be.run(sum.forward, { x, y }, { scale: 1 });
  expect((await be.read(y))[0]).toBe(10);
  be.dispose();
});

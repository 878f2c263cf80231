/**
 * Repeats calls of one model, and loading, drawing and disposing of models, many of them aborted at random moments. Counts the
 * buffers left on the GPU device and the memory in use. Like runtime_checks.ts it runs in Node and in a page.
 */
import type * as Library from '../../src/index.js';

export interface Plan {
  /** Path or URL of a small model. */
  model: string;
  /** Number of calls of one model, and number of models after them. */
  calls: number;
  models: number;
  /** Memory is measured after every this many models. */
  every: number;
}

export interface Left {
  buffers: number;
  bytes: number;
  /** Result of `memory`, MiB. */
  memory: number;
}

export interface Cycles {
  /** With one model loaded; with all its caches filled; after the calls. */
  loaded: Left;
  warm: Left;
  called: Left;
  /** Most buffers between two calls. */
  most: number;
  /** After every `every` models loaded, used and disposed beside that one. `furthest`: largest difference in buffers. */
  models: Left[];
  furthest: number;
  /** Models whose loading or drawing was aborted. */
  aborted: number;
  /** Buffers made for those models that JavaScript still holds. */
  held: number;
  /** Everything disposed. */
  disposed: Left;
}

export async function cycle(
  { AiM }: typeof Library,
  gpu: GPU,
  { model, calls, models, every }: Plan,
  memory: () => Promise<number>,
): Promise<Cycles> {
  const device = await (await gpu.requestAdapter())!.requestDevice();
  const watched = watch(device);
  const left = async (): Promise<Left> => ({ ...watched.count(), memory: await memory() });
  // The numbers are reproducible; the moment at which an abort takes effect is not.
  let seed = 1;
  const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
  const unlessAborted = (signal: AbortSignal) => (error: unknown) => {
    if (!signal.aborted) throw error;
  };

  // It is not disposed, so that the compiled shaders stay cached: they take a software GPU many seconds.
  const first = await AiM.fromPretrained(model, { device });
  const { num_tokens: steps } = first.config;
  const loaded = await left();
  // Every shape and option once, so that everything cached for later calls exists.
  const options = (i: number) => ({ count: 1 + (i % 3), batchSize: 2, seed: i, temperature: 1 + (i % 2) });
  for (const i of [2, 5]) await first.generate({ ...options(i), onStep: ({ step, preview }) => step === 2 && preview() });
  const one = { count: 1, cfgScale: 1 };
  await first.generate(one);
  const start = performance.now();
  await first.generate(one);
  const takes = Math.ceil(performance.now() - start);
  const warm = await left();

  let most = 0;
  for (let i = 0; i < calls; i++) {
    const abort = new AbortController();
    const at = random(2 * steps);
    const timer = i % 3 ? setTimeout(() => abort.abort(), random(takes)) : undefined;
    const onStep = async ({ step, preview }: Library.StepInfo) => {
      if (step === at) abort.abort();
      if (step === 2 && i % 4 === 0) await preview();
    };
    await first.generate({ ...options(i), signal: abort.signal, onStep }).catch(unlessAborted(abort.signal));
    clearTimeout(timer);
    most = Math.max(most, watched.count().buffers);
  }
  const called = await left();

  watched.forget();
  const after: Left[] = [];
  let [furthest, aborted] = [0, 0];
  for (let i = 1; i <= models; i++) {
    const abort = new AbortController();
    const { signal } = abort;
    const at = i % 4 === 1 ? random(steps) + 1 : undefined;
    const timer = i % 4 === 3 ? setTimeout(() => abort.abort(), random(takes)) : undefined;
    await (async () => {
      const aim = await AiM.fromPretrained(model, { device, signal });
      try {
        await aim.generate({ ...one, seed: i, signal, onStep: ({ step }) => step === at && abort.abort() });
      } finally {
        await aim.dispose();
      }
    })().catch(unlessAborted(signal));
    clearTimeout(timer);
    if (signal.aborted) aborted++;
    furthest = Math.max(furthest, Math.abs(watched.count().buffers - called.buffers));
    if (i % every === 0) after.push(await left());
  }
  const held = watched.held();
  await first.dispose();
  const disposed = await left();
  device.destroy();
  return { loaded, warm, called, most, models: after, furthest, aborted, held, disposed };
}

/** Counts the buffers of a device that are not destroyed, and those that JavaScript still holds. */
function watch(device: GPUDevice) {
  const live = new Map<WeakRef<GPUBuffer>, number>();
  let made: WeakRef<GPUBuffer>[] = [];
  const { createBuffer } = device;
  device.createBuffer = (descriptor) => {
    const buffer = createBuffer.call(device, descriptor);
    const { destroy } = buffer;
    const key = new WeakRef(buffer);
    made.push(key);
    live.set(key, descriptor.size);
    buffer.destroy = () => {
      live.delete(key);
      return destroy.call(buffer);
    };
    return buffer;
  };
  return {
    count: () => ({ buffers: live.size, bytes: [...live.values()].reduce((a, b) => a + b, 0) }),
    held: () => made.filter((buffer) => buffer.deref()).length,
    forget: () => void (made = []),
  };
}

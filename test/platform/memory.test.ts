/** Repeated loading, drawing (often aborted) and disposing does not increase memory use. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import type { AimConfigJson } from '../../src/model/config.js';
import { toCheckpoint } from '../../src/model/params.js';
import { sum } from '../../src/ops/sum.js';
import { dawnToggles } from '../../src/platform/runtime.js';
import { saveCheckpoint } from '../../src/train/folder.js';
import { hasAdapter, NO_ADAPTER, webgpuBackend } from '../backends.js';
import { html, moduleText, NO_CHROMIUM, openChromium, openPage, serve } from './browser_site.js';
import type { Cycles, Left, Plan } from './memory_cycles.js';
import { run } from './run_program.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const CYCLES = 100;
/** Cycles after which the process is warm. */
const WARM = 40;

const dir = mkdtempSync(join(tmpdir(), 'aim-memory-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const url = (path: string) => JSON.stringify(pathToFileURL(path).href);
/** Script text: `collect`, which returns the MiB of the process and of the heap. */
const COLLECT = `
  const collect = async () => {
    for (let n = 0; n < 3; n++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { rss, heapUsed } = process.memoryUsage();
    return [rss, heapUsed].map((b) => Math.round(b / 2 ** 20));
  };`;

const SCRIPT = `${COLLECT}
  import { AiM } from ${url(`${root}dist/aim.js`)};
  const fixture = ${JSON.stringify(`${root}test/fixtures/mamba2-adaln`)};
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

const node = async (script: string) => {
  const { stdout, stderr } = await run(process.execPath, ['--expose-gc', '--input-type=module', '-e', script]);
  expect(stderr).toBe('');
  return JSON.parse(stdout);
};

it(`${CYCLES} cycles on WASM`, async () => {
  const [warm, end] = (await node(SCRIPT)) as [number, number][];
  console.log(`after ${WARM} cycles ${warm![0]} MiB (heap ${warm![1]}), after ${CYCLES} ${end![0]} MiB (heap ${end![1]})`);
  expect(end![0] - warm![0]).toBeLessThan(30);
  expect(end![1] - warm![1]).toBeLessThan(3);
});

/** A minimal model, because a software GPU is slow. */
const TINY: AimConfigJson = {
  d_model: 32,
  n_layer: 1,
  vocab_size: 32,
  num_classes: 3,
  num_tokens: 4,
  ssm_cfg: { layer: 'Mamba2', d_state: 8, headdim: 8 },
  vq_config: { ch: 32, ch_mult: [1], num_res_blocks: 1, z_channels: 32, n_embed: 32, embed_dim: 4 },
};

/** Saves a checkpoint of the TINY model and returns its path. */
async function saveTiny(dir: string): Promise<string> {
  const aim = await AiM.fromConfig(TINY, { device: 'wasm', seed: 1 });
  const model = [...aim.model.named()].map(([name, { spec }]) => ({
    name,
    shape: spec.shape,
    data: async () => toCheckpoint(spec, await aim.model.read(name)),
  }));
  const path = await saveCheckpoint(dir, { config: TINY, model, optimizer: [], state: { step: 0 } });
  await aim.dispose();
  return path;
}

function report(where: string, memory: string, { loaded, warm, called, most, models, aborted, held }: Cycles, plan: Plan): void {
  const words = ({ buffers, bytes, memory: n }: Left) =>
    `${buffers} buffers of ${(bytes / 2 ** 10).toFixed(0)} KiB, ${memory} ${n} MiB`;
  const lines = [
    ['loaded', loaded],
    ['warm', warm],
    [`after ${plan.calls} calls`, called],
    ...models.map((left, i) => [`after ${(i + 1) * plan.every} models`, left] as const),
  ] as const;
  console.log(
    `${where}:\n${lines.map(([when, left]) => `  ${when}: ${words(left)}`).join('\n')}\n` +
      `  at most ${most} buffers between calls; ${aborted} of ${plan.models} models aborted; JavaScript holds ${held} of their buffers`,
  );
}

function check({ warm, called, most, models, furthest, aborted, held, disposed }: Cycles, plan: Plan, growth: number): void {
  expect(most).toBeLessThanOrEqual(warm.buffers);
  expect(called.bytes).toBeLessThanOrEqual(warm.bytes);
  expect(furthest).toBe(0);
  expect(models).toHaveLength(plan.models / plan.every);
  for (const { bytes } of models) expect(bytes).toBe(called.bytes);
  expect(aborted).toBeGreaterThanOrEqual(plan.models / 4);
  // Buffers of the last model may still be on the stack.
  expect(held).toBeLessThan(2 * called.buffers);
  expect(models.at(-1)!.memory - models[0]!.memory).toBeLessThan(growth);
  expect(disposed).toMatchObject({ buffers: 0, bytes: 0 });
}

it('calls and models on WebGPU, aborted at any moment, leave no memory in use', async ({ skip }) => {
  if (!(await hasAdapter())) return skip(NO_ADAPTER);
  const plan = { model: await saveTiny(join(dir, 'run')), calls: 20, models: 100, every: 20 };
  writeFileSync(join(dir, 'cycles.mjs'), (await moduleText(`${root}test/platform/memory_cycles.ts`)).body);
  const done: Cycles = await node(`${COLLECT}
    import * as library from ${url(`${root}dist/aim.js`)};
    import { create } from ${url(`${root}node_modules/webgpu/index.js`)};
    import { cycle } from ${url(join(dir, 'cycles.mjs'))};
    const gpu = create(${JSON.stringify(dawnToggles())});
    console.log(JSON.stringify(await cycle(library, gpu, ${JSON.stringify(plan)}, async () => (await collect())[0])));`);
  report('Node', 'process', done, plan);
  check(done, plan, 30);
});

it('calls and models on WebGPU in Chromium leave no memory in use', async ({ skip }) => {
  if (NO_CHROMIUM) return skip(NO_CHROMIUM);
  const plan = { model: '/tiny', calls: 8, models: 40, every: 8 };
  const site = await serve(
    {
      '/': html('<script type="module" src="/run.js"></script>'),
      '/run.js': {
        body: `import * as library from '/dist/aim.js';
          import { cycle } from '/cycles.js';
          const memory = async () => {
            gc();
            await new Promise((resolve) => setTimeout(resolve, 20));
            gc();
            return Math.round(performance.memory.usedJSHeapSize / 2 ** 20 * 10) / 10;
          };
          globalThis.done = cycle(library, navigator.gpu, ${JSON.stringify(plan)}, memory);`,
        type: 'text/javascript',
      },
      '/cycles.js': await moduleText(`${root}test/platform/memory_cycles.ts`),
    },
    { '/tiny/': `${await saveTiny(join(dir, 'page'))}/` },
  );
  const browser = await openChromium('--js-flags=--expose-gc', '--enable-precise-memory-info');
  try {
    const { page } = await openPage(browser, site.url);
    const done: Cycles = await page.evaluate('done');
    report('Chromium', 'heap', done, plan);
    check(done, plan, 2);
  } finally {
    await browser.close();
    await site.close();
  }
});

it('the memory that a GPU device caches for later calls is bounded', async ({ skip }) => {
  const be = await webgpuBackend();
  if (!be) return skip(NO_ADAPTER);
  const { buffers: internals } = be as unknown as { buffers: { params: Map<string, GPUBuffer>; spareBytes: number } };
  const [x, y] = [be.from([1, 2, 3, 4]), be.tensor([1])];
  for (let i = 1; i <= 3000; i++) be.run(sum.forward, { x, y }, { scale: i });
  // Buffers that were removed may still be bound by unfinished work.
  expect((await be.read(y))[0]).toBe(30_000);
  expect(internals.params.size).toBeLessThanOrEqual(1024);
  const MiB = 2 ** 20;
  be.free(be.tensor([8 * MiB]));
  await be.settle();
  expect(internals.spareBytes).toBe(32 * MiB);
  // Twelve sizes that are not requested again.
  for (let i = 1; i <= 12; i++) be.free(be.tensor([8 * MiB + 4 * i]));
  await be.settle();
  expect(internals.spareBytes).toBeLessThanOrEqual(256 * MiB);
  be.run(sum.forward, { x, y }, { scale: 1 });
  expect((await be.read(y))[0]).toBe(10);
  be.dispose();
});

/**
 * One model draws again and again, and models are loaded, used and disposed of, on WASM in a process of its own. The memory of the
 * process (resident set) must not grow with the number of cycles.
 */
import { fileURLToPath, pathToFileURL } from 'node:url';
import { childLines } from './context.mjs';

const GENERATES = 1000;
const LOADS = 300;
/** Measurements of each series; those of its first third are the warm-up. */
const SAMPLES = 12;
/**
 * Most growth of a series, MiB. One model takes 10 MiB and one image of a call that is kept 1 kB: a leak of either in every cycle,
 * or of a hundredth of the models, is more. The rest is what the allocator and the garbage collector vary by.
 */
const MOST = 40;

export const memoryCycles = {
  name: 'memory-cycles',
  limit: 1800,
  share: 8,
  async run(context) {
    const args = [
      '--expose-gc',
      fileURLToPath(import.meta.url),
      'child',
      context.many(GENERATES),
      context.many(LOADS),
      context.seed,
    ];
    for await (const { what, cycles, from, growth } of childLines(context, args.map(String))) {
      context.count(`${what} cycles`, cycles);
      context.most(`growth in ${what} cycles (MiB, from ${from})`, growth);
      if (growth > MOST) context.finding(`${cycles} ${what} cycles took ${growth} MiB more than the ${from} before`);
    }
  },
};

/** Runs the cycles and prints how much memory grew, as lines of JSON. */
async function cycles(generates, loads, seed) {
  const { AiM } = await import('../../dist/aim.js');
  const model = fileURLToPath(new URL('../../test/fixtures/mamba2-adaln', import.meta.url));
  const options = (i) => ({ count: 1 + (i % 3), batchSize: 2, seed: i, cfgScale: 1 + (i % 2) });
  const open = () => AiM.fromPretrained(model, { device: 'wasm' });
  const aim = await open();
  await series('generate', generates, (i) => aim.generate(options(i)));
  await aim.dispose();
  await series('load', loads, async (i) => {
    const other = await open();
    await other.generate({ count: 1, seed: i });
    await other.dispose();
  });

  async function series(what, count, cycle) {
    const measured = [];
    for (let i = 0; i < count; i++) {
      await cycle(seed + i);
      if (i % Math.max(1, Math.floor(count / SAMPLES)) === 0) measured.push(await memory());
    }
    measured.push(await memory());
    const third = Math.ceil(measured.length / 3);
    const least = (list) => Math.min(...list);
    const from = least(measured.slice(1, third + 1));
    console.log(JSON.stringify({ what, cycles: count, from, growth: Math.max(0, least(measured.slice(-third)) - from) }));
  }
}

async function memory() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc();
    await new Promise((done) => setTimeout(done, 10));
  }
  return Math.round(process.memoryUsage().rss / 2 ** 20);
}

if (process.argv[2] === 'child' && import.meta.url === pathToFileURL(process.argv[1]).href)
  void cycles(...process.argv.slice(3).map(Number));

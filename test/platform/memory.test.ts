/** Loading, drawing (half of it aborted) and disposing again and again leaves memory as it was. */
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { run } from './run.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const CYCLES = 200;
/** The process is warm after this many. */
const WARM = 80;

const SCRIPT = `
  import { AiM } from ${JSON.stringify(`${root}dist/aim.js`)};
  const seen = [];
  for (let i = 1; i <= ${CYCLES}; i++) {
    const aim = await AiM.fromPretrained(${JSON.stringify(`${root}test/fixtures/mamba2-adaln`)}, { device: 'wasm' });
    const abort = new AbortController();
    const onStep = ({ step }) => step === i % 32 && abort.abort();
    await aim.generate({ count: 2, seed: i, signal: abort.signal, onStep }).catch(() => {});
    await aim.dispose();
    if (i === ${WARM} || i === ${CYCLES}) {
      for (let n = 0; n < 3; n++) {
        gc();
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const { rss, heapUsed } = process.memoryUsage();
      seen.push([rss, heapUsed].map((b) => Math.round(b / 2 ** 20)));
    }
  }
  console.log(JSON.stringify(seen));`;

it(`${CYCLES} cycles on WASM`, async () => {
  const { stdout, stderr } = await run(process.execPath, ['--expose-gc', '--input-type=module', '-e', SCRIPT]);
  expect(stderr).toBe('');
  const [warm, end] = JSON.parse(stdout) as [number, number][];
  console.log(`after ${WARM} cycles ${warm![0]} MiB (heap ${warm![1]}), after ${CYCLES} ${end![0]} MiB (heap ${end![1]})`);
  expect(end![0] - warm![0]).toBeLessThan(30);
  expect(end![1] - warm![1]).toBeLessThan(3);
});

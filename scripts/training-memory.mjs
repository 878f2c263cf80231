/**
 * `node scripts/training-memory.mjs` prints what a training step holds on a GPU, in GB, as a table: counted exactly on a device that
 * computes nothing, so that no GPU is needed.
 */
import { bundle } from './bundle.mjs';

const { memoryOf } = await import(await bundle('test/train/memory_table.ts'));

const COLUMNS = ['weights', 'gradients', 'moments', 'activations', 'logits', 'temporary', 'total'];
const gigabytes = (bytes) => (bytes / 1e9).toFixed(1);
const row = (cells) => process.stdout.write(`| ${cells.join(' | ')} |\n`);

row(['model', 'mixer', 'sequences', 'precision', 'recompute', ...COLUMNS]);
row(Array(5 + COLUMNS.length).fill('---'));
for (const preset of ['aim-b', 'aim-l', 'aim-xl'])
  for (const layer of ['Mamba2', 'Mamba1'])
    for (const precision of ['f32', 'mixed']) {
      const runs = [32, 128].flatMap((batchSize) => [false, true].map((recompute) => ({ batchSize, recompute })));
      const memory = await memoryOf({ preset, layer, precision }, runs);
      for (const [i, { batchSize, recompute }] of runs.entries())
        row([
          preset,
          layer,
          batchSize,
          precision,
          recompute ? 'yes' : 'no',
          ...COLUMNS.map((name) => gigabytes(memory[i][name])),
        ]);
    }

/** A stand-in for training, run as a process of its own: logs and saves step after step, until it is killed. */
import { exists, makeFolder } from '../../src/platform/files.js';
import { type CheckpointParts, openCheckpointFolder, saveCheckpoint } from '../../src/train/folder.js';
import { openMetrics } from '../../src/train/metrics.js';

/** Every value encodes the step, so that a mixture of two saves is detected. */
export function parts(step: number, size = 200_000): CheckpointParts {
  const tensor = (name: string, add: number) => ({ name, shape: [size], data: () => new Float32Array(size).fill(step + add) });
  return {
    config: { d_model: 8 },
    classes: ['a', 'b'],
    model: [tensor('mamba.backbone.embeddings.word_embeddings.weight', 0), tensor('vqvae.b', 0.25)],
    optimizer: [tensor('m', 0.5), tensor('v', 0.75)],
    ema: [tensor('vqvae.b', 0.125)],
    state: { step, seed: 2 ** 53 - 1, loss: 1 / 3 + step },
  };
}

export async function write(run: string, size?: number): Promise<void> {
  await makeFolder(run);
  const start = (await exists(`${run}/latest`)) ? (await openCheckpointFolder(run)).state.step : 0;
  const log = await openMetrics(`${run}/metrics.jsonl`, start);
  process.stdout.write(`ready ${start}\n`);
  for (let step = start + 1; ; step++) {
    await log.write({ step, loss: 1 / step });
    await saveCheckpoint(run, parts(step, size), { keep: 2 });
    process.stdout.write(`${step}\n`);
  }
}

if (process.argv[2] === 'write') {
  write(process.argv[3]!, process.argv[4] ? Number(process.argv[4]) : undefined).catch((error) => {
    process.stdout.write(`failed: ${error.message}\n`);
    process.exitCode = 2;
  });
}

/** `aim train --best --patience`: which checkpoint stays, which is read, and when training ends. Evaluations are scripted. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AiM } from '../../src/aim.js';
import { exportModel } from '../../src/cli/export.js';
import { Best } from '../../src/cli/train/best.js';
import { trainModel } from '../../src/cli/train/model.js';
import { encodeCodes, readCodes } from '../../src/data/codes.js';
import { writeAtomic } from '../../src/platform/files.js';
import { saveCheckpoint } from '../../src/train/folder.js';
import { Trainer } from '../../src/train/trainer.js';
import { CONFIG, codesFor } from '../train/tiny_model.js';
import { call } from './in_process.js';

let dir: string;
const at = (name: string) => join(dir, name);
const text = (name: string) => readFileSync(at(name), 'utf8').trim();
const checkpoints = (run: string) => readdirSync(at(run)).filter((name) => name.startsWith('step-'));

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'aim-cli-best-'));
  const model = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 1 });
  const codes = await codesFor(model, 12);
  await writeAtomic(at('codes.safetensors'), encodeCodes(codes));
  const trainer = new Trainer({ model, data: codes, steps: 1, batchSize: 6 });
  await saveCheckpoint(at('base'), trainer.checkpoint());
  trainer.dispose();
  await model.dispose();
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Trains with an evaluation at every step, whose losses are these. */
async function train(losses: number[], ...args: string[]): Promise<string> {
  const rest = [...losses];
  const spy = vi.spyOn(Trainer.prototype, 'evaluate').mockImplementation(async () => ({ loss: rest.shift()! }));
  try {
    return await call(trainModel, '--device', 'wasm', '--threads', '1', ...args);
  } finally {
    spy.mockRestore();
  }
}
const fresh = (run: string, steps: number) => [
  ...[at('codes.safetensors'), '--out', at(run), '--init', at('base'), '--batch-size', '6'],
  ...['--steps', String(steps), '--eval-every', '1', '--keep', '1'],
];

describe('the best checkpoint', () => {
  it('stays, is what is read, and is found again on resuming', async () => {
    const said = await train([3, 1, 2, 1.5], ...fresh('run', 4), '--best');
    expect(said).toMatch(/best: step 2, held-out loss 1\.0000\n/);
    expect([checkpoints('run'), text('run/best'), text('run/latest')]).toEqual([
      ['step-00000002', 'step-00000004'],
      'step-00000002',
      'step-00000004',
    ]);
    expect(await call(exportModel, at('run'), '--out', at('best'), '--dtype', 'F32')).toContain('step-00000002 has the best');
    expect(await call(exportModel, at('run'), '--out', at('newest'), '--dtype', 'F32', '--newest')).not.toContain('best');
    const weights = async (folder: string) => {
      const aim = await AiM.fromPretrained(at(folder), { device: 'wasm' });
      const first = aim.tensors[0]!.name;
      const values = Array.from(await aim.model.read(first));
      await aim.dispose();
      return values;
    };
    expect(await weights('best')).toEqual(await weights('run'));
    expect(await weights('best')).not.toEqual(await weights('newest'));

    // The option is that of the run; an evaluation that is worse than before is not the best.
    await train([1.2, 0.5], '--resume', '--out', at('run'), '--steps', '6');
    expect([checkpoints('run'), text('run/best')]).toEqual([['step-00000006'], 'step-00000006']);
  });

  it('is noted on resuming when the process ended before that', async () => {
    await train([3, 1], ...fresh('killed', 2), '--best', '--keep', '2');
    writeFileSync(at('killed/best'), 'step-00000001\n');
    await train([2], '--resume', '--out', at('killed'), '--steps', '3');
    expect(text('killed/best')).toBe('step-00000002');
    // A best of steps that the run goes back behind is none.
    writeFileSync(at('killed/best'), 'step-00000009\n');
    await train([4], '--resume', '--out', at('killed'), '--steps', '4');
    expect(text('killed/best')).toBe('step-00000004');
  });

  it('needs evaluations', async () => {
    await writeAtomic(at('all.safetensors'), encodeCodes({ ...(await readCodes(at('codes.safetensors'))), eval: undefined }));
    const [, ...rest] = fresh('none', 2);
    await expect(train([], at('all.safetensors'), ...rest, '--best')).rejects.toThrow(/--best compares evaluations/);
    await expect(train([], at('all.safetensors'), ...rest, '--patience', '1')).rejects.toThrow(/--patience compares/);
  });
});

describe('patience', () => {
  it('ends a run after so many evaluations without a better one', async () => {
    const said = await train([3, 2, 2, 4, 1], ...fresh('patient', 5), '--patience', '2');
    expect(said).toMatch(/stopped at step 4: none of the last 2 evaluations was better than step 2\n/);
    expect([text('patient/latest'), existsSync(at('patient/best'))]).toEqual(['step-00000004', false]);
    // Continued, it counts those before.
    expect(await train([2.5, 1], '--resume', '--out', at('patient'))).toMatch(/stopped at step 5: none of the last 3/);
  });

  it('does not count evaluations without a number', () => {
    const best = new Best('eval_loss', [
      { step: 1, eval_loss: 2 },
      { step: 2, eval_loss: null },
      { step: 3, loss: 1 },
    ]);
    expect([best.step, best.value, best.since]).toEqual([1, 2, 0]);
    expect([best.add({ step: 4, eval_loss: 2 }), best.since]).toEqual([false, 1]);
    expect([best.add({ step: 5, eval_loss: 1 }), best.since]).toEqual([true, 0]);
  });
});

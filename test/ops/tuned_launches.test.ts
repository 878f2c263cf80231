/** Launches that a plan may choose between (GpuChoice) give the same result to the bit: tuning changes speed alone. */
import { expect, it } from 'vitest';
import type { WebGpuBackend } from '../../src/backend/webgpu.js';
import type { AnyEntry, GpuCaps, GpuChoice } from '../../src/ops/spec.js';
import { leftOut, NO_ADAPTER, opsBackend } from '../backends.js';
import { all } from './all_cases.js';
import { type Case, inputs, type OpCases, runCase } from './harness.js';
import { DEVICES, wholePlanOf } from './launches.js';

/** Multiplications and additions of a case, which bound the time of a test. */
const MOST = 2e7;

const choiceOf = (entry: AnyEntry, c: Case, caps: GpuCaps): GpuChoice | undefined => {
  const plan = wholePlanOf(entry, c, caps);
  return plan && 'choice' in plan ? plan : undefined;
};

/** For every entry and choice, the largest case with the most candidates on a device, whose caps are given. */
function tuned(caps: GpuCaps): Map<string, { op: OpCases; c: Case; choice: GpuChoice }> {
  const found = new Map<string, { op: OpCases; c: Case; choice: GpuChoice; flops: number }>();
  for (const op of all)
    for (const c of op.cases) {
      const choice = choiceOf(op.entry, c, caps);
      const flops = op.entry.flops?.(c as never) ?? 0;
      if (!choice || flops > MOST) continue;
      const key = `${op.entry.key} ${choice.choice}`;
      const best = found.get(key);
      const more = choice.candidates.length - (best?.choice.candidates.length ?? 0);
      if (!best || more > 0 || (more === 0 && flops > best.flops)) found.set(key, { op, c, choice, flops });
    }
  return found;
}

const keys = [...new Set(Object.values(DEVICES).flatMap((caps) => [...tuned(caps).keys()]))];

it('the cases reach every plan that has a choice', () => {
  expect(keys.length).toBeGreaterThanOrEqual(9);
});

it.for(keys)('%s', async (key, { skip }) => {
  const why = leftOut(key.split('.')[0]!);
  if (why) return skip(why);
  const be = (await opsBackend()) as WebGpuBackend | undefined;
  if (!be) return skip(NO_ADAPTER);
  const found = tuned(be.caps).get(key);
  if (!found) {
    be.dispose();
    return skip('this adapter has no subgroups of 32, without which there is nothing to choose');
  }
  const { op, c, choice } = found;
  expect(choice.candidates.length).toBeGreaterThan(1);
  const values = inputs(op, c, 1);
  const usual = await runCase(be, op, c, values);
  const question = [...be.tuning.questions.values()].find((q) => q.key.startsWith(`${key} `));
  expect(question?.candidates).toEqual(choice.candidates);
  for (const candidate of question!.candidates) {
    be.tuning.choices.set(question!.key, candidate);
    expect(await runCase(be, op, c, values), `${choice.choice} ${candidate}`).toEqual(usual);
  }
  be.dispose();
});

/** Calls with sizes or attributes that do not fit are refused with what is wrong and a remedy. */
import { describe, expect, it } from 'vitest';
import { ReferenceBackend } from '../../src/backend/reference.js';
import { ShapeError } from '../../src/core/errors.js';
import type { AnyEntry, TensorSpec } from '../../src/ops/spec.js';
import { all, entries, refusals } from './all_cases.js';
import { type Case, inputs, runCase } from './harness.js';

/** Runs a case on the reference and returns what it throws. */
async function errorOf(entry: AnyEntry, c: Case): Promise<unknown> {
  const op = { entry, cases: [c] };
  return runCase(new ReferenceBackend(), op, c, inputs(op, c, 1)).then(
    () => undefined,
    (e: unknown) => e,
  );
}

it.each(refusals)('an invalid call is refused with its message: %#', async (entry, c, message) => {
  const error = await errorOf(entry, c);
  expect(error).toBeInstanceOf(ShapeError);
  expect((error as Error).message).toMatch(message);
});

it('the files of cases list invalid calls', () => {
  expect(refusals.length).toBeGreaterThanOrEqual(23);
});

/** Cases with one size or attribute changed such that the check of the spec refuses it. */
function invalidCases(entry: AnyEntry): Case[] {
  const cases = all.filter((op) => op.entry.key === entry.key).flatMap((op) => op.cases);
  const names = [...entry.dimNames, ...entry.attrNames] as string[];
  const wrong: Case[] = [];
  for (const c of cases) {
    const given = (entry.names as string[]).filter((name) => !c.omit?.includes(name));
    const known = new Set(given.flatMap((name) => (entry.tensors[name] as TensorSpec).shape.split(' ')));
    for (const name of names.filter((n) => known.has(n) || entry.attrNames.includes(n)))
      for (const change of [-(c[name] as number), -1, 1, 1000]) {
        const changed: Case = { ...c, [name]: ((c[name] as number | undefined) ?? 0) + change };
        const dims = Object.fromEntries(
          names.map((n) => [n, known.has(n) || entry.attrNames.includes(n) ? (changed[n] ?? 0) : 0]),
        );
        if ((changed[name] as number) < 0 || (entry.dimNames.includes(name) && changed[name] === 0)) continue;
        if (entry.check!(dims as Record<string, number>)) wrong.push(changed);
      }
    if (wrong.length >= 4) break;
  }
  return wrong;
}

describe('a spec with a check refuses invalid sizes or attributes, naming the op and a remedy', () => {
  const checked = entries.filter((entry) => entry.check);
  it('at least one spec has a check', () => {
    expect(checked.length).toBeGreaterThanOrEqual(20);
  });
  it.each(checked.map((entry) => [entry.key, entry] as const))('%s', async (key, entry) => {
    const cases = invalidCases(entry);
    expect(cases.length).toBeGreaterThan(0);
    for (const c of cases) {
      const error = await errorOf(entry, c);
      expect(error, JSON.stringify(c)).toBeInstanceOf(ShapeError);
      const { message } = error as Error;
      expect(message.startsWith(`${key}: `), message).toBe(true);
      // What is wrong, then what to do.
      expect(message).toMatch(/[;.] ?\w.*\.$/);
    }
  });
});

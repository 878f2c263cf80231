/** The backward entries of every op that has them are the gradients of its forward entry (`gradients` of <op>.cases.ts). */
/// <reference types="vite/client" />
import { expect, it } from 'vitest';
import { entries } from './all_cases.js';
import { type Gradient, gradcheck } from './gradient.js';

const modules = import.meta.glob<{ gradients?: Gradient[] }>('./*.cases.ts', { eager: true });
const checks = Object.values(modules).flatMap((m) => m.gradients ?? []);

it('every op with a backward entry has its gradients checked', () => {
  const ops = new Set(entries.filter((e) => e.entry.startsWith('backward')).map((e) => e.op));
  expect([...new Set(checks.map(({ entry }) => entry.op))].sort()).toEqual([...ops].sort());
});

it.each(checks.map((check) => [check.entry.op, check] as const))('%s', async (_op, check) => {
  const wrong: string[] = [];
  for (const [i, c] of check.cases.entries()) wrong.push(...(await gradcheck(check, c, 100 + i)));
  expect(wrong).toEqual([]);
});

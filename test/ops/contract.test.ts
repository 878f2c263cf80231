/** Every op × every backend against the float64 reference, over the shapes of test/ops/<op>.cases.ts. */
/// <reference types="vite/client" />
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/backend/backend.js';
import * as ops from '../../src/ops/index.js';
import type { AnyEntry } from '../../src/ops/spec.js';
import { leftOut, makers, NO_ADAPTER } from '../backends.js';
import { checkCase, type OpCases } from './harness.js';

const modules = import.meta.glob<{ default: OpCases[] }>('./*.cases.ts', { eager: true });
const all = Object.values(modules).flatMap((m) => m.default);

it('every entry of every op has at least 20 cases', () => {
  const entries = Object.values(ops).flatMap((op) => Object.values(op) as AnyEntry[]);
  for (const e of entries) {
    const count = all.filter((c) => c.entry.key === e.key).reduce((n, c) => n + c.cases.length, 0);
    expect(count, `${e.key}: cases`).toBeGreaterThanOrEqual(20);
  }
});

for (const [name, make] of Object.entries(makers)) {
  describe(name, () => {
    let backend: Backend | undefined;
    beforeAll(async () => {
      backend = await make();
    });
    afterAll(() => backend?.dispose());
    for (const op of all) {
      it(op.entry.key, async ({ skip }) => {
        const why = name === 'webgpu' && leftOut(op.entry.key.split('.')[0]!);
        if (why) return skip(why);
        if (!backend) return skip(NO_ADAPTER);
        const wrong: string[] = [];
        for (const [i, c] of op.cases.entries()) wrong.push(...(await checkCase(backend, op, c, 1000 + i)));
        expect(wrong).toEqual([]);
      });
    }
  });
}

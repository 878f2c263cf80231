/** A kernel whose work is split between threads gives the same result to the bit as on one thread. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WasmBackend } from '../../src/backend/wasm.js';
import { wasmBackend } from '../backends.js';
import { GuardedWasm } from '../guarded_wasm.js';
import { all } from './all_cases.js';
import { inputs, runCase } from './harness.js';

const shared = all.filter((op) => op.entry.wasmParts);

/** The first index at which two results differ in a bit (-0 is not 0, NaN is NaN), or -1. */
function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const [x, y] = [a, b].map((values) => new Uint32Array((values as Float32Array).buffer)) as [Uint32Array, Uint32Array];
  expect(x.length).toBe(y.length);
  // An assertion on whole arrays takes longer than the kernels.
  return x.findIndex((v, i) => v !== y[i]);
}

describe.each([2, 3])('%i threads', (threads) => {
  let one: WasmBackend;
  let several: WasmBackend;
  beforeAll(async () => {
    one = await wasmBackend();
    several = await GuardedWasm.create({ threads, partFlops: 1 });
  });
  afterAll(() => {
    one.dispose();
    several.dispose();
  });

  it('the backend runs on the requested number of threads', () => {
    expect(several.description).toBe(`wasm (SIMD, ${threads} threads)`);
  });

  it.each(shared.map((op) => [op.entry.key, op] as const))('%s', async (_, op) => {
    for (const [i, c] of op.cases.entries()) {
      const values = inputs(op, c, 2000 + i);
      const want = await runCase(one, op, c, values);
      const got = await runCase(several, op, c, values);
      for (const name of Object.keys(want)) expect(difference(got[name]!, want[name]!), `${JSON.stringify(c)}: ${name}`).toBe(-1);
    }
  });
});

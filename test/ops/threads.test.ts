/** Kernels that threads share: cut in parts, every output keeps each bit. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WasmBackend } from '../../src/backend/wasm.js';
import { wasmBackend } from '../backends.js';
import { GuardedWasm } from '../guarded_wasm.js';
import { all } from './all_cases.js';
import { inputs, runCase } from './harness.js';

const shared = all.filter((op) => op.entry.wasmParts);

/** The bits, so that -0 is not 0 and NaN is NaN. */
const bits = (values: ArrayLike<number>) => new Uint32Array((values as Float32Array).buffer);

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

  it('has its threads', () => {
    expect(several.description).toBe(`wasm (SIMD, ${threads} threads)`);
  });

  it.each(shared.map((op) => [op.entry.key, op] as const))('%s', async (_, op) => {
    for (const [i, c] of op.cases.entries()) {
      const values = inputs(op, c, 2000 + i);
      const want = await runCase(one, op, c, values);
      const got = await runCase(several, op, c, values);
      for (const name of Object.keys(want)) expect(bits(got[name]!), `${JSON.stringify(c)}: ${name}`).toEqual(bits(want[name]!));
    }
  });
});

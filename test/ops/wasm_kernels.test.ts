/** Errors for WASM kernels that do not fit their specs or ask for too little scratch memory. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import shader from '../../shaders/silu.wgsl';
import type { WasmBackend } from '../../src/backend/wasm.js';
import { type AnyEntry, entry } from '../../src/ops/spec.js';
import { wasmBackend } from '../backends.js';
import { GuardedWasm } from '../guarded_wasm.js';
import { all } from './all_cases.js';
import { inputs, runCase } from './harness.js';

describe('scratch memory', () => {
  // contract.test.ts shows that the full sizes are enough: it runs on the same backend.
  it('a kernel that gets a quarter of its scratch memory fails with an error that names the entry', async () => {
    const be = await GuardedWasm.create();
    be.share = 0.25;
    const noticed = new Set<string>();
    for (const op of all) {
      for (const [i, c] of op.cases.entries()) {
        if (noticed.has(op.entry.key)) break;
        await runCase(be, op, c, inputs(op, c, 1000 + i)).catch(({ message }: Error) => {
          expect(message).toMatch(
            /^\S+ wrote past its \d+ bytes of scratch memory, at byte \d+; \w+_scratch in assembly\/\w+\.ts must/,
          );
          noticed.add(message.split(' ')[0]!);
        });
      }
    }
    be.dispose();
    expect(be.asked.size).toBeGreaterThan(10);
    expect([...noticed].sort()).toEqual([...be.asked].sort());
  });
});

describe('a kernel that does not match its spec is reported with the files to correct', () => {
  let be: WasmBackend;
  beforeAll(async () => {
    be = await wasmBackend();
  });
  afterAll(() => be.dispose());

  const spec = {
    tensors: { x: { shape: 'm n', io: 'in' }, y: { shape: 'm n', io: 'out' } },
    webgpu: () => ({ workgroups: [1] as [number] }),
    tolerance: { f32: 0, reason: 'not computed' },
  } as const;
  const run = (e: AnyEntry) => be.run(e, { x: be.tensor([2, 3]), y: be.tensor([2, 3]) } as never);

  it('a missing kernel', () => {
    const forgotten = entry('forgotten', 'forward', shader, spec);
    expect(() => run(forgotten)).toThrow(
      /^forgotten\.forward has no WASM kernel; assembly\/forgotten\.ts must export forgotten_forward, and `npm run build`/,
    );
  });

  it('a kernel with other arguments', () => {
    const other = entry('silu', 'forward', shader, { ...spec, attrs: { slope: 'f32' } });
    expect(() => run(other)).toThrow(
      /^silu_forward of assembly\/silu\.ts takes 4 arguments, but by src\/ops\/silu\.ts they are 5 \(x, y, m, n, slope\)/,
    );
  });
});

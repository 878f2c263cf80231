/** Every entry on every backend against the float64 reference, for cases from test/ops/<op>.cases.ts or made from the spec. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/backend/backend.js';
import { ReferenceBackend } from '../../src/backend/reference.js';
import { silu } from '../../src/ops/silu.js';
import { entry } from '../../src/ops/spec.js';
import { leftOut, makers, NO_ADAPTER, opsBackend, poisonedKernels } from '../backends.js';
import { all, defaultCases, entries } from './all_cases.js';
import { type Case, checkCase, type OpCases, outOfBounds } from './harness.js';
import { DEFAULT_CAPS, planOf } from './launches.js';

/** Expects the values of all cases to be those of the reference. The seeds of the inputs begin at `seed`. */
async function expectRight(backend: Backend, op: OpCases, seed: number): Promise<void> {
  const wrong: string[] = [];
  for (const [i, c] of op.cases.entries()) wrong.push(...(await checkCase(backend, op, c, seed + i)));
  expect(wrong).toEqual([]);
}

it('every entry of every op has at least 20 cases', () => {
  for (const e of entries) {
    const count = all.filter((c) => c.entry.key === e.key).reduce((n, c) => n + c.cases.length, 0);
    expect(count, `${e.key}: cases`).toBeGreaterThanOrEqual(20);
  }
});

it('an op without a file of cases is checked at default sizes', async () => {
  const { forward } = silu;
  const cases = defaultCases(forward);
  expect(new Set(cases.map((c) => JSON.stringify(c))).size).toBeGreaterThanOrEqual(20);
  const backend = await makers.wasm!();
  for (const c of cases) expect(await checkCase(backend!, { entry: forward, cases }, c, 1)).toEqual([]);
  backend!.dispose();
});

it.each(all.map((op) => [op.entry.key, op] as const))('%s: the reference stays inside the shapes of the spec', (_, op) => {
  expect(outOfBounds(op)).toEqual([]);
});

describe('a mistake in a spec is reported with the op and the tensor', () => {
  /** `silu` whose y has another shape. */
  const wrong = (shape: string): OpCases => {
    const tensors = { x: { shape: 'm n', io: 'in' }, y: { shape, io: 'out' } } as const;
    const rest = { webgpu: () => ({ workgroups: [1] as [number] }), tolerance: { f32: 0, reason: 'not compared' } };
    return { entry: entry('silu', 'forward', silu.forward.shader, { tensors, ...rest }), cases: [{ m: 2, n: 3 }] };
  };

  it('a size missing in a case', () => {
    expect(() => outOfBounds(wrong('m nn'))).toThrow(
      /^silu\.forward: tensor y has shape 'm nn', but the case .* gives no nn; correct the shape in src\/ops\/silu\.ts/,
    );
  });

  it('a shape that is too small', () => {
    expect(outOfBounds(wrong('m'))).toEqual(["silu.forward: the reference writes past the end of y, whose shape 'm' is [2]"]);
  });

  it('a shape that is too large', async () => {
    const reference = new ReferenceBackend();
    expect(await checkCase(reference, wrong('m n n'), { m: 2, n: 3 }, 1)).toEqual([
      expect.stringMatching(
        /^silu\.forward .*: the reference leaves y\[6\] unwritten; is the shape 'm n n' of y in the spec right/,
      ),
    ]);
  });
});

describe('kernels for software GPUs', () => {
  const caps = { ...DEFAULT_CAPS, software: true };
  const own = (op: OpCases, c: Case) => {
    const entryOf = (each: typeof caps) => {
      const plan = planOf(op.entry, c, each);
      return plan && 'passes' in plan ? undefined : plan?.entry;
    };
    return entryOf(caps) !== undefined && entryOf(caps) !== entryOf(DEFAULT_CAPS);
  };
  const ops = all.map((op) => ({ ...op, cases: op.cases.filter((c) => own(op, c)) })).filter((op) => op.cases.length);
  let backend: Backend | undefined;
  beforeAll(async () => {
    backend = await opsBackend({ software: true });
  });
  afterAll(() => backend?.dispose());

  it.for(ops.map((op) => [op.entry.key, op] as const))('%s', async ([key, op], { skip }) => {
    const why = leftOut(key.split('.')[0]!);
    if (why) return skip(why);
    if (!backend) return skip(NO_ADAPTER);
    await expectRight(backend, op, 2000);
  });

  it('are there for what a step computes', () => {
    expect(ops.map((op) => op.entry.key).sort()).toEqual([
      'add_rms_norm.forward',
      'linear.step',
      'rms_norm_gated.forward',
      'ssd.forward',
    ]);
  });
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
        await expectRight(backend, op, 1000);
      });
    }
    it('kernels do not depend on the first contents of workgroup memory', ({ skip }) => {
      const poison = backend && poisonedKernels.get(backend);
      if (!poison) return skip(name === 'webgpu' ? NO_ADAPTER : 'only WebGPU has workgroup memory');
      const missing = all.map((op) => leftOut(op.entry.op)).find(Boolean);
      if (missing) return skip(missing);
      expect(poison.kernels).toBeGreaterThan(100);
    });
  });
}

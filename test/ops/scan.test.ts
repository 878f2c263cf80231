/** Recurrent ops: results do not depend on how a sequence is split into calls, nor on the batch that it is in. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/backend/backend.js';
import { ReferenceBackend } from '../../src/backend/reference.js';
import { type NumArray, sizeOf, type Tensor } from '../../src/core/tensor.js';
import { type SelectiveScanGrads, type SsdGrads, selectiveScanBackward, ssdBackward } from '../../src/model/scan_backward.js';
import { ssd as ssdOp } from '../../src/ops/ssd.js';
import { references, ssdBlocked } from '../../src/ops/ssd.reference.js';
import { makers, NO_ADAPTER } from '../backends.js';
import { all } from './all_cases.js';
import { type Case, inputs, normal, type OpCases, rng, runCase } from './harness.js';
import selectiveScan from './selective_scan.cases.js';
import ssd from './ssd.cases.js';

type Values = ReturnType<typeof inputs>;
type Outputs = Awaited<ReturnType<typeof runCase>>;

const L = 9;

/**
 * Every entry that continues a sequence from a state and returns the state after it, with cases that have a state: at most one for
 * each combination of vectors or not and of groups, of few sequences.
 */
const scans = all
  .filter(({ entry }) => !entry.parts && entry.tensors.state?.io === 'inout' && entry.dimNames.includes('l'))
  .map((op) => ({ op, cases: smallCases(op) }))
  .filter(({ cases }) => cases.length > 0);

function smallCases({ entry, cases }: OpCases): Case[] {
  const kinds = new Map<string, Case>();
  for (const c of cases) {
    if (c.omit?.includes('state') || Number(c.m) < 2 || Number(c.m) > 4) continue;
    const kind = (entry.dimNames as string[]).map((name) => Number(name !== 'l' && name !== 'm' && Number(c[name]) % 4 === 0));
    kinds.set(`${kind} ${c.ngroups}`, { ...c, l: L });
  }
  return [...kinds.values()].slice(0, 4);
}

it('every recurrent op has cases with a state', () => {
  expect(scans.map(({ op }) => op.entry.op)).toEqual(expect.arrayContaining(['ssd', 'selective_scan']));
  for (const { op, cases } of scans) expect(cases.length, op.entry.key).toBeGreaterThanOrEqual(2);
});

/** The tensors of a case with positions (or sequences) `from` to `to` only, where a tensor has that dimension. */
function slice(values: Values, dim: 'm' | 'l', from: number, to: number): Values {
  const part: Values = {};
  for (const [name, v] of Object.entries(values)) {
    const axis = v.spec.shape.split(' ').indexOf(dim);
    if (axis < 0) {
      part[name] = v;
      continue;
    }
    const inner = sizeOf(v.shape.slice(axis + 1));
    const shape = v.shape.with(axis, to - from);
    const data = v.data.filter((_, i) => {
      const at = Math.floor(i / inner) % v.shape[axis]!;
      return at >= from && at < to;
    });
    part[name] = { ...v, data, shape };
  }
  return part;
}

/** Runs the positions in pieces that end at `ends`; each piece continues from the state after the one before. */
async function inPieces(backend: Backend, op: OpCases, c: Case, values: Values, ends: number[]): Promise<Outputs> {
  const y = new Float64Array(values.y!.data.length);
  const width = values.y!.shape[2]!;
  let state = values.state!.data;
  let from = 0;
  for (const to of ends) {
    const part = slice(values, 'l', from, to);
    part.state = { ...part.state!, data: state };
    const out = await runCase(backend, op, c, part);
    for (let i = 0; i < out.y!.length; i++) {
      const sequence = Math.floor(i / ((to - from) * width));
      y[sequence * L * width + from * width + (i % ((to - from) * width))] = out.y![i]!;
    }
    state = Float64Array.from(out.state!);
    from = to;
  }
  return { y, state };
}

function expectClose(got: Outputs, want: Outputs, tolerance: number): void {
  for (const name of Object.keys(want)) {
    const largest = Math.max(...Array.from(want[name]!, Math.abs));
    const worst = Math.max(...Array.from(want[name]!, (w, i) => Math.abs(w - got[name]![i]!)));
    expect(worst / largest, name).toBeLessThanOrEqual(tolerance);
  }
}

for (const [name, make] of Object.entries({ reference: async () => new ReferenceBackend(), ...makers })) {
  // On the CPU there is one order of additions, so that pieces equal the whole to the bit.
  const tolerance = name === 'webgpu' ? 1e-6 : 0;
  describe(name, () => {
    let backend: Backend | undefined;
    beforeAll(async () => {
      backend = await make();
    });
    afterAll(() => backend?.dispose());
    for (const scan of scans) {
      it(`${scan.op.entry.key}: a whole sequence equals one position at a time`, async ({ skip }) => {
        if (!backend) return skip(NO_ADAPTER);
        for (const c of scan.cases) {
          const values = inputs(scan.op, c, 7);
          const steps = await inPieces(
            backend,
            scan.op,
            c,
            values,
            Array.from({ length: L }, (_, t) => t + 1),
          );
          expectClose(steps, await runCase(backend, scan.op, c, values), tolerance);
        }
      });
      it(`${scan.op.entry.key}: a whole sequence equals two parts, split anywhere`, async ({ skip }) => {
        if (!backend) return skip(NO_ADAPTER);
        for (const c of scan.cases) {
          const values = inputs(scan.op, c, 8);
          const whole = await runCase(backend, scan.op, c, values);
          for (let at = 1; at < L; at++) expectClose(await inPieces(backend, scan.op, c, values, [at, L]), whole, tolerance);
        }
      });
      it(`${scan.op.entry.key}: a sequence does not depend on the batch it is in`, async ({ skip }) => {
        if (!backend) return skip(NO_ADAPTER);
        for (const c of scan.cases) {
          const values = inputs(scan.op, c, 9);
          const all = await runCase(backend, scan.op, c, values);
          for (let i = 0; i < Number(c.m); i++) {
            const alone = await runCase(backend, scan.op, c, slice(values, 'm', i, i + 1));
            for (const name of ['y', 'state']) {
              const size = alone[name]!.length;
              expect(Array.from(alone[name]!), name).toEqual(Array.from(all[name]!).slice(i * size, (i + 1) * size));
            }
          }
        }
      });
    }
  });
}

it('the blocked computation of ssd equals the recurrence', () => {
  const op = all.find(({ entry }) => entry.key === ssdOp.forward.key)!;
  const cases = op.cases.filter((c) => c.omit?.includes('state') && Number(c.l) <= 64);
  expect(cases.length).toBeGreaterThanOrEqual(4);
  for (const c of cases) {
    const outputs = [references.forward, ssdBlocked].map((compute) => {
      const tensors = Object.fromEntries(Object.entries(inputs(op, c, 3)).map(([name, { data }]) => [name, data]));
      compute(tensors as Parameters<typeof compute>[0], c as unknown as Parameters<typeof compute>[1]);
      return { y: tensors.y! };
    });
    expectClose(outputs[1]!, outputs[0]!, 1e-12);
  }
});

/** Every gradient of a whole backward, with the inputs of forward's case. */
async function gradients(backend: Backend, op: OpCases, c: Case): Promise<Record<string, NumArray>> {
  const values = inputs(op, c, 12);
  const { y, state: _, ...read } = values;
  const random = rng(13);
  const t: Record<string, Tensor> = {
    dy: backend.from(
      Float64Array.from(y!.data, () => Math.fround(normal(random))),
      y!.shape,
    ),
  };
  for (const [name, v] of Object.entries(read)) {
    t[name] = backend.from(v.data, v.shape);
    t[`d${name}`] = backend.from(new Float32Array(v.data.length), v.shape);
  }
  if (op.entry.op === 'ssd') {
    const [ngroups, headdim, d_state] = ['ngroups', 'headdim', 'd_state'].map((a) => Number(c[a])) as [number, number, number];
    ssdBackward(backend, t as SsdGrads, { ngroups, headdim, d_state });
  } else selectiveScanBackward(backend, t as SelectiveScanGrads);
  const grads: Record<string, NumArray> = {};
  for (const name of Object.keys(read)) grads[`d${name}`] = await backend.read(t[`d${name}`]!);
  backend.free(...Object.values(t));
  return grads;
}

const long: [OpCases, Case][] = [
  [selectiveScan[0]!, { m: 2, l: 130, e: 20, n: 16, s: 35, f: 40 }],
  [ssd[0]!, { m: 1, l: 130, h: 1, e: 32, c: 288, s: 50, p: 32, n: 128, headdim: 32, d_state: 128, ngroups: 1 }],
  [ssd[0]!, { m: 2, l: 130, h: 2, e: 32, c: 64, s: 50, p: 16, n: 16, headdim: 16, d_state: 16, ngroups: 1 }],
];
for (const [name, make] of Object.entries(makers)) {
  it.for(long)(`${name}: a whole backward over a long sequence equals the reference's: %#`, async ([op, c], { skip }) => {
    const backend = await make();
    if (!backend) return skip(NO_ADAPTER);
    const want = await gradients(new ReferenceBackend(), op, c);
    const got = await gradients(backend, op, c);
    // Rounding adds up along the sequence and from entry to entry.
    expectClose(got, want, 5e-6);
    backend.dispose();
  });
}

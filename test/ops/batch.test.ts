/**
 * A sequence's result does not depend on the batch it is in, to the bit: for every entry whose spec says so by `batch`. Kernels for
 * few rows and for many, fused kernels and the parts of a composite must add up in the same order.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/backend/backend.js';
import { linear } from '../../src/ops/linear.js';
import { linearConv } from '../../src/ops/linear_conv.js';
import type { GpuCaps } from '../../src/ops/spec.js';
import { leftOut, NO_ADAPTER, opsBackend, wasmBackend } from '../backends.js';
import { all, entries } from './all_cases.js';
import { type Case, inputs, type OpCases, runCase } from './harness.js';
import { DEFAULT_CAPS, DEVICES, launches, passesOf, planOf } from './launches.js';

interface Batched {
  op: OpCases;
  /** A case whose batch dims are overwritten. */
  rest: Case;
  /** Rows of the first batch dim for each of the second: 2 if an image has a conditional and an unconditional row. */
  rows: 1 | 2;
}

/** A device that can bind all tensors of the fused kernels. */
const CAPS: GpuCaps = { ...DEFAULT_CAPS, maxStorageBuffers: 16 };

/** Floating-point operations of the whole batch, which bound the time of a test. */
const MOST = 3e6;
/** The same where a kernel has a workgroup with many barriers for each head, which a software GPU runs thread by thread. */
const MOST_OF: Record<string, number> = { 'causal_attention.forward': 1e5 };

/** The batch dims of an entry for `count` sequences. */
function batchDims({ op, rows }: Pick<Batched, 'op' | 'rows'>, count: number): Case {
  const [first, second] = op.entry.batch!.split(' ');
  return { [first!]: rows * count, ...(second && { [second]: count }) };
}

/**
 * For every entry whose spec has `batch`: of its cases with f32 weights, and of those with f16 weights, the one with most work for
 * `whole` sequences, within MOST. Of a composite, cases that a kernel of its own computes.
 */
function batched(whole: number): Batched[] {
  const found: Batched[] = [];
  for (const { batch, key } of entries) {
    if (!batch) continue;
    for (const rows of batch.includes(' ') ? ([1, 2] as const) : ([1] as const))
      for (const halves of [false, true]) {
        let most = 0;
        let best: Batched | undefined;
        for (const op of all)
          for (const c of op.entry.key === key ? op.cases : []) {
            const of = (count: number): Case => ({ ...c, ...batchDims({ op, rows }, count) });
            const work = op.entry.flops?.(of(whole) as never) ?? 0;
            const fused = !op.entry.parts || launches(op.entry, of(1), CAPS);
            if (Boolean(c.half?.length) !== halves || !fused || work > (MOST_OF[key] ?? MOST) || work <= most) continue;
            most = work;
            best = { op, rest: c, rows };
          }
        if (best) found.push(best);
      }
  }
  return found;
}

/** Compares results for `parts` of a batch, [first, count] each, with those for the `whole` batch; returns differences as text. */
async function differences(be: Backend, of: Batched, whole: number, parts: [number, number][]) {
  const { op, rest } = of;
  const values = inputs(op, { ...rest, ...batchDims(of, whole) }, 1);
  /** Images `first` to `first + count` of a tensor: where it has two rows for each, of either half. */
  const cut = (name: string, data: ArrayLike<number>, first: number, count: number): number[] => {
    const rows = batchDims(of, whole)[values[name]!.spec.shape.split(' ')[0]!] as number | undefined;
    const one = rows ? data.length / rows : data.length;
    const starts = !rows ? [0] : rows === whole ? [first] : [first, whole + first];
    return starts.flatMap((at) => Array.from(data).slice(at * one, (at + (rows ? count : 1)) * one));
  };
  const all = await runCase(be, op, rest, values);
  const wrong: string[] = [];
  for (const [first, count] of parts) {
    const part = inputs(op, { ...rest, ...batchDims(of, count) }, 1);
    for (const name of Object.keys(part)) part[name]!.data.set(cut(name, values[name]!.data, first, count));
    const got = await runCase(be, op, rest, part);
    for (const [name, is] of Object.entries(got)) {
      const want = cut(name, all[name]!, first, count);
      const differ = want.filter((v, i) => !Object.is(v, is[i])).length;
      if (differ) wrong.push(`${count} from ${first}: ${differ} of ${want.length} of ${name}`);
    }
  }
  return wrong;
}

const title = ({ op, rest, rows }: Batched) =>
  `${op.entry.key}${rest.half?.length ? ', f16 weights' : ''}${rows === 2 ? ', two rows an image' : ''}`;

const few = batched(7);
const many = batched(200);

it('entries with `batch` in their specs have cases for it', () => {
  const claimed = entries.filter((entry) => entry.batch).map((entry) => entry.key);
  expect(claimed.length).toBeGreaterThanOrEqual(11);
  for (const list of [few, many]) expect([...new Set(list.map(({ op }) => op.entry.key))].sort()).toEqual([...claimed].sort());
  const halves = many.filter(({ rest }) => rest.half?.length).map(({ op }) => op.entry.key);
  expect(halves).toEqual(expect.arrayContaining(['linear.step', 'norm_linear_conv.forward']));
});

describe('wasm', () => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await wasmBackend();
  });
  afterAll(() => backend.dispose());

  for (const of of few)
    it(title(of), async () => {
      const parts = [1, 2, 4].map((count, i): [number, number] => [i, count]);
      expect(await differences(backend, of, 7, parts)).toEqual([]);
    });
});

describe('webgpu', () => {
  let backend: Backend | undefined;
  beforeAll(async () => {
    backend = await opsBackend();
  });
  afterAll(() => backend?.dispose());

  for (const of of many)
    it(title(of), async ({ skip }) => {
      const why = leftOut(of.op.entry.op);
      if (why) return skip(why);
      if (!backend) return skip(NO_ADAPTER);
      const parts = [1, 2, 3, 4, 5, 8, 32, 128, 129].map((count, i): [number, number] => [3 * i, count]);
      expect(await differences(backend, of, 200, parts)).toEqual([]);
    });

  // No software adapter has subgroups of 32, so that only the plans can be compared.
  it('with subgroups the same kernel runs for any number of rows', () => {
    const caps = DEVICES['default limits and subgroups']!;
    const mamba = { l: 1, d: 264, n: 70, c: 40, k: 4, q: 3, offset: 20, eps: 1e-5, omit: ['u'] };
    for (const half of [[], ['w']])
      for (const m of [1, 8, 9, 128, 129, 8192]) {
        const made = [
          planOf(linear.step, { m, k: 768, n: 3352, half }, caps),
          planOf(linearConv.forward, { ...mamba, m, half }, caps),
        ];
        for (const plan of made) expect(passesOf(plan).map(({ entry }) => entry)).toEqual([undefined]);
      }
  });
});

/**
 * A sequence's result does not depend on the batch it is in: bit by bit, on WASM, where one kernel serves every size, and for
 * what draws tokens on WebGPU, where kernels for few rows and for many, their fused forms and the parts of these add up in the
 * same order.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/backend/backend.js';
import { attention } from '../../src/ops/attention.js';
import { conv2d } from '../../src/ops/conv2d.js';
import { gatedNormLinear } from '../../src/ops/gated_norm_linear.js';
import { groupNorm } from '../../src/ops/group_norm.js';
import { linear } from '../../src/ops/linear.js';
import { linearConv } from '../../src/ops/linear_conv.js';
import { normHead } from '../../src/ops/norm_head.js';
import { normLinearConv } from '../../src/ops/norm_linear_conv.js';
import { selectiveScan } from '../../src/ops/selective_scan.js';
import type { AnyEntry, GpuCaps } from '../../src/ops/spec.js';
import { ssd } from '../../src/ops/ssd.js';
import { NO_ADAPTER, opsBackend, wasmBackend } from '../backends.js';
import { type Case, inputs, runCase } from './harness.js';
import { DEFAULT_CAPS, passesOf, planOf } from './launches.js';

type Batched = [entry: AnyEntry, batch: string, rest: Case];

const image = { hi: 7, wi: 7, kh: 3, kw: 3, ho: 7, wo: 7, stride: 1, pad: 1, up: 1 };
const mamba = { l: 1, d: 264, n: 70, c: 40, k: 4, q: 3, offset: 20, eps: 1e-5, omit: ['u'] };
const gated = { l: 1, e: 264, s: 280, n: 40, groups: 1, z_offset: 8, eps: 1e-5, omit: ['g'] };
const head = { l: 1, d: 264, n: 40, eps: 1e-5, scale: 1.5 };
const halved = (c: Case): Case => ({ ...c, half: ['w'] });

const onWasm: Batched[] = [
  [linear.forward, 'm', { k: 515, n: 45 }],
  [conv2d.forward, 'b', { ...image, ci: 12, co: 35 }],
  [groupNorm.forward, 'b', { s: 50, c: 24, groups: 4, eps: 1e-6, swish: 1 }],
  [attention.forward, 'b', { s: 37, c: 20 }],
];
const onWebgpu: Batched[] = [
  [linear.forward, 'm', { k: 260, n: 45 }],
  [linear.step, 'm', { k: 520, n: 45 }],
  [linear.step, 'm', halved({ k: 520, n: 45 })],
  [linearConv.forward, 'm', mamba],
  [normLinearConv.forward, 'm', mamba],
  [normLinearConv.forward, 'm', halved(mamba)],
  [gatedNormLinear.forward, 'm', gated],
  // Without guidance; with it, an image is two rows.
  [normHead.forward, 'm b', head],
  [normHead.forward, '2b b', head],
  [ssd.forward, 'm', { l: 1, c: 64, s: 80, h: 2, e: 32, p: 16, n: 16, ngroups: 1, headdim: 16, d_state: 16 }],
  [selectiveScan.forward, 'm', { l: 1, e: 35, n: 16, s: 40, f: 70 }],
];

/** The dims that a batch of `count` has; '2b b' is m = 2b. */
const batchDims = (batch: string, count: number): Case =>
  batch === '2b b' ? { m: 2 * count, b: count } : Object.fromEntries(batch.split(' ').map((dim) => [dim, count]));

/** Where in `whole` the results of `parts` differ, [first, count] each. */
async function differences(be: Backend, [entry, batch, rest]: Batched, whole: number, parts: [number, number][]) {
  const op = { entry, cases: [] };
  const values = inputs(op, { ...rest, ...batchDims(batch, whole) }, 1);
  /** Images `first` to `first + count` of a tensor: where it has two rows for each, of either half. */
  const cut = (name: string, data: ArrayLike<number>, first: number, count: number): number[] => {
    const rows = batchDims(batch, whole)[values[name]!.spec.shape.split(' ')[0]!] as number | undefined;
    const one = rows ? data.length / rows : data.length;
    const starts = !rows ? [0] : rows === whole ? [first] : [first, whole + first];
    return starts.flatMap((at) => Array.from(data).slice(at * one, (at + (rows ? count : 1)) * one));
  };
  const all = await runCase(be, op, rest, values);
  const wrong: string[] = [];
  for (const [first, count] of parts) {
    const part = inputs(op, { ...rest, ...batchDims(batch, count) }, 1);
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

const title = ([entry, batch, rest]: Batched) => `${entry.key}, ${batch}${rest.half ? ', of f16' : ''}`;

describe('wasm', () => {
  for (const batched of onWasm)
    it(title(batched), async () => {
      const backend = await wasmBackend();
      const parts = [1, 2, 4].map((count, i): [number, number] => [i, count]);
      expect(await differences(backend, batched, 7, parts)).toEqual([]);
      backend.dispose();
    });
});

describe('webgpu', () => {
  let backend: Backend | undefined;
  beforeAll(async () => {
    backend = await opsBackend();
  });
  afterAll(() => backend?.dispose());

  for (const batched of onWebgpu)
    it(title(batched), async ({ skip }) => {
      if (!backend) return skip(NO_ADAPTER);
      const parts = [1, 2, 3, 4, 5, 8, 32, 128, 129].map((count, i): [number, number] => [3 * i, count]);
      expect(await differences(backend, batched, 200, parts)).toEqual([]);
    });

  // What no software adapter has.
  it('with subgroups one kernel serves any number of rows', () => {
    const caps: GpuCaps = { ...DEFAULT_CAPS, features: new Set(['subgroups']), subgroupMinSize: 32, subgroupMaxSize: 32 };
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

/** A sequence's result does not depend on the batch it is in: bit by bit on WASM, where one kernel serves every size. */
import { expect, it } from 'vitest';
import { WasmBackend } from '../../src/backend/wasm.js';
import { attention } from '../../src/ops/attention.js';
import { conv2d } from '../../src/ops/conv2d.js';
import { groupNorm } from '../../src/ops/group_norm.js';
import { linear } from '../../src/ops/linear.js';
import type { AnyEntry } from '../../src/ops/spec.js';
import { type Case, inputs, runCase } from './harness.js';

const image = { hi: 7, wi: 7, kh: 3, kw: 3, ho: 7, wo: 7, stride: 1, pad: 1, up: 1 };
const cases: [entry: AnyEntry, batch: string, rest: Case][] = [
  [linear.forward, 'm', { k: 515, n: 45 }],
  [conv2d.forward, 'b', { ...image, ci: 12, co: 35 }],
  [groupNorm.forward, 'b', { s: 50, c: 24, groups: 4, eps: 1e-6, swish: 1 }],
  [attention.forward, 'b', { s: 37, c: 20 }],
];

it.each(cases.map((c) => [c[0].key, ...c] as const))('%s', async (_, entry, batch, rest) => {
  const backend = await WasmBackend.create();
  const op = { entry, cases: [] };
  const whole = 7;
  const values = inputs(op, { ...rest, [batch]: whole }, 1);
  const { y } = await runCase(backend, op, rest, values);
  for (const [start, count] of [
    [0, 1],
    [1, 2],
    [3, 4],
  ] as const) {
    const part = Object.fromEntries(
      Object.entries(values).map(([name, v]) => {
        const one = v.data.length / whole;
        const split = v.spec.shape.split(' ').includes(batch);
        return [
          name,
          split ? { ...v, data: v.data.slice(start * one, (start + count) * one), shape: [count, ...v.shape.slice(1)] } : v,
        ];
      }),
    );
    const one = y!.length / whole;
    const got = await runCase(backend, op, rest, part);
    expect(Array.from(got.y!)).toEqual(Array.from(y!).slice(start * one, (start + count) * one));
  }
  backend.dispose();
});

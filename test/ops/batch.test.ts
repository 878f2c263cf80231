/**
 * A sequence's result does not depend on the batch it is in: bit by bit, on WASM, where one kernel serves every size, and for
 * what draws tokens on WebGPU, where kernels for few rows, their fused forms and the parts of these add up in the same order.
 */
import { expect, it } from 'vitest';
import { attention } from '../../src/ops/attention.js';
import { conv2d } from '../../src/ops/conv2d.js';
import { gatedNormLinear } from '../../src/ops/gated_norm_linear.js';
import { groupNorm } from '../../src/ops/group_norm.js';
import { linear } from '../../src/ops/linear.js';
import { linearConv } from '../../src/ops/linear_conv.js';
import { normLinearConv } from '../../src/ops/norm_linear_conv.js';
import type { AnyEntry } from '../../src/ops/spec.js';
import { ssd } from '../../src/ops/ssd.js';
import { NO_ADAPTER, wasmBackend, webgpuBackend } from '../backends.js';
import { type Case, inputs, runCase } from './harness.js';

const image = { hi: 7, wi: 7, kh: 3, kw: 3, ho: 7, wo: 7, stride: 1, pad: 1, up: 1 };
const mamba = { l: 1, d: 264, n: 200, c: 150, k: 4, q: 3, offset: 20, eps: 1e-5, omit: ['u'] };
const step: [entry: AnyEntry, batch: string, rest: Case][] = [
  [linear.forward, 'm', { k: 520, n: 45 }],
  [linear.forward, 'm', { k: 520, n: 45, half: ['w'] }],
  [linearConv.forward, 'm', mamba],
  [normLinearConv.forward, 'm', mamba],
  [normLinearConv.forward, 'm', { ...mamba, half: ['w'] }],
  [gatedNormLinear.forward, 'm', { l: 1, e: 528, s: 560, n: 60, groups: 1, z_offset: 8, eps: 1e-5, omit: ['g'] }],
  [ssd.forward, 'm', { l: 1, c: 384, s: 300, h: 4, e: 256, p: 64, n: 64, ngroups: 1, headdim: 64, d_state: 64 }],
];
const cases: [entry: AnyEntry, batch: string, rest: Case][] = [
  [linear.forward, 'm', { k: 515, n: 45 }],
  [conv2d.forward, 'b', { ...image, ci: 12, co: 35 }],
  [groupNorm.forward, 'b', { s: 50, c: 24, groups: 4, eps: 1e-6, swish: 1 }],
  [attention.forward, 'b', { s: 37, c: 20 }],
];

for (const [device, entry, batch, rest] of [
  ...cases.map((c) => ['wasm', ...c] as const),
  ...step.map((c) => ['webgpu', ...c] as const),
])
  it(`${device}: ${entry.key}${rest.half ? ' of f16' : ''}`, async ({ skip }) => {
    const backend = device === 'wasm' ? await wasmBackend() : await webgpuBackend();
    if (!backend) return skip(NO_ADAPTER);
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

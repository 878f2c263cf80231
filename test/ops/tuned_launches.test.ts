/** Launches that a plan may choose between (GpuChoice) give the same result to the bit: tuning changes speed alone. */
import { expect, it } from 'vitest';
import type { WebGpuBackend } from '../../src/backend/webgpu.js';
import { gatedNormLinear } from '../../src/ops/gated_norm_linear.js';
import { linear } from '../../src/ops/linear.js';
import { linearConv } from '../../src/ops/linear_conv.js';
import { normHead } from '../../src/ops/norm_head.js';
import { normLinearConv } from '../../src/ops/norm_linear_conv.js';
import type { AnyEntry } from '../../src/ops/spec.js';
import { ssd } from '../../src/ops/ssd.js';
import { NO_ADAPTER, opsBackend } from '../backends.js';
import { type Case, inputs, runCase } from './harness.js';

const conv = { l: 1, d: 264, n: 200, c: 150, k: 4, q: 3, offset: 20, eps: 1e-5, omit: ['u'] };
const cases: [entry: AnyEntry, name: string, candidates: number, c: Case][] = [
  [linear.step, 'rows', 4, { m: 3, k: 264, n: 45 }],
  [linear.forward, 'tile', 2, { m: 150, k: 36, n: 140 }],
  [linear.backward_input, 'tile', 2, { m: 150, k: 140, n: 36 }],
  [linear.backward_weight, 'tile', 2, { m: 50, k: 140, n: 150, p: 2 }],
  [linearConv.forward, 'rows', 4, { ...conv, m: 3 }],
  [normLinearConv.forward, 'rows', 4, { ...conv, m: 2 }],
  [gatedNormLinear.forward, 'rows', 4, { m: 2, l: 1, e: 264, s: 300, n: 60, groups: 1, z_offset: 8, eps: 1e-5, omit: ['g'] }],
  [normHead.forward, 'rows', 4, { m: 4, b: 2, l: 1, d: 264, n: 100, eps: 1e-5, scale: 1.5 }],
  // Its choice needs subgroups of 32.
  [ssd.forward, 'rows', 3, { m: 2, l: 1, c: 384, s: 300, h: 4, e: 256, p: 64, n: 64, ngroups: 1, headdim: 64, d_state: 64 }],
];

for (const [entry, name, count, c] of cases)
  it(`${entry.key}: ${name}`, async ({ skip }) => {
    const be = (await opsBackend()) as WebGpuBackend | undefined;
    if (!be) return skip(NO_ADAPTER);
    const op = { entry, cases: [] };
    const values = inputs(op, c, 1);
    const usual = await runCase(be, op, c, values);
    const question = [...be.tuning.questions.values()].find((q) => q.key.startsWith(`${entry.key} ${name} `));
    if (!question && entry === ssd.forward && !(be.caps.subgroupMinSize >= 32)) {
      be.dispose();
      return skip('this adapter has no subgroups of 32');
    }
    expect(question?.candidates).toHaveLength(count);
    for (const candidate of question!.candidates) {
      be.tuning.choices.set(question!.key, candidate);
      expect(await runCase(be, op, c, values), `${name} ${candidate}`).toEqual(usual);
    }
    be.dispose();
  });

/** Calls with the sizes of AiM-B (Mamba-2) and of the decoder of VQ-f16, whose kernels are worth most of the time. */
import { addRmsNorm } from '../../src/ops/add_rms_norm.js';
import { conv2d } from '../../src/ops/conv2d.js';
import { gatedNormLinear } from '../../src/ops/gated_norm_linear.js';
import { groupNorm } from '../../src/ops/group_norm.js';
import { linear } from '../../src/ops/linear.js';
import { linearConv } from '../../src/ops/linear_conv.js';
import { normHead } from '../../src/ops/norm_head.js';
import { normLinearConv } from '../../src/ops/norm_linear_conv.js';
import { rmsNormGated } from '../../src/ops/rms_norm_gated.js';
import { ssd } from '../../src/ops/ssd.js';
import type { Case, OpCases } from './harness.js';

/** Rows of a step: one image with guidance, and sixteen. */
const ROWS = [2, 32];
const CODES = 16384;
const [D_STATE, HEADDIM] = [128, 64];
const eps = 1e-5;

/** The sizes of a layer of this width. */
const layer = (d: number) => {
  const [e, h] = [2 * d, (2 * d) / HEADDIM];
  const c = e + 2 * D_STATE;
  return { d, e, h, c, s: e + c + h, n: e + c + h, k: 4, q: 3, offset: e };
};
const halves = (c: Case): Case[] => [{ ...c, half: ['w'] }, c];
const perRow = (make: (m: number, of: ReturnType<typeof layer>) => Case) => ROWS.flatMap((m) => halves(make(m, layer(768))));

/** Height and width, channels, output channels and nearest upsampling of the convolutions. */
const CONVOLUTIONS = [
  [16, 256, 512, 1],
  [16, 512, 512, 1],
  [16, 512, 512, 2],
  [32, 512, 256, 1],
  [64, 256, 256, 1],
  [128, 256, 128, 1],
  [128, 128, 128, 2],
  [256, 128, 128, 1],
  [256, 128, 3, 1],
] as const;

export const MODEL_CASES: OpCases[] = [
  { entry: normLinearConv.forward, cases: perRow((m, { d, n, c, k, q, offset }) => ({ m, l: 1, d, n, c, k, q, offset, eps })) },
  { entry: linearConv.forward, cases: perRow((m, { d, n, c, k, q, offset }) => ({ m, l: 1, d, n, c, k, q, offset })) },
  {
    entry: gatedNormLinear.forward,
    cases: perRow((m, { d, e, s }) => ({ m, l: 1, e, s, n: d, groups: 1, z_offset: 0, eps, omit: ['g'] })),
  },
  { entry: normHead.forward, cases: perRow((m, { d }) => ({ m, l: 1, b: m / 2, d, n: CODES, eps, scale: 4 })) },
  { entry: linear.step, cases: perRow((m, { d, e }) => ({ m, n: d, k: e })) },
  { entry: linear.step, cases: perRow((m, { d }) => ({ m, n: CODES, k: d })) },
  { entry: addRmsNorm.forward, cases: perRow((m, { d }) => ({ m, l: 1, d, g: 3, c: 3, eps })) },
  { entry: rmsNormGated.forward, cases: perRow((m, { e, s }) => ({ m, l: 1, e, s, groups: 1, z_offset: 0, eps })) },
  {
    entry: ssd.forward,
    cases: perRow((m, { c, s, h, e }) => ({
      ...{ m, l: 1, c, s, h, e, p: HEADDIM, n: D_STATE },
      ...{ ngroups: 1, headdim: HEADDIM, d_state: D_STATE },
    })),
  },
  {
    entry: conv2d.forward,
    cases: CONVOLUTIONS.flatMap(([side, ci, co, up]) =>
      halves({
        b: 16,
        hi: side,
        wi: side,
        ci,
        co,
        kh: 3,
        kw: 3,
        ho: side * up,
        wo: side * up,
        stride: 1,
        pad_y: 1,
        pad_x: 1,
        up,
      }),
    ),
  },
  { entry: groupNorm.forward, cases: CONVOLUTIONS.map(([side, c]) => ({ b: 16, s: side * side, c, groups: 32, eps, swish: 1 })) },
];

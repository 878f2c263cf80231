/**
 * y = (x - mean)/√(var + eps)·weight + bias over the s·c/groups values of each group of channels; with swish, SiLU of that.
 * Channels last; s counts pixels.
 */
import shader from '../../shaders/group_norm.wgsl';
import { sigmoid } from './silu.js';
import { entry, grid, type RefArray } from './spec.js';

interface Sizes {
  b: number;
  s: number;
  c: number;
  groups: number;
  eps: number;
  swish: number;
}

function check({ c, groups }: Sizes): string | undefined {
  return groups >= 1 && c % groups === 0
    ? undefined
    : `${c} channels cannot be divided into ${groups} groups; pass a number of groups that divides the channels.`;
}

/** Calls `visit` with the element indices, mean and 1/√(var + eps) of every group. */
function eachGroup(x: RefArray, { b, s, c, groups, eps }: Sizes, visit: (at: number[], mean: number, rstd: number) => void) {
  const width = c / groups;
  for (let n = 0; n < b; n++)
    for (let g = 0; g < groups; g++) {
      const at = Array.from({ length: s * width }, (_, i) => (n * s + Math.floor(i / width)) * c + g * width + (i % width));
      const mean = at.reduce((sum, i) => sum + x[i]!, 0) / at.length;
      const variance = at.reduce((sum, i) => sum + (x[i]! - mean) ** 2, 0) / at.length;
      visit(at, mean, 1 / Math.sqrt(variance + eps));
    }
}

const vectors = ({ c, groups }: Sizes) => (c / groups) % 4 === 0;

export const groupNorm = {
  forward: entry('group_norm', 'forward', shader, {
    tensors: {
      x: { shape: 'b s c', io: 'in' },
      weight: { shape: 'c', io: 'in' },
      bias: { shape: 'c', io: 'in' },
      y: { shape: 'b s c', io: 'out' },
    },
    attrs: { groups: 'u32', eps: 'f32', swish: 'u32' },
    check,
    reference({ x, weight, bias, y }, d) {
      eachGroup(x, d, (at, mean, rstd) => {
        for (const i of at) {
          const v = (x[i]! - mean) * rstd * weight[i % d.c]! + bias[i % d.c]!;
          y[i] = d.swish ? v * sigmoid(v) : v;
        }
      });
    },
    webgpu: (d) => ({
      entry: vectors(d) ? 'forward_vec4' : 'forward',
      constants: { LANES: vectors(d) ? 4 : 1 },
      vec4: vectors(d) ? ['x', 'weight', 'bias', 'y'] : [],
      workgroups: grid(d.b * d.groups),
    }),
    flops: ({ b, s, c }) => 8 * b * s * c,
    wasmScratch: ({ c }) => 16 * c,
    wasmParts: true,
    tolerance: { f32: 2e-6, reason: 'sums over a group in f32, one rsqrt and one exp' },
  }),

  /** dweight and dbias are summed over the pixels of each sequence; b of them go through `sum_rows`. */
  backward: entry('group_norm', 'backward', shader, {
    tensors: {
      x: { shape: 'b s c', io: 'in' },
      weight: { shape: 'c', io: 'in' },
      bias: { shape: 'c', io: 'in' },
      dy: { shape: 'b s c', io: 'in' },
      dx: { shape: 'b s c', io: 'out' },
      dweight: { shape: 'b c', io: 'inout' },
      dbias: { shape: 'b c', io: 'inout' },
    },
    attrs: { groups: 'u32', eps: 'f32', swish: 'u32' },
    check,
    reference({ x, weight, bias, dy, dx, dweight, dbias }, d) {
      eachGroup(x, d, (at, mean, rstd) => {
        const unit = at.map((i) => (x[i]! - mean) * rstd);
        const dunit = at.map((i, n) => {
          const p = Math.floor(i / (d.s * d.c)) * d.c + (i % d.c);
          const v = unit[n]! * weight[i % d.c]! + bias[i % d.c]!;
          const s = sigmoid(v);
          // forward: y = v·σ(v)  ⇒  dv = dy·σ(v)·(1 + v·(1 - σ(v)))
          const dv = d.swish ? dy[i]! * s * (1 + v * (1 - s)) : dy[i]!;
          // forward: v = unit·weight + bias  ⇒  dweight += dv·unit, dbias += dv, dunit = dv·weight
          dweight[p]! += dv * unit[n]!;
          dbias[p]! += dv;
          return dv * weight[i % d.c]!;
        });
        // forward: unit = (x - mean)·rstd  ⇒  dx = rstd·(dunit - mean(dunit) - unit·mean(dunit·unit))
        const first = dunit.reduce((sum, v) => sum + v, 0) / at.length;
        const second = dunit.reduce((sum, v, n) => sum + v * unit[n]!, 0) / at.length;
        at.forEach((i, n) => {
          dx[i] = rstd * (dunit[n]! - first - unit[n]! * second);
        });
      });
    },
    webgpu: ({ b, groups }) => ({ constants: { LANES: 1 }, workgroups: grid(b * groups) }),
    flops: ({ b, s, c }) => 24 * b * s * c,
    wasmScratch: ({ c }) => 40 * c,
    wasmParts: true,
    tolerance: { f32: 5e-6, reason: 'sums over a group in f32, whose means are taken from values of their size' },
  }),
};

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
    wasmScratch: ({ c }) => 16 * c,
    tolerance: { f32: 2e-6, reason: 'sums over a group in f32, one rsqrt and one exp' },
  }),
};

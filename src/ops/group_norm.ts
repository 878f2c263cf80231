/**
 * y = (x - mean)/√(var + eps)·weight + bias over the s·c/groups values of each group of channels. If swish is set, SiLU is
 * applied to the result. Channels are last, and s counts pixels.
 */
import shader from '../../shaders/group_norm.wgsl';
import { ceilDiv, entry, type GpuPass } from './spec.js';

export interface Sizes {
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

/** Threads of a workgroup, and the most vectors that it normalises. It normalises fewer if an image has few. */
const THREADS = 256;
const APPLIED = 4096;
/**
 * Values of an image whose moments one workgroup computes. There are at most MOST_PARTS workgroups, since the next pass reads all
 * of their moments.
 */
const PART = 4096;
const MOST_PARTS = 128;

/**
 * The passes for each image, which do not depend on the batch: first the moments of ranges of pixels, then `rest`, which reads
 * them.
 */
function passes(
  { b, s, c, groups }: Sizes,
  rest: (common: { constants: Record<'PIXELS', number> }, vectors: boolean, parts: number) => GpuPass[],
) {
  const width = c / groups;
  const lanes = c % 4 === 0 && (c <= 4 * THREADS || width % 4 === 0) ? 4 : 1;
  const parts = Math.min(MOST_PARTS, ceilDiv(s * c, PART), s);
  const held = c <= lanes * THREADS ? groups : Math.max(1, Math.floor((lanes * THREADS) / width));
  const constants = { LANES: lanes, GROUPS: groups, PARTS: parts };
  const team = Math.min(8, 2 ** Math.floor(Math.log2(Math.max(1, THREADS / groups))));
  const applied = Math.min(APPLIED, Math.max(THREADS, (s * c) / lanes / MOST_PARTS));
  const pixels = Math.max(1, Math.floor((applied * lanes) / c));
  const moments: GpuPass = {
    entry: 'moments',
    constants: { ...constants, HELD: held, COLUMNS: (held * width) / lanes },
    reads: ['x'],
    writes: ['parts'],
    vec4: lanes === 4 ? ['x'] : [],
    elements: { parts: 'vec2f' },
    workgroups: [parts, b, ceilDiv(groups, held)],
  };
  const common = { constants: { ...constants, COLUMNS: c / lanes, TEAM: team, PIXELS: pixels } };
  return { passes: [moments, ...rest(common, lanes === 4, parts)], workspaces: { parts: 2 * b * groups * parts } };
}

const PARTS = { parts: 'vec2f' };

export const groupNorm = {
  forward: entry('group_norm', 'forward', shader, {
    tensors: {
      x: { shape: 'b s c', io: 'in' },
      weight: { shape: 'c', io: 'in' },
      bias: { shape: 'c', io: 'in' },
      y: { shape: 'b s c', io: 'out' },
    },
    batch: 'b',
    attrs: { groups: 'u32', eps: 'f32', swish: 'u32' },
    check,
    webgpu: (d) =>
      passes(d, (common, vectors) => [
        {
          ...common,
          entry: vectors ? 'forward_vec4' : 'forward',
          reads: ['x', 'weight', 'bias', 'parts'],
          writes: ['y'],
          vec4: vectors ? ['x', 'weight', 'bias', 'y'] : [],
          elements: PARTS,
          workgroups: [ceilDiv(d.s, common.constants.PIXELS), d.b],
        },
      ]),
    flops: ({ b, s, c }) => 8 * b * s * c,
    wasmParts: true,
    tolerance: { f32: 2e-6, reason: 'sums over a group in f32, one rsqrt and one exp' },
  }),

  /** dweight and dbias are sums over the pixels of each of b sequences, which `sum_rows` adds up. */
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
    webgpu(d) {
      const plan = passes(d, (common, vectors, parts) => {
        const bound = { elements: { ...PARTS, sums: 'vec2f' }, vec4: vectors ? ['x', 'weight', 'bias', 'dy', 'dx'] : [] };
        const reads = ['x', 'weight', 'bias', 'dy', 'parts'];
        return [
          { ...common, ...bound, entry: 'slopes', reads, writes: ['channels'], workgroups: [parts, d.b] },
          {
            ...common,
            elements: bound.elements,
            entry: 'collect',
            reads: ['weight', 'channels'],
            writes: ['sums', 'dweight', 'dbias'],
            workgroups: [d.groups, d.b],
          },
          {
            ...common,
            ...bound,
            entry: vectors ? 'backward_vec4' : 'backward',
            reads: [...reads, 'sums'],
            writes: ['dx'],
            workgroups: [ceilDiv(d.s, common.constants.PIXELS), d.b],
          },
        ];
      });
      const parts = plan.workspaces.parts / (2 * d.b * d.groups);
      return { ...plan, workspaces: { ...plan.workspaces, channels: 2 * d.b * parts * d.c, sums: 2 * d.b * d.groups } };
    },
    flops: ({ b, s, c }) => 24 * b * s * c,
    wasmParts: true,
    tolerance: { f32: 5e-6, reason: 'sums over a group in f32, whose means are taken from values of their size' },
  }),
};

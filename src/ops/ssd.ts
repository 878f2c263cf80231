/**
 * Mamba-2's state-space recurrence, SSD (arXiv 2405.21060), over a whole sequence or for one step. For each head, with p × n:
 * H_t = exp(dt_t A) H_{t-1} + dt_t·x_t ⊗ B_t,  y_t = H_t C_t + D x_t,  dt = softplus(dt + dt_bias), A = -exp(A_log).
 * xbc is the complete output [x: e | B: g·n | C: g·n] of the convolution. dt is the end of the complete output [z|x|B|C|dt: h] of
 * in_proj. Head i uses group ⌊i / (h/g)⌋. The state contains H before the first position, and afterwards H after the last.
 * Without a state, H starts at zero.
 *
 * WebGPU computes a whole sequence in blocks of 64 × 64 pairs of positions, as matrix products (the paper's dual form):
 * y_i = Σ_{j≤i} M_ij x_j + D x_i, M_ij = (C_i·B_j) exp(dt_{j+1} A + … + dt_i A) dt_j. At the lengths of AiM, all pairs cost less
 * than the recurrence over states, and the heads of a group share C_i·B_j and its gradient. Sequences that are very long, have
 * sizes that do not suit, or continue a state are computed position by position.
 */
import shader from '../../shaders/ssd.wgsl';
import { alone, shuffles } from './gemv.js';
import { ceilDiv, entry, type GpuCaps, type GpuChoice, type GpuLaunch, type GpuPasses, grid } from './spec.js';

/** The largest headdim for which a backward workgroup has room for the rows. */
const MAX_HEADDIM = 1024;

/** Positions along a side of a block of pairs, and the longest sequence that is computed in blocks. */
const BLOCK = 64;
const MAX_PAIRED = 1024;
/** Most elements of a workspace: a binding has at most 2^27 bytes by WebGPU's default limits. */
const MAX_WORKSPACE = 2 ** 25;
/** Workgroups that fill a GPU. */
const WORKGROUPS = 900;

interface Sizes {
  c: number;
  s: number;
  h: number;
  e: number;
  ngroups: number;
  headdim: number;
  d_state: number;
}

function check({ c, s, h, e, ngroups, headdim, d_state }: Sizes): string | undefined {
  for (const [name, value] of Object.entries({ ngroups, headdim, d_state }))
    if (!(value > 0)) return `the attribute ${name} is ${value}; pass the model's ${name}, at least 1.`;
  if (h % ngroups !== 0) return `${h} heads do not divide into ngroups = ${ngroups}; pass an ngroups that divides h.`;
  if (e !== h * headdim)
    return `e = ${e} is not h·headdim = ${h}·${headdim}; pass A_log of e/headdim heads or the right headdim.`;
  if (c !== e + 2 * ngroups * d_state)
    return `xbc has rows of c = ${c}, expected e + 2·ngroups·d_state = ${e + 2 * ngroups * d_state}; pass [x | B | C] or the right attributes.`;
  if (s < h) return `zxbcdt has rows of s = ${s}, shorter than dt of h = ${h}; pass in_proj's whole output [z | x | B | C | dt].`;
  return undefined;
}

function checkState({ p, n, headdim, d_state }: { p: number; n: number; headdim: number; d_state: number }): string | undefined {
  if ((p !== 0 || n !== 0) && (p !== headdim || n !== d_state))
    return `state holds heads of ${p} × ${n}, expected headdim × d_state = ${headdim} × ${d_state}; pass a state of [m, h, headdim, d_state].`;
  return undefined;
}

/** Number of elements of xbc and the state in one load, which is 4 or 1. */
const widthOf = (e: number, d_state: number) => (d_state % 4 === 0 && e % 4 === 0 ? 4 : 1);

function threadsAlong(vectors: number, most: number): number {
  let lanes = 1;
  while (lanes < most && lanes < vectors) lanes *= 2;
  return lanes;
}

/** Launch of the entries that sum over n. */
function planRows(name: string, { m, l, h, e, headdim, d_state }: Sizes & { m: number; l: number }, vec4: string[]) {
  const wg = 64;
  const width = widthOf(e, d_state);
  const lanes = threadsAlong(d_state / width, 8);
  return {
    entry: width === 4 ? `${name}_vec4` : name,
    constants: { WG: wg, LANES: lanes, K: ceilDiv(d_state / width, lanes), T: l === 1 ? 1 : lanes },
    vec4: width === 4 ? vec4 : [],
    workgroups: grid(m * h * ceilDiv(headdim, wg / lanes)),
  };
}

/** Launch for one position from a state, or undefined if there is none that suits. */
function planStep(
  { m, l, n, h, e, headdim, d_state }: Sizes & Record<'m' | 'l' | 'n', number>,
  caps: GpuCaps,
): GpuChoice | GpuLaunch | undefined {
  if (l !== 1 || n === 0 || widthOf(e, d_state) === 1) return undefined;
  if (caps.software) return { ...alone('forward_alone', m * h * headdim, ['xbc', 'state']), series: true };
  // Subgroups of 32 take a row.
  if (d_state < 64 || headdim % 4 || !shuffles(caps)) return undefined;
  // With more rows for each team, more loads are in flight at once. With few rows in all, many teams are faster.
  const wg = 256;
  return {
    choice: 'rows',
    candidates: [1, 2, 4],
    usual: m * e >= 16384 ? 4 : 2,
    plan: (rows) => ({
      entry: 'forward_step',
      include: ['gemv/shuffle'],
      enable: ['subgroups'],
      constants: { WG: wg, R: rows, K: ceilDiv(d_state, 128) },
      vec4: ['xbc', 'state'],
      series: true,
      workgroups: grid(ceilDiv(m * h * headdim, (wg / 32) * rows)),
    }),
  };
}

/** Launch of the entries that sum over p. */
function planColumns(name: string, { m, h, e, headdim, d_state }: Sizes & { m: number }, vec4: string[]) {
  const width = widthOf(e, d_state);
  const lanes = threadsAlong(d_state / width, 32);
  // Each thread takes about 8 rows.
  const wg = Math.max(32, lanes * threadsAlong(headdim / 8, 256 / lanes));
  return {
    entry: width === 4 ? `${name}_vec4` : name,
    constants: {
      WG: wg,
      LANES: lanes,
      KV: ceilDiv(d_state / width, lanes),
      R: ceilDiv(headdim * lanes, wg),
      // Two positions are processed at a time if workgroup memory can hold their rows.
      T: headdim <= 256 ? 2 : 1,
    },
    vec4: width === 4 ? vec4 : [],
    workgroups: grid(m * h),
  };
}

/** Sizes of the passes over blocks of pairs, or undefined if the sequence is computed position by position. */
function pairs({ m, l, e, h, ngroups, headdim, d_state }: Sizes & { m: number; l: number }) {
  const tiles = ceilDiv(l, BLOCK);
  const padded = tiles * BLOCK;
  const scores = m * ngroups * padded ** 2;
  if (l === 1 || l > MAX_PAIRED || e % 4 || headdim % 4 || d_state % 4 || scores > MAX_WORKSPACE) return undefined;
  const blocks = (tiles * (tiles + 1)) / 2;
  const most = Math.min(h / ngroups, Math.floor(MAX_WORKSPACE / scores));
  return {
    scores,
    steps: m * h * 5 * padded,
    between: m * h * (tiles + 16) * tiles,
    positions: m * h * padded,
    blocks: m * ngroups * blocks,
    heads: m * h * ceilDiv(headdim, BLOCK) * tiles,
    keys: m * ngroups * tiles * 2 * ceilDiv(d_state, BLOCK),
    splits: Math.min(most, ceilDiv(WORKGROUPS, m * ngroups * blocks)),
    constants: { LP: padded, NB: padded / 16, NT: tiles, PAIRS: blocks },
    threads: { WG: Math.min(padded, 256) },
  };
}
type Pairs = NonNullable<ReturnType<typeof pairs>>;

/** The passes with which both forward and backward begin. */
const decays = (
  { m, h }: Sizes & { m: number },
  { constants, threads, blocks }: Pairs,
  transposed: 0 | 1,
): GpuPasses['passes'] => [
  {
    entry: 'make_steps',
    constants: { ...constants, ...threads },
    reads: ['zxbcdt', 'A_log', 'dt_bias'],
    writes: ['steps', 'between'],
    workgroups: grid(m * h),
  },
  {
    entry: 'make_scores',
    constants: { ...constants, TRANSPOSED: transposed },
    reads: ['xbc'],
    writes: ['scores'],
    vec4: ['xbc', 'scores'],
    workgroups: grid(blocks),
  },
];

function forwardPairs(d: Sizes & { m: number }, p: Pairs): GpuPasses {
  const { scores, steps, between, constants } = p;
  return {
    workspaces: { scores, steps, between },
    passes: [
      ...decays(d, p, 1),
      {
        entry: 'forward_blocks',
        constants,
        reads: ['xbc', 'D', 'steps', 'between', 'scores'],
        writes: ['y'],
        vec4: ['xbc', 'scores', 'y'],
        workgroups: grid(p.heads),
      },
    ],
  };
}

function backwardPairs(d: Sizes & { m: number }, p: Pairs): GpuPasses {
  const { m, h } = d;
  const { scores, steps, between, positions, constants, splits } = p;
  const split = { ...constants, SPLITS: splits };
  return {
    workspaces: {
      scores,
      steps,
      between,
      dscores: splits * scores,
      parts: 2 * constants.NT * positions,
      own: 2 * positions,
    },
    passes: [
      ...decays(d, p, 0),
      {
        entry: 'backward_blocks_x',
        constants,
        reads: ['xbc', 'D', 'dy', 'steps', 'between', 'scores'],
        writes: ['dxbc'],
        vec4: ['xbc', 'dy', 'scores', 'dxbc'],
        workgroups: grid(p.heads),
      },
      {
        entry: 'backward_blocks_scores',
        constants: split,
        reads: ['xbc', 'dy', 'steps', 'between', 'scores'],
        writes: ['dscores', 'parts', 'own'],
        vec4: ['xbc', 'dy', 'scores', 'dscores', 'parts'],
        workgroups: grid(p.blocks * splits),
      },
      {
        entry: 'backward_blocks_bc',
        constants: split,
        reads: ['xbc', 'dscores'],
        writes: ['dxbc'],
        vec4: ['xbc', 'dscores', 'dxbc'],
        workgroups: grid(p.keys),
      },
      {
        entry: 'backward_blocks_dt',
        constants: { ...constants, ...p.threads },
        reads: ['zxbcdt', 'A_log', 'dt_bias', 'steps', 'parts', 'own'],
        writes: ['dzxbcdt', 'grads'],
        workgroups: grid(m * h),
      },
    ],
  };
}

/**
 * Computes the gradient position by position, and stores no states. H is computed forwards a second time for dC, and dH is
 * computed backwards, once for dB and once for dx. The gradient of dt follows from what each position takes from earlier
 * positions and gives to later ones.
 */
function backwardWalk(d: Sizes & { m: number; l: number }): GpuPasses {
  const { m, l, h, ngroups, d_state } = d;
  const walked = ['xbc', 'zxbcdt', 'A_log', 'dt_bias'];
  return {
    workspaces: {
      dB: m * l * h * d_state,
      dC: m * l * h * d_state,
      past: m * l * h * 2,
      future: m * l * h * 2,
    },
    passes: [
      { ...planColumns('backward_past', d, ['xbc', 'dC']), reads: [...walked, 'dy'], writes: ['dC', 'past'] },
      { ...planColumns('backward_future', d, ['xbc', 'dB']), reads: [...walked, 'dy'], writes: ['dB', 'future'] },
      { ...planRows('backward_x', d, ['xbc']), reads: [...walked, 'D', 'dy'], writes: ['dxbc'] },
      {
        entry: 'backward_dt',
        constants: { WG: 64 },
        reads: ['zxbcdt', 'A_log', 'dt_bias', 'past', 'future'],
        writes: ['dzxbcdt', 'grads'],
        workgroups: grid(ceilDiv(m * h, 64)),
      },
      {
        entry: 'backward_heads',
        constants: { WG: 64 },
        reads: ['dB', 'dC'],
        writes: ['dxbc'],
        workgroups: grid(ceilDiv(m * l * ngroups * d_state, 64)),
      },
    ],
  };
}

export const ssd = {
  forward: entry('ssd', 'forward', shader, {
    tensors: {
      xbc: { shape: 'm l c', io: 'in', half: true },
      zxbcdt: { shape: 'm l s', io: 'in', half: true },
      A_log: { shape: 'h', io: 'in' },
      dt_bias: { shape: 'h', io: 'in' },
      D: { shape: 'h', io: 'in' },
      state: { shape: 'm h p n', io: 'inout', optional: true },
      y: { shape: 'm l e', io: 'out', half: true },
    },
    batch: 'm',
    attrs: { ngroups: 'u32', headdim: 'u32', d_state: 'u32' },
    check: (d) => check(d) ?? checkState(d),
    webgpu(d, caps) {
      const p = d.p === 0 ? pairs(d) : undefined;
      if (p) return forwardPairs(d, p);
      return planStep(d, caps) ?? { ...planRows('forward', d, ['xbc', 'state']), series: true };
    },
    flops: ({ m, l, e, d_state }) => m * l * e * (5 * d_state + 2),
    wasmParts: true,
    tolerance: { f32: 5e-6, reason: 'one exp a position, carried along the sequence, and n products summed in f32' },
  }),

  /**
   * Starts from a zero state. dxbc and the dt columns of dzxbcdt (rows as in the output of in_proj) are overwritten. The other
   * columns of dzxbcdt are left alone. grads is [dA_log, dD, ddt_bias] of each sequence.
   */
  backward: entry('ssd', 'backward', shader, {
    tensors: {
      xbc: { shape: 'm l c', io: 'in', half: true },
      zxbcdt: { shape: 'm l s', io: 'in', half: true },
      A_log: { shape: 'h', io: 'in' },
      dt_bias: { shape: 'h', io: 'in' },
      D: { shape: 'h', io: 'in' },
      dy: { shape: 'm l e', io: 'in', half: true },
      dxbc: { shape: 'm l c', io: 'out', half: true },
      dzxbcdt: { shape: 'm l s', io: 'inout', half: true },
      grads: { shape: 'm 3 h', io: 'out' },
    },
    attrs: { ngroups: 'u32', headdim: 'u32', d_state: 'u32' },
    check(d) {
      if (d.headdim > MAX_HEADDIM)
        return `headdim = ${d.headdim} is over ${MAX_HEADDIM}, the most backward takes; use more heads.`;
      return check(d);
    },
    webgpu(d) {
      const p = pairs(d);
      return p ? backwardPairs(d, p) : backwardWalk(d);
    },
    flops: ({ m, l, e, d_state }) => m * l * e * (15 * d_state + 3),
    wasmParts: true,
    tolerance: { f32: 2e-5, reason: 'as forward, there and back; dA_log sums what a running sum over positions has gathered' },
  }),

  /** Adds the sequences' sums to the parameters' gradients. */
  backward_sum: entry('ssd', 'backward_sum', shader, {
    tensors: {
      grads: { shape: 'm 3 h', io: 'in' },
      dA_log: { shape: 'h', io: 'inout' },
      dD: { shape: 'h', io: 'inout' },
      ddt_bias: { shape: 'h', io: 'inout' },
    },
    webgpu: ({ h }) => ({ workgroups: grid(ceilDiv(h, 64)) }),
    tolerance: { f32: 2e-6, reason: 'a sum over m' },
  }),
};

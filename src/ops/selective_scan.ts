/**
 * Mamba-1's selective scan (arXiv 2312.00752) over a whole sequence or for one step:
 * h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t x_t,  y_t = (C_t·h_t + D x_t)·SiLU(z_t),  Δ = softplus(dt), A = -exp(A_log).
 * bc is the complete output [r | B: n | C: n] of x_proj, and z is the complete output [x | z: e] of in_proj. The state holds h
 * before the first position, and afterwards h after the last. Without a state, h starts at zero.
 *
 * Backward starts from a zero state. It has four entries, since one entry may bind 8 buffers; `selectiveScanBackward` runs them.
 * h is stored at the start of every chunk of CHUNK positions and computed again from there. `ddt` and `dx` pass values from one
 * entry to the next.
 */
import shader from '../../shaders/selective_scan.wgsl';
import { scanBlock as blockOf, SCAN_CHUNK as CHUNK } from './shared.js';
import { ceilDiv, entry, grid } from './spec.js';

export { blockOf, CHUNK };

const MAX_STATE = 64;

/**
 * Threads of a backward workgroup, and how many of them share four channels, so that each thread has at most 4 states of a
 * channel.
 */
const BACK_WG = 64;
const backLanes = (n: number) => (4 * BACK_WG) / blockOf(n);

type Sizes = Record<string, number>;

function checkBc({ n, s }: Sizes): string | undefined {
  if (n < 1 || n > MAX_STATE) return `A_log has n = ${n} states a channel, expected 1 to ${MAX_STATE}; set d_state within it.`;
  if (s < 2 * n) return `bc has rows of s = ${s}, shorter than B and C of n = ${n} each; pass x_proj's whole output [r | B | C].`;
  return undefined;
}

function checkZ({ e, f }: Sizes): string | undefined {
  if (f < e) return `z has rows of f = ${f}, shorter than e = ${e}; pass in_proj's whole output [x | z].`;
  return undefined;
}

function checkWorkspace({ l, e, n, k, b, w }: Sizes): string | undefined {
  const want = { k: ceilDiv(l, CHUNK), b: ceilDiv(e, blockOf(n)), w: 2 * n };
  if (k !== want.k) return `states keeps k = ${k} chunks, expected ${want.k} of ${CHUNK} positions; run selectiveScanBackward.`;
  if (b !== want.b || w !== want.w)
    return `parts is [m, l, ${b}, ${w}], expected [m, l, ${want.b}, ${want.w}]; run selectiveScanBackward.`;
  return undefined;
}

export const selectiveScan = {
  forward: entry('selective_scan', 'forward', shader, {
    tensors: {
      x: { shape: 'm l e', io: 'in' },
      dt: { shape: 'm l e', io: 'in' },
      A_log: { shape: 'e n', io: 'in' },
      bc: { shape: 'm l s', io: 'in' },
      D: { shape: 'e', io: 'in' },
      z: { shape: 'm l f', io: 'in', half: true },
      state: { shape: 'm e n', io: 'inout', optional: true },
      y: { shape: 'm l e', io: 'out', half: true },
    },
    batch: 'm',
    check: (d) => checkBc(d) ?? checkZ(d),
    webgpu({ m, l, e, n }) {
      const [wg, lanes] = [128, 4];
      return {
        constants: { WG: wg, LANES: lanes, K: ceilDiv(n, lanes), T: l === 1 ? 1 : lanes },
        series: true,
        workgroups: grid(m * ceilDiv(e, wg / lanes)),
      };
    },
    flops: ({ m, l, e, n }) => m * l * e * (7 * n + 8),
    wasmParts: true,
    tolerance: { f32: 5e-6, reason: 'an exp of a rounded product per position and state, carried along the sequence' },
  }),

  /** Computes h at the start of every chunk, and scan = C·h. */
  backward_states: entry('selective_scan', 'backward_states', shader, {
    tensors: {
      x: { shape: 'm l e', io: 'in' },
      dt: { shape: 'm l e', io: 'in' },
      A_log: { shape: 'e n', io: 'in' },
      bc: { shape: 'm l s', io: 'in' },
      states: { shape: 'm k e n', io: 'out' },
      scan: { shape: 'm l e', io: 'out' },
    },
    check: (d) =>
      checkBc(d) ??
      (d.k === ceilDiv(d.l, CHUNK) ? undefined : `states keeps k = ${d.k} chunks of ${CHUNK}; run selectiveScanBackward.`),
    webgpu({ m, l, e, n }) {
      const [wg, lanes] = [128, 4];
      return {
        constants: { WG: wg, LANES: lanes, K: ceilDiv(n, lanes), T: l === 1 ? 1 : lanes, Q: CHUNK },
        workgroups: grid(m * ceilDiv(e, wg / lanes)),
      };
    },
    flops: ({ m, l, e, n }) => m * l * e * 7 * n,
    wasmParts: true,
    tolerance: { f32: 5e-6, reason: 'as forward' },
  }),

  /**
   * The gradient of y = (scan + D x)·SiLU(z). scan is replaced by its gradient, and dx gets the part of its gradient that passes
   * through D. The z columns of dz (rows as in the output of in_proj) are overwritten. skip is dD for each sequence.
   */
  backward_gate: entry('selective_scan', 'backward_gate', shader, {
    tensors: {
      x: { shape: 'm l e', io: 'in' },
      D: { shape: 'e', io: 'in' },
      z: { shape: 'm l f', io: 'in', half: true },
      dy: { shape: 'm l e', io: 'in', half: true },
      scan: { shape: 'm l e', io: 'inout' },
      dx: { shape: 'm l e', io: 'out' },
      dz: { shape: 'm l f', io: 'inout', half: true },
      skip: { shape: 'm e', io: 'out' },
    },
    check: checkZ,
    webgpu: ({ m, e }) => ({ constants: { WG: 64 }, workgroups: grid(ceilDiv(m * e, 64)) }),
    tolerance: { f32: 3e-6, reason: 'one exp, and a sum over l' },
  }),

  /**
   * The gradient of the recurrence. ddt contains the gradient of scan before the call and that of dt after it. The entry adds to
   * dx. parts is [dB | dC] for every block of channels. The first state of each sequence is zero by definition and is not read;
   * the entry stores dA_log in its place.
   */
  backward: entry('selective_scan', 'backward', shader, {
    tensors: {
      x: { shape: 'm l e', io: 'in' },
      dt: { shape: 'm l e', io: 'in' },
      A_log: { shape: 'e n', io: 'in' },
      bc: { shape: 'm l s', io: 'in' },
      states: { shape: 'm k e n', io: 'inout' },
      dx: { shape: 'm l e', io: 'inout' },
      ddt: { shape: 'm l e', io: 'inout' },
      parts: { shape: 'm l b w', io: 'out' },
    },
    check: (d) => checkBc(d) ?? checkWorkspace(d),
    webgpu: ({ m, n, b }) => ({
      constants: { WG: BACK_WG, LANES: backLanes(n) },
      workgroups: grid(m * b),
    }),
    flops: ({ m, l, e, n }) => m * l * e * 24 * n,
    wasmParts: true,
    tolerance: { f32: 1e-5, reason: 'as forward, twice, and sums over n and over the positions' },
  }),

  /**
   * Adds up `parts` of `backward`. The B and C columns of dbc (rows as in the output of x_proj) are overwritten, and the sums are
   * added to dA_log and dD.
   */
  backward_sum: entry('selective_scan', 'backward_sum', shader, {
    tensors: {
      states: { shape: 'm k e n', io: 'in' },
      parts: { shape: 'm l b w', io: 'in' },
      skip: { shape: 'm e', io: 'in' },
      dbc: { shape: 'm l s', io: 'inout' },
      dA_log: { shape: 'e n', io: 'inout' },
      dD: { shape: 'e', io: 'inout' },
    },
    check: (d) => checkBc(d) ?? checkWorkspace(d),
    webgpu: ({ m, l, e, n, w }) => ({ constants: { WG: 64 }, workgroups: grid(ceilDiv(m * l * w + e * n + e, 64)) }),
    tolerance: { f32: 2e-6, reason: 'sums over blocks of channels and over m' },
  }),
};

/**
 * Mamba-1's selective scan (arXiv 2312.00752), a whole sequence or one step:
 * h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t x_t,  y_t = (C_t·h_t + D x_t)·SiLU(z_t),  Δ = softplus(dt), A = -exp(A_log).
 * bc is x_proj's output [r | B: n | C: n], z is in_proj's output [x | z: e]; neither is cut up. The state goes from the h
 * before the first position to the h after the last; without it h starts at zero.
 *
 * Backward (from a zero state) is four entries, since one may bind 8 buffers; `selectiveScanBackward` runs them. h is kept at
 * the start of every chunk of CHUNK positions and computed again from there. `ddt` and `dx` carry what the next entry needs.
 */
import shader from '../../shaders/selective_scan.wgsl';
import { sigmoid } from './silu.js';
import { ceilDiv, entry, grid } from './spec.js';

export const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

const MAX_STATE = 64;

/** Positions of a block in assembly/selective_scan.ts. */
const BLOCK = 16;

/** Positions between two kept states; also in assembly/selective_scan.ts. */
export const CHUNK = 16;

/** Threads of a backward workgroup, and how many of them share four channels, so that each has at most 4 states of one. */
const BACK_WG = 64;
const backLanes = (n: number) => (n <= 16 ? 4 : n <= 32 ? 8 : 16);
/** Channels whose dB and dC are summed together; also in assembly/selective_scan.ts. */
export const blockOf = (n: number) => (4 * BACK_WG) / backLanes(n);

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
      z: { shape: 'm l f', io: 'in' },
      state: { shape: 'm e n', io: 'inout', optional: true },
      y: { shape: 'm l e', io: 'out' },
    },
    check: (d) => checkBc(d) ?? checkZ(d),
    reference({ x, dt, A_log, bc, D, z, state, y }, { m, l, e, n, s, f }) {
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < e; j++) {
          const h = new Float64Array(n);
          for (let k = 0; k < n; k++) h[k] = state?.[(i * e + j) * n + k] ?? 0;
          for (let t = 0; t < l; t++) {
            const row = i * l + t;
            const delta = softplus(dt[row * e + j]!);
            const xt = x[row * e + j]!;
            const zt = z[row * f + f - e + j]!;
            let sum = D[j]! * xt;
            for (let k = 0; k < n; k++) {
              const A = -Math.exp(A_log[j * n + k]!);
              h[k] = Math.exp(delta * A) * h[k]! + delta * bc[row * s + s - 2 * n + k]! * xt;
              sum += bc[row * s + s - n + k]! * h[k]!;
            }
            y[row * e + j] = sum * zt * sigmoid(zt);
          }
          state?.set(h, (i * e + j) * n);
        }
      }
    },
    webgpu({ m, l, e, n }) {
      const [wg, lanes] = [128, 4];
      return {
        constants: { WG: wg, LANES: lanes, K: ceilDiv(n, lanes), T: l === 1 ? 1 : lanes },
        series: true,
        workgroups: grid(m * ceilDiv(e, wg / lanes)),
      };
    },
    flops: ({ m, l, e, n }) => m * l * e * (7 * n + 8),
    // A and h of four channels, then their Δ, Δx and C·h at a block of positions.
    wasmScratch: ({ n }) => (8 * n + 12 * BLOCK) * 4,
    wasmParts: true,
    tolerance: { f32: 5e-6, reason: 'an exp of a rounded product per position and state, carried along the sequence' },
  }),

  /** h at the start of every chunk, and scan = C·h. */
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
    reference({ x, dt, A_log, bc, states, scan }, { m, l, e, n, s, k: chunks }) {
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < e; j++) {
          const h = new Float64Array(n);
          for (let t = 0; t < l; t++) {
            if (t % CHUNK === 0) states.set(h, ((i * chunks + t / CHUNK) * e + j) * n);
            const row = i * l + t;
            const delta = softplus(dt[row * e + j]!);
            let sum = 0;
            for (let k = 0; k < n; k++) {
              const A = -Math.exp(A_log[j * n + k]!);
              h[k] = Math.exp(delta * A) * h[k]! + delta * bc[row * s + s - 2 * n + k]! * x[row * e + j]!;
              sum += bc[row * s + s - n + k]! * h[k]!;
            }
            scan[row * e + j] = sum;
          }
        }
      }
    },
    webgpu({ m, l, e, n }) {
      const [wg, lanes] = [128, 4];
      return {
        constants: { WG: wg, LANES: lanes, K: ceilDiv(n, lanes), T: l === 1 ? 1 : lanes, Q: CHUNK },
        workgroups: grid(m * ceilDiv(e, wg / lanes)),
      };
    },
    flops: ({ m, l, e, n }) => m * l * e * 7 * n,
    wasmScratch: ({ n }) => (8 * n + 12 * BLOCK) * 4,
    wasmParts: true,
    tolerance: { f32: 5e-6, reason: 'as forward' },
  }),

  /**
   * Through y = (scan + D x)·SiLU(z): scan becomes its own gradient, dx gets the part that comes by D, the z columns of dz
   * (rows as in_proj's output) are overwritten, skip is each sequence's dD.
   */
  backward_gate: entry('selective_scan', 'backward_gate', shader, {
    tensors: {
      x: { shape: 'm l e', io: 'in' },
      D: { shape: 'e', io: 'in' },
      z: { shape: 'm l f', io: 'in' },
      dy: { shape: 'm l e', io: 'in' },
      scan: { shape: 'm l e', io: 'inout' },
      dx: { shape: 'm l e', io: 'out' },
      dz: { shape: 'm l f', io: 'inout' },
      skip: { shape: 'm e', io: 'out' },
    },
    check: checkZ,
    reference({ x, D, z, dy, scan, dx, dz, skip }, { m, l, e, f }) {
      skip.fill(0);
      for (let i = 0; i < m; i++) {
        for (let t = 0; t < l; t++) {
          for (let j = 0; j < e; j++) {
            const at = (i * l + t) * e + j;
            const zAt = (i * l + t + 1) * f - e + j;
            const zt = z[zAt]!;
            const s = sigmoid(zt);
            // forward: y = (scan + D x)·SiLU(z)  ⇒  dscan = dy·SiLU(z), dz = dy·(scan + D x)·SiLU'(z)
            dz[zAt] = dy[at]! * (scan[at]! + D[j]! * x[at]!) * s * (1 + zt * (1 - s));
            scan[at] = dy[at]! * zt * s;
            // the skip's part: dx = D·dscan, dD += x·dscan
            dx[at] = D[j]! * scan[at]!;
            skip[i * e + j]! += x[at]! * scan[at]!;
          }
        }
      }
    },
    webgpu: ({ m, e }) => ({ constants: { WG: 64 }, workgroups: grid(ceilDiv(m * e, 64)) }),
    tolerance: { f32: 3e-6, reason: 'one exp, and a sum over l' },
  }),

  /**
   * Back through the recurrence. ddt comes holding scan's gradient and leaves as dt's; dx is added to; parts is [dB | dC] of
   * every block of channels; the first of a sequence's states, zero by definition and not read, leaves as its dA_log.
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
    reference({ x, dt, A_log, bc, states, dx, ddt, parts }, { m, l, e, n, s, k: chunks, b, w }) {
      parts.fill(0);
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < e; j++) {
          const A = Float64Array.from({ length: n }, (_, k) => -Math.exp(A_log[j * n + k]!));
          const dA = new Float64Array(n);
          const dh = new Float64Array(n);
          for (let chunk = chunks - 1; chunk >= 0; chunk--) {
            const t0 = chunk * CHUNK;
            const t1 = Math.min(t0 + CHUNK, l);
            const first = ((i * chunks + chunk) * e + j) * n;
            const hs = [chunk === 0 ? new Float64Array(n) : Float64Array.from(states.subarray(first, first + n))];
            for (let t = t0; t < t1; t++) {
              const row = i * l + t;
              const delta = softplus(dt[row * e + j]!);
              const B = row * s + s - 2 * n;
              hs.push(hs[t - t0]!.map((v, k) => Math.exp(delta * A[k]!) * v + delta * bc[B + k]! * x[row * e + j]!));
            }
            for (let t = t1 - 1; t >= t0; t--) {
              const row = i * l + t;
              const delta = softplus(dt[row * e + j]!);
              const xt = x[row * e + j]!;
              const B = row * s + s - 2 * n;
              const C = B + n;
              const part = (row * b + Math.floor(j / blockOf(n))) * w;
              const [before, h] = [hs[t - t0]!, hs[t - t0 + 1]!];
              const dscan = ddt[row * e + j]!;
              let ddelta = 0;
              for (let k = 0; k < n; k++) {
                // forward: scan = C·h  ⇒  dC += dscan·h, dh += dscan·C
                parts[part + n + k]! += dscan * h[k]!;
                dh[k]! += dscan * bc[C + k]!;
                // forward: h = exp(Δ A) h' + Δ B x  ⇒  dB += dh·Δ x, dx += dh·Δ B, dΔ += dh·(A exp(Δ A) h' + B x),
                //   dA += dh·Δ exp(Δ A) h', dh' = exp(Δ A) dh
                const decay = Math.exp(delta * A[k]!);
                parts[part + k]! += dh[k]! * delta * xt;
                dx[row * e + j]! += dh[k]! * delta * bc[B + k]!;
                ddelta += dh[k]! * (A[k]! * decay * before[k]! + bc[B + k]! * xt);
                dA[k]! += dh[k]! * delta * decay * before[k]!;
                dh[k]! *= decay;
              }
              // forward: Δ = softplus(dt)  ⇒  ddt = dΔ·σ(dt)
              ddt[row * e + j] = ddelta * sigmoid(dt[row * e + j]!);
            }
          }
          // forward: A = -exp(A_log)  ⇒  dA_log = dA·A
          for (let k = 0; k < n; k++) states[(i * chunks * e + j) * n + k] = dA[k]! * A[k]!;
        }
      }
    },
    webgpu: ({ m, n, b }) => ({
      constants: { WG: BACK_WG, LANES: backLanes(n) },
      workgroups: grid(m * b),
    }),
    flops: ({ m, l, e, n }) => m * l * e * 24 * n,
    wasmScratch: ({ n }) => (3 * blockOf(n) * n + (2 * CHUNK + 1) * n + 5 * CHUNK * blockOf(n)) * 4,
    wasmParts: true,
    tolerance: { f32: 1e-5, reason: 'as forward, twice, and sums over n and over the positions' },
  }),

  /** Sums what `backward` left in parts: the B and C columns of dbc (rows as x_proj's output) are overwritten, dA_log and dD added to. */
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
    reference({ states, parts, skip, dbc, dA_log, dD }, { m, k, e, n, l, b, w, s }) {
      for (let row = 0; row < m * l; row++) {
        for (let q = 0; q < w; q++) {
          let sum = 0;
          for (let c = 0; c < b; c++) sum += parts[(row * b + c) * w + q]!;
          dbc[(row + 1) * s - w + q] = sum;
        }
      }
      for (let i = 0; i < m; i++) {
        for (let q = 0; q < e * n; q++) dA_log[q]! += states[i * k * e * n + q]!;
        for (let j = 0; j < e; j++) dD[j]! += skip[i * e + j]!;
      }
    },
    webgpu: ({ m, l, e, n, w }) => ({ constants: { WG: 64 }, workgroups: grid(ceilDiv(m * l * w + e * n + e, 64)) }),
    tolerance: { f32: 2e-6, reason: 'sums over blocks of channels and over m' },
  }),
};

/** Launches of the kernels that multiply few rows with a matrix (shaders/lib/gemv): what a token's step is made of. */
import { ceilDiv, type GpuCaps, type GpuPass } from './spec.js';

/** Threads of a workgroup; teams of 32 share rows of the matrix. */
const WG = 256;
/** Chunks of 16 bytes that a thread of a fused kernel may have on the way. */
const IN_FLIGHT = 24;
/** Rows of x that a fused kernel takes, and that a team of the plain one takes at once. */
const FUSED_ROWS = 4;
const TEAM_ROWS = 8;
/** Rows of x up to which this beats tiles in workgroup memory. */
const MOST_ROWS = 128;

/** Subgroups that hold whole teams. */
export const shuffles = (caps: GpuCaps) => caps.features.has('subgroups') && caps.subgroupMinSize >= 32;

/** Where a kernel finds its sums over teams and workgroups. */
export const workgroupSums = (caps: GpuCaps): Pick<GpuPass, 'sections' | 'enable'> =>
  shuffles(caps) ? { sections: ['shuffle'], enable: ['subgroups'] } : { sections: ['shared'] };

/** y[m,n] = x[m,k]·w[n,k], rows of x read where they lie; undefined where it does not suit. */
export function gemvPlan(
  { m, n, k }: Record<'m' | 'n' | 'k', number>,
  caps: GpuCaps,
  half: boolean,
): (GpuPass & { constants: object }) | undefined {
  // Without subgroups the sums of many rows would go through workgroup memory for too long.
  if (k % (half ? 8 : 4) || m > (shuffles(caps) ? MOST_ROWS : TEAM_ROWS)) return undefined;
  const rows = Math.min(powerOfTwo(m), TEAM_ROWS);
  // The more rows of w a team has, the less of x is read; but all of the device should have some.
  const few = m <= FUSED_ROWS || !shuffles(caps);
  const each = few ? (n >= 2048 ? 2 : 1) : m * n >= 24576 ? 8 : m * n >= 8192 ? 2 : 1;
  const wg = few ? WG : WG / 2;
  const x = ceilDiv(n, (wg / 32) * each);
  if (x > 65535) return undefined;
  return { ...common(caps, half, { WG: wg, M: rows, N: n, K: k, R: each }), vec4: ['x'], workgroups: [x, ceilDiv(m, rows)] };
}

/** The same for rows that each workgroup norms itself: few of them, so that all fit in its memory. */
export function normGemvPlan(
  { m, n, k }: Record<'m' | 'n' | 'k', number>,
  caps: GpuCaps,
  half: boolean,
  each: number,
): (GpuPass & { constants: object }) | undefined {
  const rows = powerOfTwo(m);
  const chunk = half ? 8 : 4;
  const bytes = 4 * (rows * k + 2 * WG + rows * (WG / 32) * (each + 1) + (shuffles(caps) ? 0 : 4 * WG));
  if (m > FUSED_ROWS || k % chunk || bytes > caps.maxWorkgroupStorage || caps.maxInvocations < WG) return undefined;
  const steps = ceilDiv(k / chunk, 32);
  while (each > 1 && each * steps > IN_FLIGHT) each /= 2;
  const x = ceilDiv(n, (WG / 32) * each);
  if (each * steps > IN_FLIGHT || x > 65535) return undefined;
  return { ...common(caps, half, { WG, M: rows, N: n, K: k, R: each }), workgroups: [x] };
}

function common(caps: GpuCaps, half: boolean, constants: Record<string, number>) {
  return { ...workgroupSums(caps), constants: { HALF: half ? 1 : 0, ...constants }, elements: { w: 'vec4<u32>' } };
}

const powerOfTwo = (n: number) => 2 ** Math.ceil(Math.log2(n));

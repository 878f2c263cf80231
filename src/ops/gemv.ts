/** Launches of the kernels that multiply few rows with a matrix (shaders/lib/gemv): what a token's step is made of. */
import { ceilDiv, type GpuCaps, type GpuChoice, type GpuPass, grid } from './spec.js';

/** Threads of a workgroup; teams of 32 share rows of the matrix. */
const WG = 256;
/** Rows of the matrix that a team may take; what it adds up does not depend on their number. */
const EACH = [1, 2, 4, 8];
/** Chunks of 16 bytes that a thread of a fused kernel may have on the way. */
const IN_FLIGHT = 24;
/** Rows of x that a fused kernel takes, and that a team of the plain one takes at once. */
const FUSED_ROWS = 4;
const TEAM_ROWS = 8;
/** Rows of x that a thread of the tile makes sums of, sixteen apart, at most. */
const TILE_ROWS = 4;

/** Subgroups that hold whole teams. */
export const shuffles = (caps: GpuCaps) => caps.features.has('subgroups') && caps.subgroupMinSize >= 32;

/** The part of a plan that selects library files for sums by subgroups, or through workgroup memory. */
export function either(caps: GpuCaps, shuffle: string[], shared: string[]): { include: string[]; enable?: string[] } {
  return shuffles(caps) ? { include: shuffle, enable: ['subgroups'] } : { include: shared };
}

/** Sums of squares over a workgroup, in the order that the kernels here have them. */
export const squareSums = (caps: GpuCaps) => either(caps, ['norm/shuffle'], ['norm/shared']);

/** What a kernel adds to a plan. */
type Extra = Pick<GpuPass, 'constants' | 'vec4'>;

/**
 * y[m,n] = x[m,k]·w[n,k], rows of x read from the binding; undefined where sizes or device do not suit. Its sums, the norming
 * kernels' and the tile's are the same to the bit, whatever m is: a token must not depend on how many are drawn at once.
 */
export function gemvPlan(
  { m, n, k }: Record<'m' | 'n' | 'k', number>,
  caps: GpuCaps,
  half: boolean,
  extra: Extra = {},
): GpuChoice<GpuPass> | undefined {
  // Without subgroups the sums of many rows would go through workgroup memory for too long; they are the tile's.
  if (k % (half ? 8 : 4) || (m > TEAM_ROWS && !shuffles(caps))) return undefined;
  const rows = Math.min(powerOfTwo(m), TEAM_ROWS);
  // The more rows of w a team has, the less of x is read; but all of the device should have some.
  const few = m <= FUSED_ROWS || !shuffles(caps);
  const usual = few ? (n >= 2048 ? 2 : 1) : m * n >= 24576 ? 8 : m * n >= 8192 ? 2 : 1;
  const wg = few ? WG : WG / 2;
  const count = (each: number) => ceilDiv(n, (wg / 32) * each);
  if (count(usual) > 65535) return undefined;
  const files = either(caps, ['gemv/sums', 'gemv/shuffle'], ['gemv/sums', 'gemv/shared']);
  return {
    choice: 'rows',
    candidates: EACH.filter((each) => count(each) <= 65535),
    usual,
    plan: (each) => ({
      ...common(files, half, { WG: wg, M: rows, N: n, K: k, R: each }, { vec4: ['x'], ...extra }),
      workgroups: [count(each), ceilDiv(m, rows)],
    }),
  };
}

/** The same for more rows than that, in tiles that go through workgroup memory. */
export function gemvTilePlan({ m, n, k }: Record<'m' | 'n' | 'k', number>, half: boolean): GpuPass | undefined {
  if (k % (half ? 8 : 4)) return undefined;
  const rows = Math.min(powerOfTwo(ceilDiv(m, 16)), TILE_ROWS);
  return {
    constants: { HALF: half ? 1 : 0, ROWS: rows },
    vec4: ['x', 'w'],
    workgroups: [ceilDiv(n, 64), ...grid(ceilDiv(m, 16 * rows))],
  };
}

/** The same for rows that each workgroup norms itself: few of them, so that all fit in its memory. A team takes `most` of w. */
export function normGemvPlan(
  { m, n, k }: Record<'m' | 'n' | 'k', number>,
  caps: GpuCaps,
  half: boolean,
  most: number,
  extra: Extra,
): GpuChoice<GpuPass> | undefined {
  const rows = powerOfTwo(m);
  const chunk = half ? 8 : 4;
  if (m > FUSED_ROWS || k % chunk || caps.maxInvocations < WG) return undefined;
  const steps = ceilDiv(k / chunk, 32);
  const bytes = (each: number) => 4 * (rows * k + 2 * WG + rows * (WG / 32) * (each + 1) + (shuffles(caps) ? 0 : 4 * WG));
  const able = EACH.filter(
    (each) => bytes(each) <= caps.maxWorkgroupStorage && each * steps <= IN_FLIGHT && n <= 65535 * (WG / 32) * each,
  );
  const usual = able.findLast((each) => each <= most);
  if (usual === undefined) return undefined;
  const files = either(
    caps,
    ['gemv/sums', 'gemv/norm', 'gemv/shuffle', 'norm/shuffle'],
    ['gemv/sums', 'gemv/norm', 'gemv/shared', 'norm/shared'],
  );
  return {
    choice: 'rows',
    candidates: able,
    usual,
    plan: (each) => ({
      ...common(files, half, { WG, M: rows, N: n, K: k, R: each }, extra),
      workgroups: [ceilDiv(n, (WG / 32) * each)],
    }),
  };
}

const common = (files: ReturnType<typeof either>, half: boolean, constants: Record<string, number>, extra: Extra) => ({
  ...files,
  ...extra,
  constants: { HALF: half ? 1 : 0, ...constants, ...extra.constants },
  elements: { w: 'vec4<u32>' },
  series: true,
});

const powerOfTwo = (n: number) => 2 ** Math.ceil(Math.log2(n));

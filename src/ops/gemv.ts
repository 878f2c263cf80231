/**
 * Launch plans of the kernels that multiply few rows with a matrix (shaders/lib/gemv). They do most of the work of a token's
 * step.
 */
import { ceilDiv, type GpuCaps, type GpuChoice, type GpuPass, grid } from './spec.js';

/** Threads of a workgroup. It has teams of 32 threads, and each team computes whole rows of the matrix. */
const WG = 256;
/** Numbers of matrix rows that a team may take. The order of a sum does not depend on this number. */
const EACH = [1, 2, 4, 8];
/** Most loads of 16 bytes that a thread of a fused kernel may wait for at the same time. */
const IN_FLIGHT = 24;
/** Most rows of x that a fused kernel takes, and that a team of the kernel without fusion takes at once. */
const FUSED_ROWS = 4;
const TEAM_ROWS = 8;
/** Most rows of x for which a thread of the tile computes sums. They are sixteen rows apart. */
const TILE_ROWS = 4;

/** Says if every subgroup of the device holds whole teams of 32 threads. */
export const shuffles = (caps: GpuCaps) => caps.features.has('subgroups') && caps.subgroupMinSize >= 32;

/**
 * Returns the library files of a plan: `shuffle` if subgroups can add up the sums, else `shared`, which uses workgroup memory.
 */
export function either(caps: GpuCaps, shuffle: string[], shared: string[]): { include: string[]; enable?: string[] } {
  return shuffles(caps) ? { include: shuffle, enable: ['subgroups'] } : { include: shared };
}

/** Library files for sums of squares over a workgroup. They sum in the same order as the kernels of shaders/lib/gemv. */
export const squareSums = (caps: GpuCaps) => either(caps, ['norm/shuffle'], ['norm/shared']);

/**
 * The launch of a kernel for software GPUs, in which a thread works without barriers: at one, such a GPU runs all threads of a
 * workgroup in turn.
 */
export const alone = (entry: string, threads: number, vec4: string[], constants: Record<string, number> = {}) => ({
  entry,
  constants: { WG: ALONE, ...constants },
  vec4,
  workgroups: grid(ceilDiv(threads, ALONE)),
});
const ALONE = 64;

/** Constants and vector bindings that a kernel adds to a plan. */
type Extra = Pick<GpuPass, 'constants' | 'vec4'>;

/**
 * Plans y[m,n] = x[m,k]·w[n,k] with rows of x read from the binding. Returns undefined if the sizes or the device do not suit.
 * The sums have the same bits as those of `normGemvPlan` and `gemvTilePlan` for every m, so that a token does not depend on how
 * many images are drawn at once.
 */
export function gemvPlan(
  { m, n, k }: Record<'m' | 'n' | 'k', number>,
  caps: GpuCaps,
  half: boolean,
  extra: Extra = {},
): GpuChoice<GpuPass> | undefined {
  // Without subgroups, the sums of many rows would spend too much time in workgroup memory. `gemvTilePlan` is for those.
  if (k % (half ? 8 : 4) || caps.software || (m > TEAM_ROWS && !shuffles(caps))) return undefined;
  const rows = Math.min(powerOfTwo(m), TEAM_ROWS);
  // With more rows of w in a team, x is read less often. With fewer there are more workgroups, which keep a large device busy.
  const few = m <= FUSED_ROWS || !shuffles(caps);
  const usual = few ? (n >= 2048 ? 2 : 1) : m * n >= 24576 ? 8 : m * n >= 8192 ? 2 : 1;
  const wg = few ? WG : WG / 2;
  const count = (each: number) => ceilDiv(n, (wg / 32) * each);
  const able = EACH.filter((each) => count(each) <= 65535);
  if (count(usual) > 65535) return undefined;
  const files = either(caps, ['gemv/sums', 'gemv/shuffle'], ['gemv/sums', 'gemv/shared']);
  return {
    choice: 'rows',
    candidates: able,
    usual,
    plan: (each) => ({
      ...common(files, half, { WG: wg, M: rows, N: n, K: k, R: each }, { vec4: ['x'], ...extra }),
      workgroups: [count(each), ceilDiv(m, rows)],
    }),
  };
}

/**
 * Plans the same product for more rows of x by the entry `name`, in tiles that use workgroup memory. Returns undefined if the
 * sizes do not suit.
 */
export function gemvTilePlan(
  name: string,
  { m, n, k }: Record<'m' | 'n' | 'k', number>,
  half: boolean,
): GpuChoice<GpuPass> | undefined {
  if (k % (half ? 8 : 4)) return undefined;
  const rows = Math.min(powerOfTwo(ceilDiv(m, 16)), TILE_ROWS);
  return {
    choice: 'threads',
    // Fewer threads keep more sums each, and read workgroup memory less often.
    candidates: [64, 256],
    usual: 256,
    plan: (threads) => ({
      entry: name,
      constants: { HALF: half ? 1 : 0, ROWS: rows, THREADS: threads, EACH: (256 * rows) / threads },
      vec4: ['x', 'w'],
      workgroups: [ceilDiv(n, 64), ...grid(ceilDiv(m, 16 * rows))],
    }),
  };
}

/**
 * Plans the same product for few rows of x that each workgroup normalises itself and holds in its memory. A team usually takes up
 * to `most` rows of w. Returns undefined if the sizes or the device do not suit.
 */
export function normGemvPlan(
  { m, n, k }: Record<'m' | 'n' | 'k', number>,
  caps: GpuCaps,
  half: boolean,
  most: number,
  extra: Extra,
): GpuChoice<GpuPass> | undefined {
  const rows = powerOfTwo(m);
  const chunk = half ? 8 : 4;
  if (m > FUSED_ROWS || k % chunk || caps.software || caps.maxInvocations < WG) return undefined;
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

type Sizes = Record<'WG' | 'M' | 'N' | 'K' | 'R', number>;

/** What the plans share. What is derived from the sizes here is how often shader files repeat lines. */
const common = (files: ReturnType<typeof either>, half: boolean, sizes: Sizes, extra: Extra) => ({
  ...files,
  ...extra,
  constants: {
    HALF: half ? 1 : 0,
    Q: half ? 2 : 1,
    STEPS: ceilDiv(sizes.K / (half ? 8 : 4), 32),
    PER: ceilDiv(sizes.K / 4, sizes.WG),
    P: Math.min(sizes.R * sizes.M, 4),
    ROUNDS: Math.max(1, (sizes.R * sizes.M) / 4),
    EACH: Math.max(1, (sizes.R * sizes.M) / 32),
    ...sizes,
    ...extra.constants,
  },
  elements: { w: 'vec4<u32>' },
  series: true,
});

const powerOfTwo = (n: number) => 2 ** Math.ceil(Math.log2(n));

/** Launches of the kernels that multiply few rows with a matrix (shaders/lib/gemv): what a token's step is made of. */
import normed from '../../shaders/lib/gemv/norm.wgsl';
import teamShared from '../../shaders/lib/gemv/shared.wgsl';
import teamShuffle from '../../shaders/lib/gemv/shuffle.wgsl';
import sums from '../../shaders/lib/gemv/sums.wgsl';
import squaresShared from '../../shaders/lib/norm/shared.wgsl';
import squaresShuffle from '../../shaders/lib/norm/shuffle.wgsl';
import { ceilDiv, type GpuCaps, type GpuPass, grid } from './spec.js';

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

/** What a plan says to have one of two texts: sums by subgroups, or through workgroup memory. */
export function either(caps: GpuCaps, shuffle: string[], shared: string[]): { include: string[]; enable?: string[] } {
  return shuffles(caps) ? { include: shuffle, enable: ['subgroups'] } : { include: shared };
}

/** Sums of squares over a workgroup, in the order that the kernels here have them. */
export const squareSums = (caps: GpuCaps) => either(caps, [squaresShuffle], [squaresShared]);

/**
 * y[m,n] = x[m,k]·w[n,k], rows of x read where they lie; undefined where it does not suit. Its sums, the norming kernels' and the
 * tile's are the same to the bit, whatever m is: a token must not depend on how many are drawn at once.
 */
export function gemvPlan(
  { m, n, k }: Record<'m' | 'n' | 'k', number>,
  caps: GpuCaps,
  half: boolean,
): (GpuPass & { constants: object }) | undefined {
  // Without subgroups the sums of many rows would go through workgroup memory for too long; they are the tile's.
  if (k % (half ? 8 : 4) || (m > TEAM_ROWS && !shuffles(caps))) return undefined;
  const rows = Math.min(powerOfTwo(m), TEAM_ROWS);
  // The more rows of w a team has, the less of x is read; but all of the device should have some.
  const few = m <= FUSED_ROWS || !shuffles(caps);
  const usual = few ? (n >= 2048 ? 2 : 1) : m * n >= 24576 ? 8 : m * n >= 8192 ? 2 : 1;
  const each = caps.choose('rows', EACH, usual);
  const wg = few ? WG : WG / 2;
  const x = ceilDiv(n, (wg / 32) * each);
  if (x > 65535) return undefined;
  const texts = either(caps, [sums, teamShuffle], [sums, teamShared]);
  return {
    ...common(texts, half, { WG: wg, M: rows, N: n, K: k, R: each }),
    vec4: ['x'],
    workgroups: [x, ceilDiv(m, rows)],
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
): (GpuPass & { constants: object }) | undefined {
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
  const each = caps.choose('rows', able, usual);
  const x = ceilDiv(n, (WG / 32) * each);
  const [shuffle, shared] = [
    [sums, normed, teamShuffle, squaresShuffle],
    [sums, normed, teamShared, squaresShared],
  ];
  return { ...common(either(caps, shuffle, shared), half, { WG, M: rows, N: n, K: k, R: each }), workgroups: [x] };
}

const common = (texts: object, half: boolean, constants: Record<string, number>) => ({
  ...texts,
  constants: { HALF: half ? 1 : 0, ...constants },
  elements: { w: 'vec4<u32>' },
  spaced: true,
});

const powerOfTwo = (n: number) => 2 ** Math.ceil(Math.log2(n));

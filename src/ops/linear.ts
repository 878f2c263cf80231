/** y[m,n] = Σₖ x[m,k]·w[n,k] (+ bias[n]) (+ residual[m,n]). Weights are [out, in], as in the checkpoints. */
import shader from '../../shaders/linear.wgsl';
import { alone, gemvPlan, gemvTilePlan } from './gemv.js';
import { ceilDiv, composite, entry, type GpuCaps, type GpuPass, type GpuPlan, grid, type TensorSpec } from './spec.js';
import { HALF_EXTENSIONS, halfTileOf, type Tile, tiledPlan } from './tile.js';

interface Product {
  entry: string;
  /** Rows and columns of the sums. */
  rows: number;
  columns: number;
  vec4: string[];
  /** Memory order of the factors. By default both are contiguous along the summed dimension. */
  constants?: Record<string, number>;
  /**
   * Number of partial sums over chunks of the summed dimension. The default is 1, which alone allows more than 65535 tiles of
   * rows.
   */
  parts?: number;
}

/** Plans a launch that makes `rows` × `columns` sums in tiles. */
function product(p: Product, caps: GpuCaps): GpuPlan {
  return tiledPlan(p.rows, p.columns, p.parts ?? 1, caps, (tile) => inTiles(p, tile));
}

/**
 * Like `product`, with factors in f16 and `depth` terms in each sum. Returns undefined if the sizes or the device do not allow
 * it.
 */
function halfProduct(p: Product, depth: number, caps: GpuCaps): GpuPass | undefined {
  const tile = halfTileOf(p.rows, p.columns, depth, caps);
  return tile && { ...inTiles(p, tile), enable: HALF_EXTENSIONS };
}

function inTiles(
  { entry, rows, columns, vec4, constants = { A_ALONG_K: 1, B_ALONG_K: 1 }, parts }: Product,
  tile: Tile,
): GpuPass {
  const down = ceilDiv(rows, tile.size);
  const workgroups: GpuPass['workgroups'] = [ceilDiv(columns, tile.size), ...(parts ? ([down, parts] as const) : grid(down))];
  return { entry, sections: [tile.section], constants: { TILE: tile.size, ...constants }, vec4, workgroups };
}

/** Says if dy is stored as f16 (shaders/lib/gradient_scale.wgsl). */
const stored = (half: ReadonlySet<string>) => ({ STORED: half.has('dy') ? 1 : 0 });

const FORWARD = {
  x: { shape: 'm k', io: 'in', half: true },
  w: { shape: 'n k', io: 'in', half: true },
  bias: { shape: 'n', io: 'in', optional: true },
  residual: { shape: 'm n', io: 'in', optional: true },
  y: { shape: 'm n', io: 'out', half: true },
} as const satisfies Record<string, TensorSpec>;

export const linear = {
  forward: entry('linear', 'forward', shader, {
    tensors: FORWARD,
    batch: 'm',
    webgpu({ m, n, k }, caps) {
      const vectors = k % 4 === 0;
      const sums = { rows: m, columns: n };
      const all = ['x', 'w', 'bias', 'residual', 'y'];
      return (
        (vectors && n % 4 === 0 && halfProduct({ ...sums, entry: 'forward_f16', vec4: all }, k, caps)) ||
        product({ ...sums, entry: vectors ? 'forward_vec4' : 'forward', vec4: vectors ? ['x', 'w'] : [] }, caps)
      );
    },
    flops: ({ m, n, k }) => 2 * m * n * k,
    wasmParts: true,
    tolerance: { f32: 2e-6, f16: 1e-3, reason: 'k products summed in f32, in another order; f16 factors are 2^-11 off' },
  }),

  /** One position of m sequences. The sums of a row have the same bits for every m. */
  step: composite('linear', 'step', shader, {
    tensors: FORWARD,
    batch: 'm',
    parts: (be, t) => be.run(linear.forward, t),
    webgpu({ m, n, k }, caps, half) {
      const few = gemvPlan({ m, n, k }, caps, half.has('w'));
      if (few) return few;
      const tile = gemvTilePlan('step_tile', { m, n, k }, half.has('w'));
      if (!tile || !caps.software) return tile;
      const constants = { HALF: half.has('w') ? 1 : 0 };
      return { ...alone('step_alone', ceilDiv(n, 4) * ceilDiv(m, 4), ['x', 'w'], constants), series: true };
    },
    flops: ({ m, n, k }) => 2 * m * n * k,
    tolerance: { f32: 2e-6, reason: 'k products summed in f32, in another order' },
  }),

  backward_input: entry('linear', 'backward_input', shader, {
    tensors: {
      w: { shape: 'n k', io: 'in', half: true },
      dy: { shape: 'm n', io: 'in', half: true },
      dx: { shape: 'm k', io: 'out', half: true },
    },
    webgpu({ m, n, k }, caps, half) {
      const vectors = n % 4 === 0;
      const constants = { A_ALONG_K: 1, B_ALONG_K: 0 };
      const sums = { rows: m, columns: k, constants };
      const rounded = {
        ...sums,
        entry: 'backward_input_f16',
        constants: { ...constants, ...stored(half) },
        vec4: ['w', 'dy', 'dx'],
      };
      return (
        (vectors && k % 4 === 0 && halfProduct(rounded, n, caps)) ||
        product({ ...sums, entry: vectors ? 'backward_input_vec4' : 'backward_input', vec4: vectors ? ['dy'] : [] }, caps)
      );
    },
    flops: ({ m, n, k }) => 2 * m * n * k,
    wasmParts: true,
    tolerance: { f32: 3e-6, f16: 1e-3, reason: 'n products summed in f32, in another order; f16 factors are 2^-11 off' },
  }),

  /**
   * dw and dbias are p partial sums over chunks of rows. With p = 1 they are the gradients; otherwise `sum_rows` adds them up.
   */
  backward_weight: entry('linear', 'backward_weight', shader, {
    tensors: {
      x: { shape: 'm k', io: 'in', half: true },
      dy: { shape: 'm n', io: 'in', half: true },
      dw: { shape: 'p n k', io: 'inout' },
      dbias: { shape: 'p n', io: 'inout', optional: true },
    },
    webgpu({ m, n, k, p }, caps, half) {
      const constants = { A_ALONG_K: 0, B_ALONG_K: 0 };
      const sums = { rows: n, columns: k, parts: p };
      const whole = Number(m % 4 === 0 && ceilDiv(m, p) % 4 === 0);
      const rounded = {
        ...sums,
        entry: 'backward_weight_f16',
        constants: { ...constants, ...stored(half) },
        vec4: ['x', 'dy', 'dw'],
      };
      return (
        (n % 4 === 0 && k % 4 === 0 && halfProduct(rounded, m, caps)) ||
        product({ ...sums, entry: 'backward_weight', constants: { ...constants, WHOLE: whole }, vec4: [] }, caps)
      );
    },
    flops: ({ m, n, k }) => 2 * m * n * k,
    wasmParts: true,
    tolerance: { f32: 3e-6, f16: 1e-3, reason: 'm products summed in f32, in another order; f16 factors are 2^-11 off' },
  }),
};

/** Returns the entry that multiplies sequences of l positions. */
export const productOf = (l: number) => (l === 1 ? linear.step : linear.forward);

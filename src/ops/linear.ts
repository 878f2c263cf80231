/** y[m,n] = Σₖ x[m,k]·w[n,k] (+ bias[n]) (+ residual[m,n]). Weights are [out, in], as in the checkpoints. */
import shader from '../../shaders/linear.wgsl';
import { gemvPlan, gemvTilePlan } from './gemv.js';
import { ceilDiv, composite, entry, type GpuCaps, type GpuPass, grid, type TensorSpec } from './spec.js';
import { HALF_EXTENSIONS, halfTileOf, tileOf } from './tile.js';

/** A launch that makes `rows` × `columns` sums in tiles. */
function product(
  entry: string,
  rows: number,
  columns: number,
  caps: GpuCaps,
  vec4: string[],
  constants: Record<string, number> = { A_ALONG_K: 1, B_ALONG_K: 1 },
  parts = 1,
  tile = tileOf(rows, columns, parts, caps),
): GpuPass {
  const workgroups: GpuPass['workgroups'] = [ceilDiv(columns, tile.size), ...grid(ceilDiv(rows, tile.size))];
  return { entry, sections: [tile.section], constants, vec4, workgroups };
}

/** As `product`, of factors in f16 and `depth` terms a sum; undefined where that is not to be had. */
function halfProduct(
  entry: string,
  rows: number,
  columns: number,
  depth: number,
  caps: GpuCaps,
  vec4: string[],
  constants?: Record<string, number>,
): GpuPass | undefined {
  const tile = halfTileOf(rows, columns, depth, caps);
  return tile && { ...product(entry, rows, columns, caps, vec4, constants, 1, tile), enable: HALF_EXTENSIONS };
}

const FORWARD = {
  x: { shape: 'm k', io: 'in' },
  w: { shape: 'n k', io: 'in', half: true },
  bias: { shape: 'n', io: 'in', optional: true },
  residual: { shape: 'm n', io: 'in', optional: true },
  y: { shape: 'm n', io: 'out' },
} as const satisfies Record<string, TensorSpec>;

export const linear = {
  forward: entry('linear', 'forward', shader, {
    tensors: FORWARD,
    webgpu({ m, n, k }, caps) {
      const vectors = k % 4 === 0;
      return (
        (vectors && n % 4 === 0 && halfProduct('forward_f16', m, n, k, caps, ['x', 'w', 'bias', 'residual', 'y'])) ||
        product(vectors ? 'forward_vec4' : 'forward', m, n, caps, vectors ? ['x', 'w'] : [])
      );
    },
    flops: ({ m, n, k }) => 2 * m * n * k,
    wasmParts: true,
    tolerance: { f32: 2e-6, f16: 1e-3, reason: 'k products summed in f32, in another order; f16 factors are 2^-11 off' },
  }),

  /** One position of m sequences: a row's sums are the same to the bit whatever m is. */
  step: composite('linear', 'step', shader, {
    tensors: FORWARD,
    parts: (be, t) => be.run(linear.forward, t),
    webgpu({ m, n, k }, caps, half) {
      const few = gemvPlan({ m, n, k }, caps, half.has('w'));
      if (few) return few;
      const more = gemvTilePlan({ m, n, k }, half.has('w'));
      return more && { ...more, entry: 'step_tile' };
    },
    flops: ({ m, n, k }) => 2 * m * n * k,
    tolerance: { f32: 2e-6, reason: 'k products summed in f32, in another order' },
  }),

  backward_input: entry('linear', 'backward_input', shader, {
    tensors: {
      w: { shape: 'n k', io: 'in', half: true },
      dy: { shape: 'm n', io: 'in' },
      dx: { shape: 'm k', io: 'out' },
    },
    webgpu({ m, n, k }, caps) {
      const along = { A_ALONG_K: 1, B_ALONG_K: 0 };
      return (
        (n % 4 === 0 && k % 4 === 0 && halfProduct('backward_input_f16', m, k, n, caps, ['w', 'dy', 'dx'], along)) ||
        product(n % 4 === 0 ? 'backward_input_vec4' : 'backward_input', m, k, caps, n % 4 === 0 ? ['dy'] : [], along)
      );
    },
    flops: ({ m, n, k }) => 2 * m * n * k,
    wasmParts: true,
    tolerance: { f32: 3e-6, f16: 1e-3, reason: 'n products summed in f32, in another order; f16 factors are 2^-11 off' },
  }),

  /** dw and dbias are p partial sums over chunks of rows; p = 1 are the gradients themselves, more go through `sum_rows`. */
  backward_weight: entry('linear', 'backward_weight', shader, {
    tensors: {
      x: { shape: 'm k', io: 'in' },
      dy: { shape: 'm n', io: 'in' },
      dw: { shape: 'p n k', io: 'inout' },
      dbias: { shape: 'p n', io: 'inout', optional: true },
    },
    webgpu({ m, n, k, p }, caps) {
      const along = { A_ALONG_K: 0, B_ALONG_K: 0 };
      const half = n % 4 === 0 && k % 4 === 0 && halfProduct('backward_weight_f16', n, k, m, caps, ['x', 'dy', 'dw'], along);
      const whole = Number(m % 4 === 0 && ceilDiv(m, p) % 4 === 0);
      const pass = half || product('backward_weight', n, k, caps, [], { ...along, WHOLE: whole }, p);
      const [columns, rows] = pass.workgroups;
      return { ...pass, workgroups: [columns, rows, p] };
    },
    flops: ({ m, n, k }) => 2 * m * n * k,
    wasmParts: true,
    tolerance: { f32: 3e-6, f16: 1e-3, reason: 'm products summed in f32, in another order; f16 factors are 2^-11 off' },
  }),
};

/** The product for sequences of l positions each. */
export const productOf = (l: number) => (l === 1 ? linear.step : linear.forward);

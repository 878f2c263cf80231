/**
 * y[b,oy,ox,o] = bias[o] + Σ w[o,ky,kx,c]·xv[b, oy·stride+ky-pad_y, ox·stride+kx-pad_x, c] (+ residual), channels last.
 * xv is x with every pixel repeated up×up times (nearest upsampling), surrounded by zeros. At the right and the bottom there are
 * as many zeros as ho and wo require. Weights are [co, kh, kw, ci]. Use `linear` for 1×1 convolutions.
 */
import shader from '../../shaders/conv2d.wgsl';
import { ceilDiv, entry, type GpuCaps, type GpuPass, type GpuPlan, grid } from './spec.js';
import { HALF_EXTENSIONS, hasMatrixUnits, TILE_SIZE as TILE } from './tile.js';

export type Sizes = Record<
  'b' | 'hi' | 'wi' | 'ci' | 'co' | 'kh' | 'kw' | 'ho' | 'wo' | 'stride' | 'pad_y' | 'pad_x' | 'up',
  number
>;

function check({ hi, wi, kh, kw, ho, wo, stride, pad_y, pad_x, up }: Sizes): string | undefined {
  if (stride < 1 || up < 1) return `stride is ${stride} and up ${up}, expected at least 1; pass both.`;
  if (pad_y >= kh || pad_x >= kw)
    return `pad_y is ${pad_y} and pad_x ${pad_x}, expected less than the kernel's ${kh}×${kw}; lower them.`;
  for (const [name, n, size, pad] of [
    ['ho', ho, hi * up, pad_y],
    ['wo', wo, wi * up, pad_x],
  ] as const) {
    const most = Math.floor((size + pad - 1) / stride) + 1;
    if (n > most)
      return `${name} is ${n}, but only ${most} windows start inside the input of ${size}; make ${name} at most ${most}.`;
  }
  return undefined;
}

/** Rows and columns of a patch of pixels in shaders/lib/conv2d_patch.wgsl. */
const PATCH = [8, 16] as const;
/**
 * If an image makes few workgroups, sums over its channels are split into parts. These are the fewest channels of a part, and the
 * most bytes of all partial sums.
 */
const LEAST_PART = 64;
const PART_BYTES = 2 ** 27;

/** Workgroup memory of shaders/lib/conv2d_patch_f16.wgsl. */
const MATRIX_BYTES = 45120;

type Suffix = '' | '_backward';

/**
 * Plans 3×3 windows at stride 1 in patches of pixels, from x to y or, backward, from dy to dx. Returns undefined for other sizes.
 */
function patchPlan(d: Sizes, caps: GpuCaps, backward: Suffix): GpuPlan | undefined {
  const { b, kh, kw, stride, up } = d;
  const [ho, wo, ci, co] = backward ? [d.hi, d.wi, d.co, d.ci] : [d.ho, d.wo, d.ci, d.co];
  const patches = ceilDiv(ho, PATCH[0]) * ceilDiv(wo, PATCH[1]);
  if (kh !== 3 || kw !== 3 || stride !== 1 || (backward && up > 1) || ci % 4) return undefined;
  if (!backward && co <= 4)
    return {
      entry: 'few',
      sections: ['patches', 'taps'],
      constants: { UP: up, CO: co },
      vec4: ['x', 'w'],
      workgroups: [1, ...grid(b * patches)],
    };
  if (ci % 8 || co % 4 || 4 * ho * wo < patches * PATCH[0] * PATCH[1]) return undefined;
  const matrix = hasMatrixUnits(caps, MATRIX_BYTES) && ci % 32 === 0 && co > 32;
  const [name, slab, most] = matrix ? (['matrix', 128, 64] as const) : (['windows', 64, 256] as const);
  const slabs = ceilDiv(co, slab);
  const size = b * ho * wo * co;
  // The number of parts depends on the size of one image only, so that its result does not depend on the batch. PART_BYTES
  // matters in training only.
  let parts = 1;
  while (2 * parts * patches * slabs <= most && ci % (2 * parts * LEAST_PART) === 0 && 8 * parts * size <= PART_BYTES) parts *= 2;
  const scale = backward ? ['scale_backward'] : [];
  const pass = {
    entry: name,
    sections: ['patches', `taps${backward}`, ...scale],
    constants: { UP: up, PARTS: parts, ...(backward && { ROUNDED: Number(matrix) }) },
    vec4: backward ? ['dy', 'dx', 'parts'] : ['x', 'w', 'bias', 'residual', 'y', 'parts'],
    ...(matrix && { enable: HALF_EXTENSIONS }),
  };
  const workgroups: GpuPass['workgroups'] = [slabs * parts, ...grid(b * patches)];
  if (parts === 1) return { ...pass, sections: [...pass.sections, `finish${backward}`], workgroups };
  const [from, rest, to] = backward ? [['w', 'dy'], [], ['dx']] : [['x', 'w'], ['bias', 'residual'], ['y']];
  const passes: GpuPass[] = [
    { ...pass, sections: [...pass.sections, 'keep'], reads: from, writes: ['parts'], workgroups },
    {
      entry: `join${backward}`,
      sections: scale,
      constants: pass.constants,
      vec4: pass.vec4,
      reads: [...rest, 'parts'],
      writes: to,
      workgroups: grid(ceilDiv(size / 4, 256)),
    },
  ];
  return { passes, workspaces: { parts: parts * size } };
}

export const conv2d = {
  forward: entry('conv2d', 'forward', shader, {
    tensors: {
      x: { shape: 'b hi wi ci', io: 'in' },
      w: { shape: 'co kh kw ci', io: 'in', half: true },
      bias: { shape: 'co', io: 'in' },
      residual: { shape: 'b ho wo co', io: 'in', optional: true },
      y: { shape: 'b ho wo co', io: 'out' },
    },
    batch: 'b',
    attrs: { stride: 'u32', pad_y: 'u32', pad_x: 'u32', up: 'u32' },
    check,
    webgpu: (d, caps) =>
      patchPlan(d, caps, '') ?? {
        entry: d.ci % 4 === 0 ? 'forward_vec4' : 'forward',
        constants: { A_ALONG_K: 1, B_ALONG_K: 1, TILE, UP: d.up },
        vec4: d.ci % 4 === 0 ? ['x', 'w'] : [],
        workgroups: [ceilDiv(d.co, TILE), ...grid(ceilDiv(d.b * d.ho * d.wo, TILE))],
      },
    flops: ({ b, ho, wo, co, kh, kw, ci }) => 2 * b * ho * wo * co * kh * kw * ci,
    wasmParts: true,
    tolerance: { f32: 3e-6, f16: 1e-3, reason: 'kh·kw·ci products summed in f32, in another order; f16 factors are 2^-11 off' },
  }),

  backward_input: entry('conv2d', 'backward_input', shader, {
    tensors: {
      w: { shape: 'co kh kw ci', io: 'in', half: true },
      dy: { shape: 'b ho wo co', io: 'in' },
      dx: { shape: 'b hi wi ci', io: 'out' },
    },
    attrs: { stride: 'u32', pad_y: 'u32', pad_x: 'u32', up: 'u32' },
    check,
    webgpu: (d, caps) =>
      patchPlan(d, caps, '_backward') ?? {
        entry: d.co % 4 === 0 ? 'backward_input_vec4' : 'backward_input',
        constants: { A_ALONG_K: 1, B_ALONG_K: 0, TILE, UP: d.up },
        vec4: d.co % 4 === 0 ? ['dy'] : [],
        workgroups: [ceilDiv(d.ci, TILE), ...grid(ceilDiv(d.b * d.hi * d.wi, TILE))],
      },
    flops: ({ b, ho, wo, co, kh, kw, ci }) => 2 * b * ho * wo * co * kh * kw * ci,
    wasmParts: true,
    tolerance: { f32: 3e-6, f16: 1e-3, reason: 'kh·kw·co products summed in f32, in another order; f16 factors are 2^-11 off' },
  }),

  /**
   * dw and dbias are p partial sums over chunks of pixels. With p = 1 they are the gradients; otherwise `sum_rows` adds them up.
   */
  backward_weight: entry('conv2d', 'backward_weight', shader, {
    tensors: {
      x: { shape: 'b hi wi ci', io: 'in' },
      dy: { shape: 'b ho wo co', io: 'in' },
      dw: { shape: 'p co kh kw ci', io: 'inout' },
      dbias: { shape: 'p co', io: 'inout', optional: true },
    },
    attrs: { stride: 'u32', pad_y: 'u32', pad_x: 'u32', up: 'u32' },
    check,
    webgpu: ({ co, kh, kw, ci, p, up }) => ({
      constants: { A_ALONG_K: 0, B_ALONG_K: 0, TILE, UP: up },
      workgroups: [ceilDiv(kh * kw * ci, TILE), ceilDiv(co, TILE), p],
    }),
    flops: ({ b, ho, wo, co, kh, kw, ci }) => 2 * b * ho * wo * co * kh * kw * ci,
    wasmParts: true,
    tolerance: { f32: 3e-6, reason: 'b·ho·wo products summed in f32, in another order' },
  }),
};

/**
 * sum = res + gate·x (res or gate may be left out);  u = sum / √(mean(sum²) + eps) · weight;  y = u·(1 + scale) + shift.
 * The adaLN vectors are rows of one tensor: shift is row 0, scale is row 1 and gate is row 2. One pass does the gate and residual
 * at the end of a layer and the norm and modulation at the start of the next. Source: Zhang and Sennrich 2019 (RMSNorm).
 */
import shader from '../../shaders/add_rms_norm.wgsl';
import { alone, squareSums } from './gemv.js';
import { ceilDiv, entry, grid, rowThreads } from './spec.js';

export const addRmsNorm = {
  forward: entry('add_rms_norm', 'forward', shader, {
    tensors: {
      x: { shape: 'm l d', io: 'in', half: true },
      res: { shape: 'm l d', io: 'in', optional: true },
      gate: { shape: 'm g d', io: 'in', optional: true },
      weight: { shape: 'd', io: 'in' },
      modulation: { shape: 'm c d', io: 'in', optional: true },
      sum: { shape: 'm l d', io: 'out', optional: true },
      y: { shape: 'm l d', io: 'out', half: true },
    },
    attrs: { eps: 'f32' },
    check({ g, c }) {
      if (g !== 0 && g !== 3) return `gate has ${g} rows, expected 3; pass the [m, 3, d] of shift, scale and gate.`;
      if (c === 1) return 'modulation has 1 row, expected shift and scale; pass [m, 2, d] or [m, 3, d].';
      return undefined;
    },
    webgpu({ m, l, d }, caps) {
      if (d % 4) return { constants: { PER: ceilDiv(d, 256) }, workgroups: grid(m * l) };
      const vec4 = ['x', 'res', 'gate', 'weight', 'modulation', 'sum', 'y'];
      if (caps.software) return alone('forward_alone', m * l, vec4);
      return {
        entry: 'forward_vec4',
        ...squareSums(caps),
        constants: { WG: 256, M: 1, PER: ceilDiv(d, 4 * 256) },
        vec4,
        workgroups: grid(m * l),
      };
    },
    tolerance: { f32: 2e-6, reason: 'd squares summed in f32, in another order' },
  }),
  /**
   * Reads the saved sum and the gradients of y and, if later layers read it, of sum. Computes dres, the complete gradient of sum.
   * It is also the gradient of res and, without a gate, of x. `rows` gets sums over each of w parts of a sequence, which
   * `backward_params` reads.
   */
  backward: entry('add_rms_norm', 'backward', shader, {
    tensors: {
      sum: { shape: 'm l d', io: 'in' },
      weight: { shape: 'd', io: 'in' },
      modulation: { shape: 'm c d', io: 'in', optional: true },
      dy: { shape: 'm l d', io: 'in', half: true },
      dsum: { shape: 'm l d', io: 'in', optional: true },
      dres: { shape: 'm l d', io: 'out' },
      rows: { shape: 'm w 2 d', io: 'out' },
    },
    attrs: { eps: 'f32' },
    check({ l, c, w }) {
      if (c === 1) return 'modulation has 1 row, expected shift and scale; pass [m, 2, d] or [m, 3, d].';
      return w <= l ? undefined : `rows has ${w} parts for ${l} positions; pass at most ${l} (partsOf).`;
    },
    webgpu({ m, w, d }) {
      const vec = d % 4 === 0;
      return {
        entry: vec ? 'backward_vec4' : 'backward',
        constants: rowThreads(vec ? d / 4 : d),
        vec4: vec ? ['sum', 'weight', 'modulation', 'dy', 'dsum', 'dres', 'rows'] : [],
        workgroups: grid(m * w),
      };
    },
    tolerance: { f32: 4e-6, reason: 'two sums over d and one over positions in f32, in another order' },
  }),
  /**
   * Computes, from `rows`, the shift and scale of dmodulation, and for each sequence the gradient of weight, which sum_rows adds
   * up.
   */
  backward_params: entry('add_rms_norm', 'backward_params', shader, {
    tensors: {
      rows: { shape: 'm w 2 d', io: 'in' },
      weight: { shape: 'd', io: 'in' },
      modulation: { shape: 'm c d', io: 'in', optional: true },
      dmodulation: { shape: 'm c d', io: 'inout', optional: true },
      dweight_rows: { shape: 'm d', io: 'out' },
    },
    check: ({ c }) => (c === 1 ? 'modulation has 1 row, expected shift and scale; pass [m, 2, d] or [m, 3, d].' : undefined),
    webgpu: ({ m, d }) => ({ constants: { WG: 64 }, workgroups: grid(ceilDiv(m * d, 64)) }),
    tolerance: { f32: 2e-6, reason: 'w numbers summed in f32, in another order' },
  }),
  /** Used if x has a gate. Computes dx, and the gate's row of dgate, from dres, the gradient of sum. */
  backward_gate: entry('add_rms_norm', 'backward_gate', shader, {
    tensors: {
      x: { shape: 'm l d', io: 'in', half: true },
      gate: { shape: 'm 3 d', io: 'in' },
      dres: { shape: 'm l d', io: 'in' },
      dx: { shape: 'm l d', io: 'out', half: true },
      dgate: { shape: 'm 3 d', io: 'inout' },
    },
    webgpu: ({ m, d }) => ({ constants: { COLUMNS: 32 }, workgroups: grid(m * ceilDiv(d, 32)) }),
    tolerance: { f32: 3e-6, reason: 'l products summed in f32, in another order' },
  }),
};

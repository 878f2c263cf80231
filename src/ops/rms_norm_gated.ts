/**
 * v = x·SiLU(z);  y = v / √(mean(v²) + eps) · weight, the mean over each of `groups` equal groups of channels: Mamba-2's norm.
 * z is channels z_offset.. of a wider tensor, the output of in_proj. Dao and Gu 2024, §7.
 */
import shader from '../../shaders/rms_norm_gated.wgsl';
import { workgroupSums } from './gemv.js';
import { sigmoid, siluSlope } from './silu.js';
import { ceilDiv, entry, grid } from './spec.js';

/** What is wrong with the sizes that both entries share. */
function misfit({ e, s, groups, z_offset }: Record<'e' | 's' | 'groups' | 'z_offset', number>): string | undefined {
  if (!(groups >= 1) || e % groups !== 0)
    return `${e} channels do not split into ${groups} groups; choose groups that divide ${e}.`;
  if (z_offset + e > s)
    return `z has ${s} channels, expected at least z_offset + e = ${z_offset + e}; lower z_offset or pass the wider z.`;
  return undefined;
}

export const rmsNormGated = {
  forward: entry('rms_norm_gated', 'forward', shader, {
    tensors: {
      x: { shape: 'm l e', io: 'in' },
      z: { shape: 'm l s', io: 'in' },
      weight: { shape: 'e', io: 'in' },
      y: { shape: 'm l e', io: 'out' },
    },
    attrs: { groups: 'u32', z_offset: 'u32', eps: 'f32' },
    check: misfit,
    reference({ x, z, weight, y }, { m, l, e, s, groups, z_offset, eps }) {
      const width = e / groups;
      const v = new Float64Array(width);
      for (let row = 0; row < m * l; row++) {
        for (let g = 0; g < groups; g++) {
          let squares = 0;
          for (let q = 0; q < width; q++) {
            const ch = g * width + q;
            const zi = z[row * s + z_offset + ch]!;
            v[q] = x[row * e + ch]! * zi * sigmoid(zi);
            squares += v[q]! ** 2;
          }
          for (let q = 0; q < width; q++) {
            const ch = g * width + q;
            y[row * e + ch] = (v[q]! / Math.sqrt(squares / width + eps)) * weight[ch]!;
          }
        }
      }
    },
    webgpu({ m, l, e, s, groups, z_offset }, caps) {
      const width = e / groups;
      const workgroups = grid(m * l * groups);
      if (width % 4 || s % 4 || z_offset % 4) return { constants: { PER: ceilDiv(width, 256) }, workgroups };
      return {
        entry: 'forward_vec4',
        ...workgroupSums(caps),
        constants: { WG: 256, PER: ceilDiv(width, 4 * 256) },
        vec4: ['x', 'z', 'weight', 'y'],
        workgroups,
      };
    },
    flops: ({ m, l, e }) => 16 * m * l * e,
    wasmParts: true,
    tolerance: { f32: 3e-6, reason: 'an exp and e/groups squares summed in f32, in another order' },
  }),
  /**
   * dx; dz into the channels of z in a tensor like z, whose others are left alone; and sums over each of w parts of the rows for
   * the gradient of weight, to be added up by sum_rows.
   */
  backward: entry('rms_norm_gated', 'backward', shader, {
    tensors: {
      x: { shape: 'm l e', io: 'in' },
      z: { shape: 'm l s', io: 'in' },
      weight: { shape: 'e', io: 'in' },
      dy: { shape: 'm l e', io: 'in' },
      dx: { shape: 'm l e', io: 'out' },
      dz: { shape: 'm l s', io: 'inout' },
      dweight_rows: { shape: 'w e', io: 'out' },
    },
    attrs: { groups: 'u32', z_offset: 'u32', eps: 'f32' },
    check: (d) =>
      misfit(d) ??
      (d.w <= d.m * d.l ? undefined : `dweight_rows has ${d.w} parts for ${d.m * d.l} rows; pass at most that many (partsOf).`),
    reference({ x, z, weight, dy, dx, dz, dweight_rows }, { m, l, e, s, w, groups, z_offset, eps }) {
      const width = e / groups;
      const span = Math.ceil((m * l) / w);
      dweight_rows.fill(0);
      for (let row = 0; row < m * l; row++) {
        for (let g = 0; g < groups; g++) {
          let squares = 0;
          let inner = 0;
          for (let ch = g * width; ch < (g + 1) * width; ch++) {
            const at = row * e + ch;
            const zi = z[row * s + z_offset + ch]!;
            const v = x[at]! * zi * sigmoid(zi);
            squares += v ** 2;
            inner += dy[at]! * weight[ch]! * v;
          }
          const r = 1 / Math.sqrt(squares / width + eps);
          for (let ch = g * width; ch < (g + 1) * width; ch++) {
            const at = row * e + ch;
            const zi = z[row * s + z_offset + ch]!;
            const v = x[at]! * zi * sigmoid(zi);
            // forward: y = v·r·weight, r = (Σ v²/width + eps)^-½  ⇒  dv = dy·weight·r - v·r³·Σ(dy·weight·v)/width
            const dv = dy[at]! * weight[ch]! * r - (v * r ** 3 * inner) / width;
            // forward: v = x·SiLU(z)  ⇒  dx = dv·SiLU(z), dz = dv·x·SiLU'(z)
            dx[at] = dv * zi * sigmoid(zi);
            dz[row * s + z_offset + ch] = dv * x[at]! * siluSlope(zi);
            // forward: y = v·r·weight  ⇒  dweight += Σ dy·v·r
            const to = Math.floor(row / span) * e + ch;
            dweight_rows[to] = dweight_rows[to]! + dy[at]! * v * r;
          }
        }
      }
    },
    webgpu: ({ w, e, groups }) => ({ constants: { PER: ceilDiv(e / groups, 256) }, workgroups: grid(w * groups) }),
    flops: ({ m, l, e }) => 32 * m * l * e,
    wasmParts: true,
    tolerance: { f32: 4e-6, reason: 'an exp, two sums over e/groups and one over rows in f32, in another order' },
  }),
};

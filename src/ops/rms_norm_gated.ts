/**
 * v = x·SiLU(z);  y = v / √(mean(v²) + eps) · weight. The mean is over each of `groups` equal groups of channels. This is
 * Mamba-2's norm (Dao and Gu 2024, §7). z is the channels from z_offset on of a wider tensor, the output of in_proj.
 */
import shader from '../../shaders/rms_norm_gated.wgsl';
import { alone, squareSums } from './gemv.js';
import { ceilDiv, entry, grid, rowThreads } from './spec.js';

/** Checks the sizes that both entries share. Returns what is wrong with them, or undefined. */
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
      x: { shape: 'm l e', io: 'in', half: true },
      z: { shape: 'm l s', io: 'in', half: true },
      weight: { shape: 'e', io: 'in' },
      y: { shape: 'm l e', io: 'out', half: true },
    },
    attrs: { groups: 'u32', z_offset: 'u32', eps: 'f32' },
    check: misfit,
    webgpu({ m, l, e, s, groups, z_offset }, caps) {
      const width = e / groups;
      const workgroups = grid(m * l * groups);
      if (width % 4 || s % 4 || z_offset % 4) return { constants: { PER: ceilDiv(width, 256) }, workgroups };
      const vec4 = ['x', 'z', 'weight', 'y'];
      if (caps.software) return alone('forward_alone', m * l * groups, vec4);
      return {
        entry: 'forward_vec4',
        ...squareSums(caps),
        constants: { WG: 256, M: 1, PER: ceilDiv(width, 4 * 256) },
        vec4,
        workgroups,
      };
    },
    flops: ({ m, l, e }) => 16 * m * l * e,
    wasmParts: true,
    tolerance: { f32: 3e-6, reason: 'an exp and e/groups squares summed in f32, in another order' },
  }),
  /**
   * Computes dx. Writes dz into the channels of z in a tensor like z, and leaves its other channels alone. Writes sums over each
   * of w parts of the rows for the gradient of weight, which sum_rows adds up.
   */
  backward: entry('rms_norm_gated', 'backward', shader, {
    tensors: {
      x: { shape: 'm l e', io: 'in', half: true },
      z: { shape: 'm l s', io: 'in', half: true },
      weight: { shape: 'e', io: 'in' },
      dy: { shape: 'm l e', io: 'in', half: true },
      dx: { shape: 'm l e', io: 'out', half: true },
      dz: { shape: 'm l s', io: 'inout', half: true },
      dweight_rows: { shape: 'w e', io: 'out' },
    },
    attrs: { groups: 'u32', z_offset: 'u32', eps: 'f32' },
    check: (d) =>
      misfit(d) ??
      (d.w <= d.m * d.l ? undefined : `dweight_rows has ${d.w} parts for ${d.m * d.l} rows; pass at most that many (partsOf).`),
    webgpu({ w, e, s, groups, z_offset }) {
      const vec = (e / groups) % 4 === 0 && s % 4 === 0 && z_offset % 4 === 0;
      return {
        entry: vec ? 'backward_vec4' : 'backward',
        constants: rowThreads(e / groups / (vec ? 4 : 1)),
        vec4: vec ? ['x', 'z', 'weight', 'dy', 'dx', 'dz', 'dweight_rows'] : [],
        workgroups: grid(w * groups),
      };
    },
    flops: ({ m, l, e }) => 32 * m * l * e,
    wasmParts: true,
    tolerance: { f32: 4e-6, reason: 'an exp, two sums over e/groups and one over rows in f32, in another order' },
  }),
};

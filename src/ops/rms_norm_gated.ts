/**
 * v = x·SiLU(z);  y = v / √(mean(v²) + eps) · weight, the mean over each of `groups` equal groups of channels: Mamba-2's norm.
 * z is channels z_offset.. of a wider tensor, the output of in_proj. Dao and Gu 2024, §7.
 */
import shader from '../../shaders/rms_norm_gated.wgsl';
import { sigmoid } from './silu.js';
import { ceilDiv, entry, grid } from './spec.js';

export const rmsNormGated = {
  forward: entry('rms_norm_gated', 'forward', shader, {
    tensors: {
      x: { shape: 'm l e', io: 'in' },
      z: { shape: 'm l s', io: 'in' },
      weight: { shape: 'e', io: 'in' },
      y: { shape: 'm l e', io: 'out' },
    },
    attrs: { groups: 'u32', z_offset: 'u32', eps: 'f32' },
    check({ e, s, groups, z_offset }) {
      if (!(groups >= 1) || e % groups !== 0)
        return `${e} channels do not split into ${groups} groups; choose groups that divide ${e}.`;
      if (z_offset + e > s)
        return `z has ${s} channels, expected at least z_offset + e = ${z_offset + e}; lower z_offset or pass the wider z.`;
      return undefined;
    },
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
    webgpu: ({ m, l, e, groups }) => ({ constants: { PER: ceilDiv(e / groups, 256) }, workgroups: grid(m * l * groups) }),
    tolerance: { f32: 3e-6, reason: 'an exp and e/groups squares summed in f32, in another order' },
  }),
};

/**
 * y = groups[:, group] + table. Makes a layer's adaLN vectors (shift, scale, gate) from those that its group shares (AiM, §3.3).
 */
import shader from '../../shaders/group_modulation.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export const groupModulation = {
  forward: entry('group_modulation', 'forward', shader, {
    tensors: {
      groups: { shape: 'm g 3 d', io: 'in' },
      table: { shape: '1 3 d', io: 'in' },
      y: { shape: 'm 3 d', io: 'out' },
    },
    attrs: { group: 'u32' },
    check: ({ g, group }) => (group < g ? undefined : `there is no group ${group} of ${g}; pass 0 to ${g - 1}.`),
    webgpu: ({ m, d }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(m * 3 * d, 256)) }),
    tolerance: { f32: 1e-7, reason: 'one addition' },
  }),
  backward: entry('group_modulation', 'backward', shader, {
    tensors: {
      dy: { shape: 'm 3 d', io: 'in' },
      dgroups: { shape: 'm g 3 d', io: 'inout' },
      dtable: { shape: '1 3 d', io: 'inout' },
    },
    attrs: { group: 'u32' },
    check: ({ g, group }) => (group < g ? undefined : `there is no group ${group} of ${g}; pass 0 to ${g - 1}.`),
    webgpu: ({ d }) => ({ constants: { WG: 64 }, workgroups: grid(ceilDiv(3 * d, 64)) }),
    tolerance: { f32: 1e-6, reason: 'm numbers summed in f32, in another order' },
  }),
};

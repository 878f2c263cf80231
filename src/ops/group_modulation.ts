/**
 * y = groups[:, group] + table. Makes a layer's r adaLN vectors (shift, scale, gate; with an MLP two of each) from those that its group shares (AiM, §3.3).
 */
import shader from '../../shaders/group_modulation.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export const groupModulation = {
  forward: entry('group_modulation', 'forward', shader, {
    tensors: {
      groups: { shape: 'm g r d', io: 'in' },
      table: { shape: '1 r d', io: 'in' },
      y: { shape: 'm r d', io: 'out' },
    },
    attrs: { group: 'u32' },
    check: ({ g, group }) => (group < g ? undefined : `there is no group ${group} of ${g}; pass 0 to ${g - 1}.`),
    webgpu: ({ m, r, d }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(m * r * d, 256)) }),
    tolerance: { f32: 1e-7, reason: 'one addition' },
  }),
  backward: entry('group_modulation', 'backward', shader, {
    tensors: {
      dy: { shape: 'm r d', io: 'in' },
      dgroups: { shape: 'm g r d', io: 'inout' },
      dtable: { shape: '1 r d', io: 'inout' },
    },
    attrs: { group: 'u32' },
    check: ({ g, group }) => (group < g ? undefined : `there is no group ${group} of ${g}; pass 0 to ${g - 1}.`),
    webgpu: ({ r, d }) => ({ constants: { WG: 64 }, workgroups: grid(ceilDiv(r * d, 64)) }),
    tolerance: { f32: 1e-6, reason: 'm numbers summed in f32, in another order' },
  }),
};

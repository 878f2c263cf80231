/** y[m] = table[ids[m]]. An id past the end of the table reads the last row. */
import shader from '../../shaders/embedding.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export const embedding = {
  forward: entry('embedding', 'forward', shader, {
    tensors: {
      table: { shape: 'v d', io: 'in' },
      ids: { shape: 'm', io: 'in', dtype: 'u32' },
      y: { shape: 'm d', io: 'out' },
    },
    webgpu({ d, m }) {
      const vec = d % 4 === 0 ? 4 : 1;
      return {
        constants: { WG: 256, VEC: vec },
        vec4: vec === 4 ? ['table', 'y'] : [],
        workgroups: grid(ceilDiv((m * d) / vec, 256)),
      };
    },
    tolerance: { f32: 0, reason: 'a copy' },
  }),
  backward: entry('embedding', 'backward', shader, {
    tensors: {
      ids: { shape: 'm', io: 'in', dtype: 'u32' },
      dy: { shape: 'm d', io: 'in' },
      dtable: { shape: 'v d', io: 'inout' },
    },
    webgpu: ({ d, v }) => ({ constants: { PER: ceilDiv(d, 64) }, workgroups: grid(v) }),
    tolerance: { f32: 1e-6, reason: 'the rows of an id summed in f32, in another order' },
  }),
};

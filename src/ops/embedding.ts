/** y[m] = table[ids[m]]; an id past the table reads its last row. */
import shader from '../../shaders/embedding.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export const embedding = {
  forward: entry('embedding', 'forward', shader, {
    tensors: {
      table: { shape: 'v d', io: 'in' },
      ids: { shape: 'm', io: 'in', dtype: 'u32' },
      y: { shape: 'm d', io: 'out' },
    },
    reference({ table, ids, y }, { v, d, m }) {
      for (let i = 0; i < m; i++) {
        const row = Math.min(ids[i]!, v - 1);
        for (let j = 0; j < d; j++) y[i * d + j] = table[row * d + j]!;
      }
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
};

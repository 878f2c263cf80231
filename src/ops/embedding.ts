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
  backward: entry('embedding', 'backward', shader, {
    tensors: {
      ids: { shape: 'm', io: 'in', dtype: 'u32' },
      dy: { shape: 'm d', io: 'in' },
      dtable: { shape: 'v d', io: 'inout' },
    },
    reference({ ids, dy, dtable }, { m, d, v }) {
      for (let i = 0; i < m; i++) {
        const row = Math.min(ids[i]!, v - 1);
        // forward: y[m] = table[ids[m]]  ⇒  dtable[ids[m]] += dy[m]
        for (let j = 0; j < d; j++) dtable[row * d + j] = dtable[row * d + j]! + dy[i * d + j]!;
      }
    },
    webgpu: ({ d, v }) => ({ constants: { PER: ceilDiv(d, 64) }, workgroups: grid(v) }),
    tolerance: { f32: 1e-6, reason: 'the rows of an id summed in f32, in another order' },
  }),
};

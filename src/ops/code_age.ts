/** age[v] = -1 for each code v among `codes`; other ages stay. `restart_codes` makes them the steps since a code was used. */
import shader from '../../shaders/code_age.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export const codeAge = {
  forward: entry('code_age', 'forward', shader, {
    tensors: { codes: { shape: 'r', io: 'in', dtype: 'u32' }, age: { shape: 'v', io: 'inout' } },
    webgpu: ({ v }) => ({ workgroups: grid(ceilDiv(v, 256)) }),
    tolerance: { f32: 0, reason: 'whole numbers' },
  }),
};

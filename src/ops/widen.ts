/** y = x as float32. */
import shader from '../../shaders/widen.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export const widen = {
  forward: entry('widen', 'forward', shader, {
    tensors: { x: { shape: 'n', io: 'in', half: true }, y: { shape: 'n', io: 'out' } },
    webgpu({ n }) {
      const vec = n % 4 === 0 ? 4 : 1;
      return { constants: { WG: 256, VEC: vec }, vec4: vec === 4 ? ['x', 'y'] : [], workgroups: grid(ceilDiv(n / vec, 256)) };
    },
    tolerance: { f32: 0, reason: 'every float16 is a float32' },
  }),
};

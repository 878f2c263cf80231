/** y[m,c] = x[m, offset … offset + c): a run of columns as a tensor of its own. */
import shader from '../../shaders/columns.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

export const columns = {
  forward: entry('columns', 'forward', shader, {
    tensors: { x: { shape: 'm s', io: 'in' }, y: { shape: 'm c', io: 'out' } },
    attrs: { offset: 'u32' },
    check: ({ s, c, offset }) =>
      offset + c > s ? `columns ${offset} to ${offset + c} of ${s} were asked for; lower offset or make y narrower.` : undefined,
    reference({ x, y }, { m, s, c, offset }) {
      for (let i = 0; i < m; i++) for (let j = 0; j < c; j++) y[i * c + j] = x[i * s + offset + j]!;
    },
    webgpu: ({ m, c }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(m * c, 256)) }),
    tolerance: { f32: 0, reason: 'a copy' },
  }),
};

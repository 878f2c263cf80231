/** y[m,c] = x[m, offset … offset + c). Copies a range of columns to a tensor of its own. */
import shader from '../../shaders/columns.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

const check = ({ s, c, offset }: { s: number; c: number; offset: number }) =>
  offset + c > s
    ? `columns ${offset} to ${offset + c} of ${s} were asked for; lower offset or make the run narrower.`
    : undefined;

export const columns = {
  forward: entry('columns', 'forward', shader, {
    tensors: { x: { shape: 'm s', io: 'in' }, y: { shape: 'm c', io: 'out' } },
    attrs: { offset: 'u32' },
    check,
    webgpu: ({ m, c }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(m * c, 256)) }),
    tolerance: { f32: 0, reason: 'a copy' },
  }),

  /** Overwrites the same range of columns in dx and leaves the other columns alone. */
  backward: entry('columns', 'backward', shader, {
    tensors: { dy: { shape: 'm c', io: 'in' }, dx: { shape: 'm s', io: 'inout' } },
    attrs: { offset: 'u32' },
    check,
    webgpu: ({ m, c }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(m * c, 256)) }),
    tolerance: { f32: 0, reason: 'a copy' },
  }),
};

/** y[m,c] = x[m, offset … offset + c): a run of columns as a tensor of its own. */
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
    reference({ x, y }, { m, s, c, offset }) {
      for (let i = 0; i < m; i++) for (let j = 0; j < c; j++) y[i * c + j] = x[i * s + offset + j]!;
    },
    webgpu: ({ m, c }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(m * c, 256)) }),
    tolerance: { f32: 0, reason: 'a copy' },
  }),

  /** Overwrites its columns of dx; the others are left alone. */
  backward: entry('columns', 'backward', shader, {
    tensors: { dy: { shape: 'm c', io: 'in' }, dx: { shape: 'm s', io: 'inout' } },
    attrs: { offset: 'u32' },
    check,
    reference({ dy, dx }, { m, s, c, offset }) {
      // forward: y[i,j] = x[i, offset + j]  ⇒  dx[i, offset + j] = dy[i,j]
      for (let i = 0; i < m; i++) for (let j = 0; j < c; j++) dx[i * s + offset + j] = dy[i * c + j]!;
    },
    webgpu: ({ m, c }) => ({ constants: { WG: 256 }, workgroups: grid(ceilDiv(m * c, 256)) }),
    tolerance: { f32: 0, reason: 'a copy' },
  }),
};

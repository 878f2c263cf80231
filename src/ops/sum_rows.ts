/** y += Σ over the rows of x: the last stage of a parameter's gradient, from the partial sums a backward entry leaves. */
import shader from '../../shaders/sum_rows.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

/** Partial sums in all that keep a GPU busy and are cheap to add up. */
const PARTS = 1024;

/** Into how many parts each of m sequences of l positions is cut for partial sums over positions. */
export const partsOf = (m: number, l: number) => Math.max(1, Math.min(l, Math.ceil(PARTS / m)));

/** Numbers of a gradient that one workgroup makes, and how many workgroups a large GPU runs at once. */
const TILE = 128 * 128;
const WORKGROUPS = 256;
/** Fewer rows than this are not worth a partial sum of their own. */
const LEAST_ROWS = 512;
/** Rows that cost as much time as bringing one more partial sum to memory and adding it up. */
const ROWS_A_PART = 800;

/**
 * Into how many partial sums `backward_weight` should divide a sum over `rows` for a gradient of `size` numbers: the most even
 * use of the GPU. Time is counted in rounds of all workgroups over all rows; only the last round may be a part of one.
 */
export function gradientParts(rows: number, size: number): number {
  const tiles = ceilDiv(size, TILE);
  const time = (p: number) => ceilDiv(tiles * p, WORKGROUPS) / p + ((tiles / WORKGROUPS) * p * ROWS_A_PART) / rows;
  let best = 1;
  for (let p = 2; p <= rows / LEAST_ROWS; p++) if (time(p) < time(best)) best = p;
  return best;
}

export const sumRows = {
  forward: entry('sum_rows', 'forward', shader, {
    tensors: { x: { shape: 'r n', io: 'in' }, y: { shape: 'n', io: 'inout' } },
    webgpu({ r, n }) {
      if (r === 1) {
        const vec = n % 4 === 0 ? 4 : 1;
        return {
          entry: 'add',
          constants: { VEC: vec },
          vec4: vec === 4 ? ['x', 'y'] : [],
          workgroups: grid(ceilDiv(n / vec, 256)),
        };
      }
      // Many rows want many lanes; eight columns still fill a sector of memory.
      const columns = r > 64 ? 8 : 32;
      return { constants: { COLUMNS: columns }, workgroups: grid(ceilDiv(n, columns)) };
    },
    tolerance: { f32: 3e-6, reason: 'r numbers summed in f32, in another order' },
  }),
};

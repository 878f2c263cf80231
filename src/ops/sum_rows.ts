/**
 * y += Σ over the rows of x. This is the last stage of a parameter's gradient, which adds up the partial sums of a backward
 * entry.
 */
import shader from '../../shaders/sum_rows.wgsl';
import { ceilDiv, entry, grid } from './spec.js';

/** Total number of partial sums that is enough to keep a GPU busy and small enough to add up cheaply. */
const PARTS = 1024;

/** Number of parts into which each of m sequences of l positions is divided for partial sums over positions. */
export const partsOf = (m: number, l: number) => Math.max(1, Math.min(l, Math.ceil(PARTS / m)));

/** Numbers of a gradient that one workgroup computes, and the number of workgroups that a large GPU runs at once. */
const TILE = 128 * 128;
const WORKGROUPS = 256;
/** Fewest rows for which a partial sum is worthwhile. */
const LEAST_ROWS = 512;
/** Number of rows that cost as much time as writing one more partial sum to memory and adding it up. */
const ROWS_A_PART = 800;

/**
 * Number of partial sums into which `backward_weight` should divide a sum over `rows` for a gradient of `size` numbers. It uses
 * the GPU most evenly. Time is counted in rounds in which every workgroup sums all rows; only the last round may be incomplete.
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
      // Many rows need many lanes. Eight columns still fill a memory sector.
      const columns = r > 64 ? 8 : 32;
      return { constants: { COLUMNS: columns }, workgroups: grid(ceilDiv(n, columns)) };
    },
    tolerance: { f32: 3e-6, reason: 'r numbers summed in f32, in another order' },
  }),
};

/** Matrix products in every tile of src/ops/tile.ts: shapes that reach them, and which one a plan takes. */
import type { Backend } from '../../src/backend/backend.js';
import { linear } from '../../src/ops/linear.js';
import type { AnyEntry, GpuCaps, GpuPass } from '../../src/ops/spec.js';
import type { Tile } from '../../src/ops/tile.js';
import { type Case, checkCase, type OpCases } from './harness.js';
import { planOf } from './launches.js';

type Section = Tile['section'];
export interface TileCases extends OpCases {
  /** The tile that the cases are for. */
  section: Section;
}

/** Enough sums for wide tiles: just over, just under and exactly whole tiles; k that ends within a slice and within a vector. */
const wide: [entry: AnyEntry, cases: Case[]][] = [
  [
    linear.forward,
    [
      { m: 1665, k: 7, n: 1795 },
      { m: 1793, k: 12, n: 1791, omit: ['bias'] },
      { m: 1792, k: 20, n: 1792, omit: ['bias', 'residual'] },
      { m: 1790, k: 16, n: 1810, half: ['w'] },
    ],
  ],
  [
    linear.backward_input,
    [
      { m: 1665, k: 1795, n: 7 },
      { m: 1793, k: 1791, n: 12 },
      { m: 1792, k: 1792, n: 20, half: ['w'] },
    ],
  ],
  [
    linear.backward_weight,
    [
      { m: 9, k: 1795, n: 1665, p: 1 },
      { m: 24, k: 1010, n: 1000, p: 3 },
      { m: 23, k: 1010, n: 1000, p: 3, omit: ['dbias'] },
      { m: 8, k: 1792, n: 1792, p: 1 },
    ],
  ],
];

/** At least 128 rows and columns: one tile, just over one, and sums over whole, ragged and single slices of 32. */
const half: [entry: AnyEntry, cases: Case[]][] = [
  [
    linear.forward,
    [
      { m: 129, k: 32, n: 128 },
      { m: 256, k: 36, n: 132, omit: ['bias', 'residual'] },
      { m: 131, k: 60, n: 260, omit: ['bias'] },
      { m: 255, k: 768, n: 384, omit: ['residual'] },
      { m: 300, k: 100, n: 200, half: ['w'] },
      { m: 256, k: 1536, n: 256, half: ['w'] },
    ],
  ],
  [
    linear.backward_input,
    [
      { m: 128, k: 128, n: 128 },
      { m: 130, k: 132, n: 148 },
      { m: 130, k: 132, n: 3352 },
      { m: 300, k: 200, n: 156, half: ['w'] },
    ],
  ],
  [
    linear.backward_weight,
    [
      { m: 128, k: 128, n: 128, p: 1 },
      { m: 131, k: 132, n: 260, p: 1 },
      { m: 131, k: 132, n: 260, p: 5, omit: ['dbias'] },
      { m: 1000, k: 256, n: 328, p: 3 },
      { m: 4096, k: 128, n: 132, p: 4 },
      // Chunks that are shorter than a slice, and one that is empty.
      { m: 130, k: 128, n: 128, p: 6 },
      { m: 129, k: 128, n: 128, p: 100 },
    ],
  ],
];

const withTile = (section: Section, list: typeof wide): TileCases[] => list.map(([entry, cases]) => ({ entry, cases, section }));

export const wideCases = withTile('tile_wide', wide);
export const halfCases = withTile('tile_f16', half);

/** The first case of a kind whose plan does not take the tile it is for, as text. */
export function misplaced(op: TileCases, caps: GpuCaps): string | undefined {
  for (const c of op.cases) {
    const plan = planOf(op.entry, c, caps) as GpuPass;
    if (!plan.sections?.includes(op.section)) return `${op.entry.key} ${JSON.stringify(c)} takes ${plan.sections}`;
  }
  return undefined;
}

/** What is wrong with the cases on a backend; empty when they agree with the float64 reference. */
export async function checkTiles(backend: Backend, op: OpCases, products: GpuCaps['products'] = 'f32'): Promise<string[]> {
  const wrong: string[] = [];
  for (const [i, c] of op.cases.entries()) wrong.push(...(await checkCase(backend, op, c, 7000 + i, products)));
  return wrong;
}

/** Which tile a matrix product on WebGPU takes: a section of the shader (`sections` of a plan) and its constants. */
import { ceilDiv, type GpuCaps, type GpuChoice, type GpuPass } from './spec.js';

export interface Tile {
  /** The section that includes it. */
  section: 'tile' | 'tile_wide' | 'tile_f16';
  /** Rows and columns of sums that a workgroup makes. */
  size: number;
}

const TILE: Tile = { section: 'tile', size: 64 };
/** shaders/lib/tile_wide.wgsl */
const WIDE: Tile = { section: 'tile_wide', size: 128 };
/** shaders/lib/tile_f16.wgsl: its size, a slice of its sums, and its bytes of workgroup memory. */
const HALF: Tile = { section: 'tile_f16', size: 128 };
const HALF_SLICE = 32;
const HALF_BYTES = 24 * 1024;

/** Wide tiles that keep a large GPU busy (the H100 has 132 processors); of fewer, four times as many small ones are faster. */
const ENOUGH = 192;

/** The threads of a GPU with subgroups of just 32 have some 250 registers each; others spill wide tiles to memory. */
const manyRegisters = (caps: GpuCaps) => caps.subgroupMinSize === 32 && caps.subgroupMaxSize === 32;

const count = (rows: number, columns: number, size: number) => ceilDiv(rows, size) * ceilDiv(columns, size);

/** `plan` with a tile for `parts` products of `rows` × `columns` sums each. The two tiles add up in the same order. */
export function tiledPlan(
  rows: number,
  columns: number,
  parts: number,
  caps: GpuCaps,
  plan: (tile: Tile) => GpuPass,
): GpuPass | GpuChoice<GpuPass> {
  const wide = count(rows, columns, WIDE.size);
  // Ragged edges waste up to a tile; a wide one is worth about a third more work.
  const worth = wide * parts >= ENOUGH && 3 * wide <= count(rows, columns, TILE.size);
  const usual = worth && manyRegisters(caps) ? WIDE : TILE;
  if (Math.min(rows, columns) < WIDE.size) return plan(usual);
  return {
    choice: 'tile',
    candidates: [TILE.size, WIDE.size],
    usual: usual.size,
    plan: (size) => plan(size === WIDE.size ? WIDE : TILE),
  };
}

/** Whether products may be made of f16 factors on matrix units, by kernels that take so many bytes of workgroup memory. */
export const hasMatrixUnits = (caps: GpuCaps, bytes: number) =>
  caps.products === 'f16' &&
  caps.matrices &&
  caps.features.has('subgroups') &&
  manyRegisters(caps) &&
  caps.maxWorkgroupStorage >= bytes;

/** Whether large matrix products are made of f16 factors. */
export const hasHalfTiles = (caps: GpuCaps) => hasMatrixUnits(caps, HALF_BYTES);

/** The tile of f16 factors where the device has it, the caller allows it, and a product with `depth` terms a sum fits it. */
export function halfTileOf(rows: number, columns: number, depth: number, caps: GpuCaps): Tile | undefined {
  const fits = Math.min(rows, columns) >= HALF.size && depth >= HALF_SLICE;
  return fits && hasHalfTiles(caps) ? HALF : undefined;
}

/** What a plan with a tile of f16 factors must enable. */
export const HALF_EXTENSIONS = ['f16', 'subgroups', 'chromium_experimental_subgroup_matrix'];

/** Chooses the tile of a matrix product on WebGPU: a section of the shader (`sections` of a plan) and the constant TILE. */
import { ceilDiv, type GpuCaps, type GpuChoice, type GpuPass } from './spec.js';

export interface Tile {
  /** The section of the shader that includes its file. */
  section: 'tile' | 'tile_wide' | 'tile_f16';
  /** Rows and columns of sums that a workgroup makes: the constant TILE. */
  size: number;
}

/** Rows and columns of the tile in shaders/lib/tile.wgsl; plans of shaders that include it give it as the constant TILE. */
export const TILE_SIZE = 64;
const TILE: Tile = { section: 'tile', size: TILE_SIZE };
/** shaders/lib/tile_wide.wgsl */
const WIDE: Tile = { section: 'tile_wide', size: 128 };
/** shaders/lib/tile_f16.wgsl: its size, the terms of a slice of its sums, and its bytes of workgroup memory. */
const HALF: Tile = { section: 'tile_f16', size: 128 };
const HALF_SLICE = 32;
const HALF_BYTES = 24 * 1024;

/**
 * Number of wide tiles that keeps a large GPU busy (the H100 has 132 processors). If there are fewer, four times as many small
 * tiles are faster.
 */
const ENOUGH = 192;

/** Threads of a GPU whose subgroups are always 32 have about 250 registers each; others would spill wide tiles to memory. */
const manyRegisters = (caps: GpuCaps) => caps.subgroupMinSize === 32 && caps.subgroupMaxSize === 32;

const count = (rows: number, columns: number, size: number) => ceilDiv(rows, size) * ceilDiv(columns, size);

/** Returns `plan` with a tile for `parts` products of `rows` × `columns` sums each. Both tiles add up in the same order. */
export function tiledPlan(
  rows: number,
  columns: number,
  parts: number,
  caps: GpuCaps,
  plan: (tile: Tile) => GpuPass,
): GpuPass | GpuChoice<GpuPass> {
  const wide = count(rows, columns, WIDE.size);
  // Tiles at the edges compute sums that are thrown away; a wide tile is worth up to a third more work.
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

/** Says if products may use f16 factors on matrix units, by kernels that need `bytes` of workgroup memory. */
export const hasMatrixUnits = (caps: GpuCaps, bytes: number) =>
  caps.products === 'f16' &&
  caps.matrices &&
  caps.features.has('subgroups') &&
  manyRegisters(caps) &&
  caps.maxWorkgroupStorage >= bytes;

/** Says if large matrix products use f16 factors. */
export const hasHalfTiles = (caps: GpuCaps) => hasMatrixUnits(caps, HALF_BYTES);

/**
 * Returns the tile of f16 factors if the device has it, the caller allows it, and a product with `depth` terms in each sum fills
 * it. Otherwise returns undefined.
 */
export function halfTileOf(rows: number, columns: number, depth: number, caps: GpuCaps): Tile | undefined {
  const fits = Math.min(rows, columns) >= HALF.size && depth >= HALF_SLICE;
  return fits && hasHalfTiles(caps) ? HALF : undefined;
}

/** WGSL extensions that a plan with a tile of f16 factors must enable. */
export const HALF_EXTENSIONS = ['f16', 'subgroups', 'chromium_experimental_subgroup_matrix'];

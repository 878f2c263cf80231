/**
 * Sums of products of the rows of two float64 matrices, which is where the metrics spend their time. Tiles are computed by a WASM
 * kernel with SIMD or, where that may not run, in JavaScript.
 */
import binary from '../../build/metrics.wasm?raw';

const TILE = 64;
const DEPTH = 256;
/** Where the kernel's memory begins to be used. */
const BASE = 1024;

/** A matrix or a part of one. Row r starts at index `at + r·stride`. */
export interface Rows<Data = Float32Array | Float64Array> {
  data: Data;
  at: number;
  stride: number;
}

/** A matrix whose rows are `stride` elements apart. */
export const matrix = (data: Float64Array, stride: number): Rows<Float64Array> => ({ data, at: 0, stride });

/**
 * C[i, j] += sign · Σ_k A[i, k]·B[j, k] for i < m, j < n, computed in tiles of 64 × 64. `range(i, j)` returns the range [first,
 * last) of the k that matter for the tile that starts at row i and column j, or undefined to skip the tile.
 *
 * @param fast The WASM kernel, or null to compute in JavaScript, whose results differ by roundings.
 */
export function addProducts(
  C: Rows<Float64Array>,
  A: Rows,
  B: Rows,
  m: number,
  n: number,
  sign: 1 | -1,
  range: (i: number, j: number) => readonly [number, number] | undefined,
  fast: Kernel | null = kernel(),
): void {
  for (let i = 0; i < m; i += TILE) {
    const rows = Math.min(m, i + TILE) - i;
    const tiles: Tile[] = [];
    for (let j = 0; j < n; j += TILE) {
      const [first, last] = range(i, j) ?? [0, 0];
      if (first < last) tiles.push({ j, columns: Math.min(n, j + TILE) - j, first, last });
    }
    const end = tiles.reduce((most, { last }) => Math.max(most, last), 0);
    const begin = tiles.reduce((least, { first }) => Math.min(least, first), end);
    for (let k = begin; k < end; k += DEPTH) {
      fast?.load(fast.a, A, i, rows, k, Math.min(end, k + DEPTH));
      for (const { j, columns, first, last } of tiles) {
        const [from, to] = [Math.max(k, first), Math.min(k + DEPTH, last)];
        if (from >= to) continue;
        if (!fast) tile(C, A, B, i, i + rows, j, j + columns, from, to, sign);
        else {
          fast.load(fast.b, B, j, columns, from, to);
          fast.add(C, i, j, rows, columns, from - k, to - from, sign);
        }
      }
    }
  }
}

interface Tile {
  j: number;
  columns: number;
  /** The k that matter: [first, last). */
  first: number;
  last: number;
}

/** assembly/metrics/products.ts with memory for one tile: more than three times as fast as JavaScript. */
class Kernel {
  /** Rows of A and of B, DEPTH apart, and the tile of C. */
  readonly a: Float64Array;
  readonly b: Float64Array;
  private readonly c: Float64Array;
  private readonly products: (c: number, a: number, b: number, m: number, n: number, k: number, stride: number) => void;

  constructor() {
    const bytes = Uint8Array.from(atob(binary), (c) => c.charCodeAt(0));
    const size = 8 * TILE * (2 * DEPTH + TILE);
    const pages = Math.ceil((BASE + size) / 65536);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
    this.products = exports.products as Kernel['products'];
    this.a = new Float64Array(memory.buffer, BASE, TILE * DEPTH);
    this.b = new Float64Array(memory.buffer, BASE + 8 * TILE * DEPTH, TILE * DEPTH);
    this.c = new Float64Array(memory.buffer, BASE + 16 * TILE * DEPTH, TILE * TILE);
  }

  /** Copies columns k0 to k1 of some rows, which begin at row `first`. */
  load(to: Float64Array, { data, at, stride }: Rows, first: number, count: number, k0: number, k1: number): void {
    for (let r = 0; r < count; r++) {
      const from = at + (first + r) * stride;
      to.set(data.subarray(from + k0, from + k1), r * DEPTH);
      // An odd number of k is made even by a zero.
      if ((k1 - k0) % 2) to[r * DEPTH + k1 - k0] = 0;
    }
  }

  /** Adds the products of the loaded rows to a tile: `length` columns from `skip` of a on, and as many of b. */
  add(
    C: Rows<Float64Array>,
    i: number,
    j: number,
    rows: number,
    columns: number,
    skip: number,
    length: number,
    sign: number,
  ): void {
    const { a, b, c } = this;
    const even = (x: number, step: number) => Math.ceil(x / step) * step;
    const width = even(columns, 2);
    this.products(c.byteOffset, a.byteOffset + 8 * skip, b.byteOffset, even(rows, 4), width, even(length, 2), 8 * DEPTH);
    for (let r = 0; r < rows; r++) {
      const o = C.at + (i + r) * C.stride + j;
      for (let q = 0; q < columns; q++) C.data[o + q]! += sign * c[r * width + q]!;
    }
  }
}

let made: Kernel | null | undefined;

/** The kernel; null where WebAssembly with SIMD may not be used, as under some Content-Security-Policies. */
function kernel(): Kernel | null {
  if (made === undefined) {
    try {
      made = new Kernel();
    } catch {
      made = null;
    }
  }
  return made;
}

/** One tile in JavaScript, in blocks of 4×4 sums that stay in registers. */
function tile(
  C: Rows<Float64Array>,
  A: Rows,
  B: Rows,
  i0: number,
  i1: number,
  j0: number,
  j1: number,
  k0: number,
  k1: number,
  sign: number,
): void {
  const { data: c, stride: ldc } = C;
  const { data: a, stride: lda } = A;
  const { data: b, stride: ldb } = B;
  const length = k1 - k0;
  let i = i0;
  for (; i + 4 <= i1; i += 4) {
    const a0 = A.at + i * lda + k0;
    const a1 = a0 + lda;
    const a2 = a1 + lda;
    const a3 = a2 + lda;
    let j = j0;
    for (; j + 4 <= j1; j += 4) {
      const b0 = B.at + j * ldb + k0;
      const b1 = b0 + ldb;
      const b2 = b1 + ldb;
      const b3 = b2 + ldb;
      let [s00, s01, s02, s03, s10, s11, s12, s13] = [0, 0, 0, 0, 0, 0, 0, 0];
      let [s20, s21, s22, s23, s30, s31, s32, s33] = [0, 0, 0, 0, 0, 0, 0, 0];
      for (let k = 0; k < length; k++) {
        const y0 = b[b0 + k]!;
        const y1 = b[b1 + k]!;
        const y2 = b[b2 + k]!;
        const y3 = b[b3 + k]!;
        let x = a[a0 + k]!;
        s00 += x * y0;
        s01 += x * y1;
        s02 += x * y2;
        s03 += x * y3;
        x = a[a1 + k]!;
        s10 += x * y0;
        s11 += x * y1;
        s12 += x * y2;
        s13 += x * y3;
        x = a[a2 + k]!;
        s20 += x * y0;
        s21 += x * y1;
        s22 += x * y2;
        s23 += x * y3;
        x = a[a3 + k]!;
        s30 += x * y0;
        s31 += x * y1;
        s32 += x * y2;
        s33 += x * y3;
      }
      let o = C.at + i * ldc + j;
      c[o]! += sign * s00;
      c[o + 1]! += sign * s01;
      c[o + 2]! += sign * s02;
      c[o + 3]! += sign * s03;
      o += ldc;
      c[o]! += sign * s10;
      c[o + 1]! += sign * s11;
      c[o + 2]! += sign * s12;
      c[o + 3]! += sign * s13;
      o += ldc;
      c[o]! += sign * s20;
      c[o + 1]! += sign * s21;
      c[o + 2]! += sign * s22;
      c[o + 3]! += sign * s23;
      o += ldc;
      c[o]! += sign * s30;
      c[o + 1]! += sign * s31;
      c[o + 2]! += sign * s32;
      c[o + 3]! += sign * s33;
    }
    for (let r = i; r < i + 4; r++) edge(C, A, B, r, j, j1, k0, k1, sign);
  }
  for (; i < i1; i++) edge(C, A, B, i, j0, j1, k0, k1, sign);
}

/** The elements of a row that do not fill a 4×4 block. */
function edge(
  C: Rows<Float64Array>,
  A: Rows,
  B: Rows,
  i: number,
  j0: number,
  j1: number,
  k0: number,
  k1: number,
  sign: number,
): void {
  for (let j = j0; j < j1; j++) {
    let sum = 0;
    const a = A.at + i * A.stride;
    const b = B.at + j * B.stride;
    for (let k = k0; k < k1; k++) sum += A.data[a + k]! * B.data[b + k]!;
    C.data[C.at + i * C.stride + j]! += sign * sum;
  }
}

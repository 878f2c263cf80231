/** Tensors in a row within few allocations, so that one command reaches many of them. */
import type { Backend } from '../backend/backend.js';
import { BYTES, type DType, SLICE_BYTES, sizeOf, type Tensor } from '../core/tensor.js';

/** Bytes of an arena at most, unless one tensor has more: what WebGPU binds by default. */
const ARENA_BYTES = 2 ** 27;

/** Elements from the beginning of a tensor to where the next one may begin. */
function step(size: number, dtype: DType): number {
  const align = SLICE_BYTES / BYTES[dtype];
  return Math.ceil(size / align) * align;
}

/**
 * Tensors of these shapes, in order. What lies between them belongs to none, and every arena to `arenas`; the n-th is made by
 * `make`.
 */
export function packed(
  be: Backend,
  shapes: readonly (readonly number[])[],
  dtype: DType = 'f32',
  make = (_n: number, shape: readonly number[]) => be.tensor(shape, dtype),
): { tensors: Tensor[]; arenas: Tensor[] } {
  const most = ARENA_BYTES / BYTES[dtype];
  const sizes: number[] = [];
  const places = shapes.map((shape) => {
    const size = step(sizeOf(shape), dtype);
    if (!sizes.length || sizes.at(-1)! + size > most) sizes.push(0);
    const at = sizes.at(-1)!;
    sizes[sizes.length - 1] = at + size;
    return { shape, at, arena: sizes.length - 1 };
  });
  const arenas = sizes.map((size, n) => make(n, [size]));
  const tensors = places.map(({ shape, at, arena }) => be.reshape(be.slice(arenas[arena]!, at, sizeOf(shape)), shape));
  return { tensors, arenas };
}

/** Whether `b` is what was packed right after `a`. */
export const follows = (a: Tensor, b: Tensor): boolean =>
  a.storage === b.storage && b.offset === a.offset + step(a.size, a.dtype);

/** From the beginning of a tensor to the end of a later one in the same arena, as [n]: whole vectors of four, as allocated. */
export function span(first: Tensor, last: Tensor): Tensor {
  const vector = 16 / BYTES[first.dtype];
  const size = Math.ceil((last.offset + last.size - first.offset) / vector) * vector;
  return { ...first, shape: [size], size };
}

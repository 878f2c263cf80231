/** Places tensors next to each other in few allocations (arenas), so that one command can process many of them. */
import type { Backend } from '../backend/backend.js';
import { BYTES, type DType, SLICE_BYTES, sizeOf, type Tensor } from '../core/tensor.js';

/** Maximum size of an arena in bytes, unless a single tensor is larger. This is WebGPU's default limit of a binding. */
const ARENA_BYTES = 2 ** 27;

/** Distance in elements from the start of a tensor to the start of the next one. */
function step(size: number, dtype: DType): number {
  const align = SLICE_BYTES / BYTES[dtype];
  return Math.ceil(size / align) * align;
}

/** Assigns an arena and an offset to each shape. Also returns the sizes of the arenas in elements. */
function layOut(shapes: readonly (readonly number[])[], dtype: DType) {
  const most = ARENA_BYTES / BYTES[dtype];
  const sizes: number[] = [];
  const places = shapes.map((shape) => {
    const size = step(sizeOf(shape), dtype);
    if (!sizes.length || sizes.at(-1)! + size > most) sizes.push(0);
    const at = sizes.at(-1)!;
    sizes[sizes.length - 1] = at + size;
    return { shape, at, arena: sizes.length - 1 };
  });
  return { places, sizes };
}

/** Sizes, in elements, of the arenas that `packed` makes for tensors of these shapes. */
export const arenaSizes = (shapes: readonly (readonly number[])[], dtype: DType = 'f32') => layOut(shapes, dtype).sizes;

/**
 * Allocates tensors of these shapes in arenas, in order. `make` allocates arena number n. The gaps between tensors are padding.
 */
export function packed(
  be: Backend,
  shapes: readonly (readonly number[])[],
  dtype: DType = 'f32',
  make = (_n: number, shape: readonly number[]) => be.tensor(shape, dtype),
): { tensors: Tensor[]; arenas: Tensor[] } {
  const { places, sizes } = layOut(shapes, dtype);
  const arenas = sizes.map((size, n) => make(n, [size]));
  const tensors = places.map(({ shape, at, arena }) => be.reshape(be.slice(arenas[arena]!, at, sizeOf(shape)), shape));
  return { tensors, arenas };
}

/** True if `b` was placed directly after `a` by `packed`. */
export const follows = (a: Tensor, b: Tensor): boolean =>
  a.storage === b.storage && b.offset === a.offset + step(a.size, a.dtype);

/**
 * One tensor [n] from the start of `first` to the end of `last`, a later tensor of the same arena. n is rounded up to vectors of
 * 4.
 */
export function span(first: Tensor, last: Tensor): Tensor {
  const vector = 16 / BYTES[first.dtype];
  const size = Math.ceil((last.offset + last.size - first.offset) / vector) * vector;
  return { ...first, shape: [size], size };
}

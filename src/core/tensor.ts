/** Tensors as all layers of the library see them: a shape, a number format, and memory that belongs to a backend. */

/** A number format. `f16` is a storage format on WebGPU, for weights and for activations in training; arithmetic and sums use f32. */
export type DType = 'f32' | 'u32' | 'f16';

/** Bytes of an element. */
export const BYTES: Record<DType, number> = { f32: 4, u32: 4, f16: 2 };

/** Shape and number format of a tensor. */
export interface HasShape {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** The values of a tensor on the host: float32 or float64 for f32 and f16, Uint32Array for u32. */
export type NumArray = Float32Array | Float64Array | Uint32Array;

/** A dense row-major array on a backend. The contents of a new tensor are unspecified. */
export interface Tensor extends HasShape {
  /** Number of elements. */
  readonly size: number;
  /** Memory that only the backend understands. Tensors made by `reshape` and `slice` share it. */
  readonly storage: Storage;
  /** Start of the tensor in its storage, in elements. In bytes it is a multiple of SLICE_BYTES. */
  readonly offset: number;
}

/** Offsets in a storage are multiples of this many bytes, as WebGPU requires for bindings. */
export const SLICE_BYTES = 256;

/** One memory allocation of a backend. */
export interface Storage {
  readonly bytes: number;
  released: boolean;
  /** True if it belongs to a recording, which frees it when it is disposed. */
  recorded?: boolean;
}

/** Number of elements of a tensor with this shape. */
export const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

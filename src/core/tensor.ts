/** Tensors as every layer sees them: a shape, a number format and memory that belongs to a backend. */
/** `f16` is a storage format of weights on WebGPU; arithmetic and sums stay f32. */
export type DType = 'f32' | 'u32' | 'f16';

export const BYTES: Record<DType, number> = { f32: 4, u32: 4, f16: 2 };
export interface HasShape {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

export type NumArray = Float32Array | Float64Array | Uint32Array;

/** A dense row-major array on a backend. Contents of a fresh tensor are unspecified. */
export interface Tensor extends HasShape {
  readonly size: number;
  /** Backend-private memory; tensors made by `reshape` and `slice` share it. */
  readonly storage: Storage;
  /** Where the tensor begins in its storage, in elements; a multiple of SLICE_BYTES. */
  readonly offset: number;
}

/** WebGPU binds storage at multiples of this many bytes. */
export const SLICE_BYTES = 256;

/** One allocation of a backend. */
export interface Storage {
  readonly bytes: number;
  released: boolean;
  /** Belongs to a recording, which gives it back when it is disposed. */
  recorded?: boolean;
}

export const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

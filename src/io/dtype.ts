/** The number formats of safetensors files, and conversions to and from float32. Files and supported hosts are little-endian. */
import { CheckpointError } from '../core/errors.js';
import { floatsToHalves, halvesToFloats } from '../core/half.js';

/** Bytes per element of every supported format. */
export const DTYPE_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  U16: 2,
  U32: 4,
  U64: 8,
  BOOL: 1,
} as const;

export type Dtype = keyof typeof DTYPE_BYTES;
export type FloatDtype = 'F64' | 'F32' | 'F16' | 'BF16';

/** The typed array that holds the elements of a format. F16 and BF16 are held as 16-bit integers. */
const ELEMENTS = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U8: Uint8Array,
  U16: Uint16Array,
  U32: Uint32Array,
  U64: BigUint64Array,
  BOOL: Uint8Array,
} as const;

export function isDtype(name: unknown): name is Dtype {
  return typeof name === 'string' && Object.hasOwn(DTYPE_BYTES, name);
}

export function isFloat(dtype: Dtype): dtype is FloatDtype {
  return dtype === 'F64' || dtype === 'F32' || dtype === 'F16' || dtype === 'BF16';
}

/** The bytes as elements of `dtype`: a view if the memory is aligned, else a copy. */
export function elements<D extends Dtype>(bytes: Uint8Array, dtype: D): InstanceType<(typeof ELEMENTS)[D]> {
  const size = DTYPE_BYTES[dtype];
  // Not slice(), which returns a view for Node's Buffer.
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new ELEMENTS[dtype](aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / size) as never;
}

/** The elements of a floating-point format as float32: a view for F32 in aligned memory, else a new array. */
export function toFloat32(bytes: Uint8Array, dtype: FloatDtype): Float32Array {
  if (dtype === 'F32') return elements(bytes, 'F32');
  if (dtype === 'F64') return new Float32Array(elements(bytes, 'F64'));
  const halves = elements(bytes, dtype) as Uint16Array;
  if (dtype === 'F16') return halvesToFloats(halves);
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < bits.length; i++) bits[i] = halves[i]! << 16;
  return new Float32Array(bits.buffer);
}

/**
 * Rounds float32 values to the bits of F16 or BF16, to nearest with ties to even. NaN and infinities are preserved. Throws
 * CheckpointError with `what` and the index for a finite value that would become infinite. `first` is the index of data[0].
 */
export function toHalves(data: Float32Array, dtype: 'F16' | 'BF16', what: string, first = 0): Uint16Array {
  const out = dtype === 'F16' ? floatsToHalves(data) : floatsToBfloats(data);
  const infinity = dtype === 'F16' ? 0x7c00 : 0x7f80;
  const i = out.findIndex((h, i) => (h & 0x7fff) === infinity && Number.isFinite(data[i]!));
  if (i >= 0) throw new CheckpointError(`${what}: ${data[i]} at index ${first + i} is too large for ${dtype}; save it as F32.`);
  return out;
}

function floatsToBfloats(data: Float32Array): Uint16Array {
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
  return Uint16Array.from(bits, (x) => {
    // NaN keeps its upper bits. The quiet bit ensures that it stays a NaN.
    if ((x & 0x7fffffff) > 0x7f800000) return (x >>> 16) | 0x40;
    return (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
  });
}

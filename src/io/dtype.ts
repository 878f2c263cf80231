/** The number formats of safetensors files and their conversions from and to float32. Files and supported hosts are little-endian. */
import { CheckpointError } from '../core/errors.js';

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
export type IntDtype = Exclude<Dtype, FloatDtype>;

/** The typed array that holds a format's elements; F16 and BF16 as their 16 bits. */
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

/** The bytes as elements of `dtype`: a view where the memory is aligned for it, else a copy. */
export function elements<D extends Dtype>(bytes: Uint8Array, dtype: D): InstanceType<(typeof ELEMENTS)[D]> {
  const size = DTYPE_BYTES[dtype];
  // Not slice(), which gives a view for Node's Buffer.
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new ELEMENTS[dtype](aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / size) as never;
}

/** Elements of a floating format as float32: a view for F32 in aligned memory, else a new array. */
export function toFloat32(bytes: Uint8Array, dtype: FloatDtype): Float32Array {
  if (dtype === 'F32') return elements(bytes, 'F32');
  if (dtype === 'F64') return new Float32Array(elements(bytes, 'F64'));
  const halves = elements(bytes, dtype) as Uint16Array;
  const bits = new Uint32Array(halves.length);
  if (dtype === 'BF16') {
    for (let i = 0; i < bits.length; i++) bits[i] = halves[i]! << 16;
  } else {
    const table = halfTable();
    for (let i = 0; i < bits.length; i++) bits[i] = table[halves[i]!]!;
  }
  return new Float32Array(bits.buffer);
}

let table: Uint32Array | undefined;

/** The float32 bits of each of the 65536 halves, built on first use (256 KiB). */
function halfTable(): Uint32Array {
  if (table) return table;
  table = new Uint32Array(65536);
  for (let h = 0; h < 65536; h++) {
    const sign = (h & 0x8000) << 16;
    const exponent = (h >> 10) & 31;
    let mantissa = h & 1023;
    let e = exponent + 112;
    if (exponent === 31) e = 255;
    else if (exponent === 0) {
      if (mantissa === 0) e = 0;
      else {
        // A subnormal half is a normal float32: shift its leading 1 into the implicit position.
        const shift = Math.clz32(mantissa) - 21;
        e = 113 - shift;
        mantissa = (mantissa << shift) & 1023;
      }
    }
    table[h] = sign | (e << 23) | (mantissa << 13);
  }
  return table;
}

/**
 * Rounds float32 to the bits of F16 or BF16, to nearest with ties to even. NaN and infinities are preserved. Throws
 * CheckpointError for a finite value that would become infinite, naming `what` and the index, which starts at `first`.
 */
export function toHalves(data: Float32Array, dtype: 'F16' | 'BF16', what: string, first = 0): Uint16Array {
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
  const out = new Uint16Array(data.length);
  const round = dtype === 'F16' ? halfBits : bfloatBits;
  const infinity = dtype === 'F16' ? 0x7c00 : 0x7f80;
  for (let i = 0; i < out.length; i++) {
    const h = round(bits[i]!);
    if ((h & 0x7fff) === infinity && Number.isFinite(data[i]!))
      throw new CheckpointError(`${what}: ${data[i]} at index ${first + i} is too large for ${dtype}; save it as F32.`);
    out[i] = h;
  }
  return out;
}

function halfBits(x: number): number {
  const sign = (x >>> 16) & 0x8000;
  const a = x & 0x7fffffff;
  // A NaN keeps its upper mantissa bits and must not become an infinity.
  if (a > 0x7f800000) return sign | 0x7e00 | ((a >>> 13) & 0x3ff);
  if (a >= 0x47800000) return sign | 0x7c00;
  // From 2^-14 on: drop 13 bits, rounding to even; a carry into the exponent gives the correct result.
  if (a >= 0x38800000) return sign | ((a - 0x38000000 + 0xfff + ((a >>> 13) & 1)) >>> 13);
  // At most half of the smallest subnormal, 2^-25: zero, since the tie rounds to even.
  if (a <= 0x33000000) return sign;
  const shift = 126 - (a >>> 23);
  const mantissa = (a & 0x7fffff) | 0x800000;
  const upper = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const tie = 1 << (shift - 1);
  return sign | (upper + (rest > tie || (rest === tie && (upper & 1) === 1) ? 1 : 0));
}

function bfloatBits(x: number): number {
  if ((x & 0x7fffffff) > 0x7f800000) return (x >>> 16) | 0x40;
  return (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
}

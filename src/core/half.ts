/** Conversions between float16 (IEEE 754 binary16) and float32. */

let table: Uint32Array | undefined;

/** The float32 bits of each of the 65536 float16 values, computed on first use (256 KiB). */
function floatBits(): Uint32Array {
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

/** Converts float16 values, given by their bits, to float32. Exact. */
export function halvesToFloats(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length);
  const table = floatBits();
  for (let i = 0; i < bits.length; i++) bits[i] = table[halves[i]!]!;
  return new Float32Array(bits.buffer);
}

/** Rounds float32 values to the bits of float16, to nearest with ties to even. 65520 and above become infinite; NaN stays NaN. */
export function floatsToHalves(data: Float32Array): Uint16Array {
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
  const out = new Uint16Array(data.length);
  for (let i = 0; i < out.length; i++) out[i] = halfBits(bits[i]!);
  return out;
}

/** The smallest magnitude that float16 rounds to infinity. */
export const HALF_OVERFLOW = 65520;

function halfBits(x: number): number {
  const sign = (x >>> 16) & 0x8000;
  const a = x & 0x7fffffff;
  // NaN keeps its upper bits. The quiet bit ensures that it stays a NaN.
  if (a > 0x7f800000) return sign | 0x7e00 | ((a >>> 13) & 0x3ff);
  if (a >= 0x47800000) return sign | 0x7c00;
  // Normal results, from 2^-14 on: drop 13 bits, rounding to even. A carry into the exponent gives the correct result.
  if (a >= 0x38800000) return sign | ((a - 0x38000000 + 0xfff + ((a >>> 13) & 1)) >>> 13);
  // Up to half of the smallest subnormal, 2^-25, the result is zero (the tie rounds to even).
  if (a <= 0x33000000) return sign;
  const shift = 126 - (a >>> 23);
  const mantissa = (a & 0x7fffff) | 0x800000;
  const quotient = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const tie = 1 << (shift - 1);
  return sign | (quotient + (rest > tie || (rest === tie && (quotient & 1) === 1) ? 1 : 0));
}

/**
 * SHA-256 (FIPS 180-4) of bytes that arrive in pieces. Web Crypto hashes only what is in memory as a whole, and a model may be
 * larger than memory. Node, Deno and Bun have a native incremental hash; browsers use the code here.
 */

/** The first 32 bits of the fractional parts of the roots of the first `count` primes. `root` is Math.sqrt or Math.cbrt. */
function fractions(count: number, root: (n: number) => number): Int32Array {
  const out = new Int32Array(count);
  for (let n = 2, i = 0; i < count; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
    if (prime) out[i++] = (root(n) % 1) * 2 ** 32;
  }
  return out;
}

/** Incremental SHA-256: `update` adds bytes, `hex` ends the hash. */
export class Sha256 {
  private readonly K = fractions(64, Math.cbrt);
  private readonly state = fractions(8, Math.sqrt);
  private readonly w = new Int32Array(64);
  /** The last block while it is incomplete. */
  private readonly block = new Uint8Array(64);
  /** The number of bytes added so far. */
  private total = 0;

  update(bytes: Uint8Array): this {
    let at = 0;
    const filled = this.total % 64;
    this.total += bytes.length;
    if (filled) {
      at = Math.min(64 - filled, bytes.length);
      this.block.set(bytes.subarray(0, at), filled);
      if (filled + at < 64) return this;
      this.compress(this.block, 0);
    }
    for (; at + 64 <= bytes.length; at += 64) this.compress(bytes, at);
    this.block.set(bytes.subarray(at));
    return this;
  }

  /** Ends the hash and returns its 64 hexadecimal digits. Call it once. */
  hex(): string {
    const { total } = this;
    const end = new Uint8Array(64 * Math.ceil(((total % 64) + 9) / 64) - (total % 64));
    end[0] = 0x80;
    new DataView(end.buffer).setBigUint64(end.length - 8, BigInt(total) * 8n);
    this.update(end);
    return Array.from(this.state, (word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
  }

  private compress(bytes: Uint8Array, at: number): void {
    const { K, w, state } = this;
    for (let i = 0; i < 16; i++, at += 4)
      w[i] = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15]!;
      const y = w[i - 2]!;
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[i] = (w[i - 16]! + s0 + w[i - 7]! + s1) | 0;
    }
    // Read by index: destructuring uses an iterator and halves the speed.
    let a = state[0]!;
    let b = state[1]!;
    let c = state[2]!;
    let d = state[3]!;
    let e = state[4]!;
    let f = state[5]!;
    let g = state[6]!;
    let h = state[7]!;
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i]! + w[i]!) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + t1) | 0;
      d = c;
      c = b;
      b = a;
      a = (t1 + t2) | 0;
    }
    state[0]! += a;
    state[1]! += b;
    state[2]! += c;
    state[3]! += d;
    state[4]! += e;
    state[5]! += f;
    state[6]! += g;
    state[7]! += h;
  }
}

/** An incremental hash. `update` adds bytes; `hex` ends it and returns 64 hexadecimal digits. */
export interface Hasher {
  update(bytes: Uint8Array): unknown;
  hex(): string;
}

/** The runtime's own incremental SHA-256 if it has one, else `Sha256`. */
export function createSha256(): Hasher {
  const crypto = globalThis.process?.getBuiltinModule?.('node:crypto');
  if (!crypto) return new Sha256();
  const hash = crypto.createHash('sha256');
  return { update: (bytes) => hash.update(bytes), hex: () => hash.digest('hex') };
}

/** The SHA-256 of bytes in memory as 64 hexadecimal digits. Runs off this thread where Web Crypto is available. */
export async function sha256Bytes(bytes: Uint8Array): Promise<string> {
  const { subtle } = globalThis.crypto ?? {};
  if (!subtle) return new Sha256().update(bytes).hex();
  const digest = new Uint8Array(await subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The SHA-256 of a text's UTF-8 bytes. */
export function sha256Text(text: string): string {
  return new Sha256().update(new TextEncoder().encode(text)).hex();
}

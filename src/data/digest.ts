/** A fast 64-bit hash by which a changed data set is noticed. It protects against mistakes, not against forgery. */
export class Digest {
  private a = 0x9e3779b9 | 0;
  private b = 0x85ebca6b | 0;

  /** Adds integers from 0 to 2³² − 1, and their number. */
  numbers(values: ArrayLike<number>): this {
    let { a, b } = this;
    for (let i = 0; i < values.length; i++) {
      // The mixing steps of MurmurHash3 with two different multipliers.
      const v = Math.imul(values[i]! | 0, 0xcc9e2d51);
      a = Math.imul((a ^ v ^ (v >>> 15)) | 0, 0x1b873593);
      a = (a << 13) | (a >>> 19);
      b = (Math.imul((b ^ v ^ (v >>> 17)) | 0, 0x2c1b3c6d) + 0x52dce729) | 0;
      b = (b << 11) | (b >>> 21);
    }
    [this.a, this.b] = [a, b];
    return this.one(values.length % 2 ** 32).one(Math.floor(values.length / 2 ** 32));
  }

  text(text: string): this {
    return this.numbers(new TextEncoder().encode(text));
  }

  private one(value: number): this {
    const v = Math.imul(value | 0, 0x297a2d39);
    this.a = Math.imul((this.a ^ v ^ (v >>> 13)) | 0, 0x165667b1);
    this.b = Math.imul((this.b ^ v ^ (v >>> 16)) | 0, 0x27d4eb2f);
    return this;
  }

  /** 16 hexadecimal digits. More values may be added afterwards. */
  hex(): string {
    const mixed = [this.a ^ (this.b >>> 16), this.b ^ (this.a >>> 13)].map((h) => {
      const k = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
      const l = Math.imul(k ^ (k >>> 13), 0xc2b2ae35);
      return ((l ^ (l >>> 16)) >>> 0).toString(16).padStart(8, '0');
    });
    return mixed.join('');
  }
}

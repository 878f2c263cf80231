import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Sha256, sha256Text } from '../../src/io/sha256.js';

const want = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe('SHA-256', () => {
  it('matches the examples of FIPS 180-4', () => {
    expect(sha256Text('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(sha256Text('')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  });

  it("equals Node's at every length around its blocks", () => {
    const bytes = randomBytes(260);
    for (let n = 0; n <= bytes.length; n++)
      expect(new Sha256().update(bytes.subarray(0, n)).hex(), `${n} bytes`).toBe(want(bytes.subarray(0, n)));
  });

  it('does not depend on how the bytes are split into chunks', () => {
    const bytes = randomBytes(300_000);
    for (const size of [1, 7, 63, 64, 65, 1000, 65_536]) {
      const hash = new Sha256();
      for (let at = 0; at < bytes.length; at += size) hash.update(bytes.subarray(at, at + size));
      expect(hash.hex(), `pieces of ${size}`).toBe(want(bytes));
    }
  });
});

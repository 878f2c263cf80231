/** Damaged safetensors files: a header that is accepted must agree with the file. */
import { damaged, JSON_TOKENS, mutated } from './mutated.mjs';

export const safetensors = mutated({
  name: 'safetensors',
  url: import.meta.url,
  files: 20_000,
  share: 15,
  bases: ({ encodeSafetensors }) =>
    [0, 50].map((length) =>
      encodeSafetensors(
        ['a', 'b.weight', '__proto__', 'ü"\\'].map((name, i) => ({
          name,
          dtype: 'F32',
          shape: [i, 2],
          data: new Float32Array(2 * i),
        })),
        { format: 'pt', note: 'x'.repeat(length) },
      ),
    ),
  damage(tools, base) {
    const bytes = damaged(tools, base, JSON_TOKENS);
    // The first 8 bytes are the header's length: mostly one that fits, so that the header is read.
    const rest = bytes.length - 8;
    if (rest >= 0 && tools.chance(0.6))
      bytes.writeBigUInt64LE(BigInt(Math.max(0, Math.min(rest, rest - 48 + tools.int(3) - 1))), 0);
    return bytes;
  },
  async read({ parseHeader }, bytes) {
    const { tensors, dataOffset } = await parseHeader(bytes);
    let at = 0;
    for (const [name, { begin, end }] of tensors) {
      if (begin !== at || end < begin) return `tensor ${name} lies at ${begin} to ${end}, and the one before ends at ${at}`;
      at = end;
    }
    return dataOffset + at !== bytes.length ? `the tensors end at ${dataOffset + at} of ${bytes.length} bytes` : undefined;
  },
});

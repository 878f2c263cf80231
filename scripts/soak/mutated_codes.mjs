/** Damaged files of codes: whatever is accepted has codes of the vocabulary and labels of the classes. */
import { damaged, JSON_TOKENS, mutated } from './mutated.mjs';

export const mutatedCodes = mutated({
  name: 'codes',
  url: import.meta.url,
  files: 8000,
  share: 4,
  async bases({ encodeCodes }) {
    const part = (n) => ({ codes: new Uint32Array(4 * n).fill(3), labels: Uint32Array.from({ length: n }, (_, i) => i % 2) });
    const common = { ...part(6), tokens: 4, classes: ['a', 'b'], fingerprint: '0'.repeat(64) };
    const all = [{ vocabulary: 16, eval: part(2) }, { vocabulary: 1024 }, { vocabulary: 100_000 }];
    return Promise.all(
      all.map(async (own) => {
        const pieces = [];
        for await (const piece of encodeCodes({ ...common, eval: undefined, ...own })) pieces.push(Uint8Array.from(piece));
        return Buffer.concat(pieces);
      }),
    );
  },
  damage(tools, base) {
    if (tools.chance(0.3)) return damaged(tools, base);
    const length = Number(base.readBigUInt64LE(0));
    // The header is damaged alone, and its length is right.
    let header = base.subarray(8, 8 + length);
    if (tools.chance(0.5)) header = damaged(tools, header, JSON_TOKENS);
    else {
      const json = JSON.parse(header);
      const key = tools.pick(Object.keys(json.__metadata__));
      json.__metadata__[key] = tools.pick([
        '',
        '0',
        '-1',
        '1e3',
        '1e300',
        '16',
        '[]',
        '[1]',
        '["a"]',
        '["a",',
        'NaN',
        '1.5',
        ' 4',
        '0x4',
      ]);
      header = Buffer.from(JSON.stringify(json));
    }
    const start = Buffer.alloc(8);
    start.writeBigUInt64LE(BigInt(header.length));
    const data = base.subarray(8 + length);
    return Buffer.concat([start, header, tools.chance(0.3) ? damaged(tools, data) : data]);
  },
  async read({ readCodes }, bytes) {
    const { codes, labels, tokens, vocabulary, classes } = await readCodes(bytes);
    if (codes.length !== labels.length * tokens) return `${codes.length} codes of ${labels.length} images of ${tokens}`;
    if (codes.some((code) => code >= vocabulary)) return 'a code is outside of the vocabulary';
    return labels.some((label) => label >= classes.length) ? 'a label has no class' : undefined;
  },
});

/** Damaged headers either parse in agreement with the file or throw CheckpointError, and no read is out of bounds. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { CheckpointError } from '../../src/core/errors.js';
import { type ByteSource, bytesSource } from '../../src/io/bytes.js';
import { DTYPE_BYTES, encodeSafetensors, parseHeader } from '../../src/io/safetensors.js';
import { file } from './helpers.js';

/** Parses and checks every promise of parseHeader; true if the bytes were valid. */
async function consistent(bytes: Uint8Array): Promise<boolean> {
  const inner = bytesSource(bytes);
  const source: ByteSource = {
    ...inner,
    read(offset, length) {
      if (offset + length > bytes.length) throw new Error(`read ${length} bytes at ${offset} of ${bytes.length}`);
      return inner.read(offset, length);
    },
  };
  let header: Awaited<ReturnType<typeof parseHeader>>;
  try {
    header = await parseHeader(source);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    if (error.message.length > 800) throw new Error(`a message of ${error.message.length} characters`);
    return false;
  }
  let at = 0;
  for (const { dtype, shape, begin, end } of header.tensors.values()) {
    const size = shape.reduce((p, d) => p * d, DTYPE_BYTES[dtype]);
    if (begin !== at || end - begin !== size) throw new Error(`[${begin}, ${end}) at ${at} of ${size} bytes`);
    at = end;
  }
  if (header.dataOffset + at !== bytes.length) throw new Error(`ends at ${at}`);
  for (const [key, value] of header.metadata) if (typeof key !== 'string' || typeof value !== 'string') throw new Error(key);
  return true;
}

const valid = fc
  .record({
    shapes: fc.array(fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }), { maxLength: 4 }),
    names: fc.uniqueArray(fc.oneof(fc.constantFrom('a', '__proto__', 'x.weight', 'q"\\'), fc.string({ unit: 'grapheme' })), {
      minLength: 4,
      maxLength: 4,
    }),
    metadata: fc.option(fc.dictionary(fc.string(), fc.string(), { maxKeys: 2 }), { nil: undefined }),
  })
  .map(({ shapes, names, metadata }) =>
    encodeSafetensors(
      shapes.map((shape, i) => ({
        name: names[i] === '__metadata__' ? 'm' : names[i]!,
        dtype: 'F32' as const,
        shape,
        data: new Float32Array(shape.reduce((p, d) => p * d, 1)),
      })),
      metadata,
    ),
  );

const place = fc.nat({ max: 2 ** 20 });
const someNumber = fc.constantFrom(
  '-1',
  '1.5',
  '1e99',
  '1e3',
  '9007199254740993',
  '"4"',
  'null',
  '[]',
  '{}',
  '0',
  '-0',
  '4',
  '99999999999',
);
const junk = fc.oneof(
  fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    '"',
    ',',
    ':',
    '\\',
    '{"a":{}}',
    '[[[[',
    '"__proto__":{},',
    '\\u0061',
    ' ',
    '\u0000',
    '"dtype"',
    '"F16"',
  ),
  fc.json({ maxDepth: 3 }),
);

type Bytes = Uint8Array<ArrayBuffer>;
type Edit = (bytes: Bytes) => Bytes;
const splice = (b: Bytes, at: number, drop: number, add: Uint8Array): Bytes =>
  new Uint8Array(Buffer.concat([b.subarray(0, at), add, b.subarray(at + drop)]));
const headerText = (b: Uint8Array) =>
  new TextDecoder().decode(b.subarray(8, 8 + Number(new DataView(b.buffer).getBigUint64(0, true))));
const retext = (b: Bytes, change: (text: string) => string): Bytes => {
  const text = headerText(b);
  return file(change(text), b.subarray(8 + new TextEncoder().encode(text).length));
};
/** Replaces the n-th match of a pattern. */
const swap = (text: string, pattern: RegExp, n: number, by: string) => {
  const found = [...text.matchAll(pattern)];
  const m = found[n % (found.length || 1)];
  return m ? text.slice(0, m.index) + by + text.slice(m.index + m[0].length) : text;
};

const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc.tuple(place, fc.integer({ min: 1, max: 255 })).map(
    ([at, x]): Edit =>
      (b) => {
        const out = b.slice();
        out[at % b.length]! ^= x;
        return out;
      },
  ),
  place.map(
    (at): Edit =>
      (b) =>
        b.slice(0, at % b.length),
  ),
  fc.tuple(place, fc.uint8Array({ maxLength: 5 })).map(
    ([at, add]): Edit =>
      (b) =>
        splice(b, at % b.length, 0, add),
  ),
  fc.tuple(place, fc.integer({ min: 1, max: 9 })).map(
    ([at, n]): Edit =>
      (b) =>
        splice(b, at % b.length, n, new Uint8Array(0)),
  ),
  fc.tuple(place, someNumber).map(
    ([n, by]): Edit =>
      (b) =>
        retext(b, (t) => swap(t, /-?\d+/g, n, by)),
  ),
  fc.tuple(place, junk).map(
    ([n, by]): Edit =>
      (b) =>
        retext(b, (t) => swap(t, /"[^"]*"|[[\]{}:,]|\d+/g, n, by)),
  ),
  fc.tuple(place, junk).map(
    ([at, add]): Edit =>
      (b) =>
        retext(b, (t) => t.slice(0, at % t.length) + add + t.slice(at % t.length)),
  ),
  place.map(
    (n): Edit =>
      (b) =>
        retext(b, (t) => {
          const entry = [...t.matchAll(/"[^"]*":\{[^}]*\}/g)].map((m) => m[0]);
          return entry.length ? t.replace('{', () => `{${entry[n % entry.length]},`) : t;
        }),
  ),
  fc.constantFrom(0n, 1n, 7n, 100_000_001n, 2n ** 31n, 2n ** 32n + 8n, 2n ** 53n, 2n ** 60n, 2n ** 63n, 2n ** 64n - 1n).map(
    (n): Edit =>
      (b) => {
        const out = b.slice();
        if (out.length >= 8) new DataView(out.buffer).setBigUint64(0, n, true);
        return out;
      },
  ),
);

it('12,000 damaged files each parse correctly or throw CheckpointError', async () => {
  let [good, refused] = [0, 0];
  await fc.assert(
    fc.asyncProperty(valid, fc.array(edit, { minLength: 1, maxLength: 3 }), async (bytes, edits) => {
      if (!(await consistent(bytes))) throw new Error('the undamaged file was refused');
      let damaged = bytes;
      for (const e of edits) if (damaged.length >= 8 && headerFits(damaged)) damaged = e(damaged);
      if (await consistent(damaged)) good++;
      else refused++;
    }),
    { numRuns: 12_000 },
  );
  expect(refused).toBeGreaterThan(6000);
  expect(good).toBeGreaterThan(100);
});

it('any JSON as a header parses correctly or throws CheckpointError', async () => {
  const any = fc.oneof(
    fc.json(),
    fc.dictionary(fc.string(), fc.anything()).map((v) => JSON.stringify(v)),
  );
  await fc.assert(
    fc.asyncProperty(any, fc.nat({ max: 16 }), async (text, n) => void (await consistent(file(text, n)))),
    { numRuns: 2000 },
  );
});

it('random bytes parse correctly or throw CheckpointError', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), async (bytes) => {
      const small = bytes.slice();
      small.fill(0, 1, 8);
      await consistent(bytes);
      await consistent(small);
    }),
    { numRuns: 2000 },
  );
});

it('50 MB of brackets or of strings are refused at once', async () => {
  for (const text of ['['.repeat(5e7), '{"a":'.repeat(1e7), `"${'\\"'.repeat(2e7)}`])
    expect(await consistent(file(text))).toBe(false);
});

function headerFits(b: Uint8Array): boolean {
  return new DataView(b.buffer, b.byteOffset).getBigUint64(0, true) <= BigInt(b.length - 8) && headerText(b).length > 0;
}

import { execFileSync, spawnSync } from 'node:child_process';
import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/source.js';
import { CheckpointError, OptionError, ShapeError } from '../../src/core/errors.js';
import { type ByteSource, bytesSource } from '../../src/io/bytes.js';
import { toFloat32, toHalves } from '../../src/io/dtype.js';
import { openFile } from '../../src/io/file_source.js';
import {
  DTYPE_BYTES,
  encodeSafetensors,
  parseHeader,
  readFloats,
  readInts,
  type TensorArray,
  type TensorData,
  tensorChunks,
  writeSafetensors,
} from '../../src/io/safetensors.js';
import { writeAtomic } from '../../src/platform/files.js';
import { fixture, GOLDENS, golden } from '../goldens.js';
import { failure, file, temporaryFolder } from './helpers.js';

const folder = await temporaryFolder();

const samples: Record<keyof typeof DTYPE_BYTES, TensorArray> = {
  F64: new Float64Array([0.5, -2, 1e-30, 3, 4, 5]),
  F32: new Float32Array([1, -0, 3.25, 1e-40, -7, 6e30]),
  F16: new Float32Array([1, -0.5, 65504, 2 ** -24, 0, -3]),
  BF16: new Float32Array([1, -0.5, 2 ** 127, 2 ** -133, 0, -3]),
  I64: new BigInt64Array([0n, -1n, 2147483647n, -2147483648n, 5n, 6n]),
  I32: new Int32Array([0, -1, 2147483647, -2147483648, 5, 6]),
  I16: new Int16Array([0, -1, 32767, -32768, 5, 6]),
  I8: new Int8Array([0, -1, 127, -128, 5, 6]),
  U8: new Uint8Array([0, 1, 127, 255, 5, 6]),
  U16: new Uint16Array([0, 1, 127, 65535, 5, 6]),
  U32: new Uint32Array([0, 1, 127, 4294967295, 5, 6]),
  U64: new BigUint64Array([0n, 1n, 127n, 4294967295n, 5n, 6n]),
  BOOL: new Uint8Array([0, 1, 1, 0, 1, 0]),
};
const isFloat = (dtype: string) => /^B?F/.test(dtype);

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const c of chunks) parts.push(c);
  return new Uint8Array(Buffer.concat(parts));
}

describe('round trips', () => {
  for (const [dtype, data] of Object.entries(samples) as [keyof typeof DTYPE_BYTES, TensorArray][]) {
    for (const chunkBytes of [1, 9, 4096]) {
      it(`${dtype}, ${chunkBytes} bytes at a time`, async () => {
        // The odd U8 tensor before it leaves the data unaligned in the file.
        const bytes = encodeSafetensors([
          { name: 'b', dtype, shape: [2, 3], data },
          { name: 'a', dtype: 'U8', shape: [3], data: new Uint8Array([7, 8, 9]) },
        ]);
        const header = await parseHeader(bytes);
        expect(header.tensors.get('b')).toEqual({ dtype, shape: [2, 3], begin: 3, end: 3 + 6 * DTYPE_BYTES[dtype] });
        // A misaligned view of memory is the hardest for typed arrays.
        const shifted = new Uint8Array(bytes.length + 1);
        shifted.set(bytes, 1);
        for (const view of [bytes, shifted.subarray(1), Buffer.from(shifted.buffer, 1)]) {
          const source = bytesSource(view);
          const got = isFloat(dtype)
            ? await readFloats(source, header, 'b', { chunkBytes, finite: true })
            : await readInts(source, header, 'b', { chunkBytes });
          expect([...got]).toEqual([...(data as Float32Array)].map(isFloat(dtype) ? Math.fround : Number));
        }
      });
    }
  }

  it('streams the same bytes as it encodes, sorted, with metadata and a padded header', async () => {
    const tensors: TensorData[] = [
      { name: 'z', dtype: 'F32', shape: [2], data: async () => new Float32Array([1, 2]) },
      { name: '__proto__', dtype: 'I32', shape: [], data: new Int32Array([42]) },
      { name: 'constructor', dtype: 'F16', shape: [0, 5], data: new Float32Array(0) },
      { name: 'ключ "\\\n😀', dtype: 'U8', shape: [1], data: new Uint8Array([1]) },
    ];
    const metadata = { format: 'pt', note: 'ü "quoted"' };
    const bytes = await collect(writeSafetensors(tensors, metadata));
    const eager = tensors.map((t) => ({ ...t, data: t.name === 'z' ? new Float32Array([1, 2]) : (t.data as TensorArray) }));
    expect(bytes).toEqual(encodeSafetensors(eager, metadata));
    expect(Number(new DataView(bytes.buffer).getBigUint64(0, true)) % 8).toBe(0);
    const header = await parseHeader(bytes);
    expect(Object.fromEntries(header.metadata)).toEqual(metadata);
    expect([...header.tensors.keys()]).toEqual(['__proto__', 'constructor', 'z', 'ключ "\\\n😀']);
    expect([...(await readInts(bytesSource(bytes), header, '__proto__'))]).toEqual([42]);
    expect([...(await readFloats(bytesSource(bytes), header, 'constructor'))]).toEqual([]);
  });

  it('a file without tensors is valid', async () => {
    expect((await parseHeader(encodeSafetensors([]))).tensors.size).toBe(0);
  });

  it("writes files that a Python script reads by the format's definition", async (context) => {
    const python = spawnSync('python3', ['-c', 'import numpy']);
    if (python.status !== 0) context.skip('python3 with numpy is not installed');
    const path = join(folder, 'python.safetensors');
    await writeAtomic(
      path,
      writeSafetensors(
        [
          { name: 'h', dtype: 'F16', shape: [2, 2], data: new Float32Array([1, -2, 0.1, 65504]) },
          { name: 'f', dtype: 'F32', shape: [3], data: new Float32Array([0.5, 1.5, -2.25]) },
        ],
        { format: 'pt' },
      ),
    );
    const script = `
import json, struct, sys, numpy
b = open(sys.argv[1], 'rb').read()
n = struct.unpack('<Q', b[:8])[0]
h = json.loads(b[8:8+n]); assert b[8:9] == b'{' and n % 8 == 0 and h.pop('__metadata__') == {'format': 'pt'}
kinds = {'F16': '<f2', 'F32': '<f4'}
print(json.dumps({k: numpy.frombuffer(b[8+n:][v['data_offsets'][0]:v['data_offsets'][1]], kinds[v['dtype']]).reshape(v['shape']).astype(float).tolist() for k, v in h.items()}))`;
    const got = JSON.parse(execFileSync('python3', ['-c', script, path], { encoding: 'utf8' }));
    expect(got).toEqual({
      f: [0.5, 1.5, -2.25],
      h: [
        [1, -2],
        [expect.closeTo(0.1, 4), 65504],
      ],
    });
  });
});

describe('float16 and bfloat16', () => {
  /** The value of half bits by the definition of the format. */
  function half(h: number): number {
    const sign = h >> 15 ? -1 : 1;
    const [e, m] = [(h >> 10) & 31, h & 1023];
    if (e === 31) return m ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    return sign * (e ? (1 + m / 1024) * 2 ** (e - 15) : m * 2 ** -24);
  }
  const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const bytes = new Uint8Array(all.buffer);

  it('every F16 and BF16 value is read as defined and written back to the same bits', () => {
    const f16 = toFloat32(bytes, 'F16');
    const bf16 = toFloat32(bytes, 'BF16');
    for (let h = 0; h < 65536; h++) {
      if (!Object.is(f16[h], half(h))) throw new Error(`half ${h}: ${f16[h]}, not ${half(h)}`);
      const upper = new Float32Array(new Uint32Array([h << 16]).buffer)[0];
      if (!Object.is(bf16[h], upper)) throw new Error(`bfloat ${h}: ${bf16[h]}`);
    }
    const numbers = (f: Float32Array) => Array.from(f).filter((v) => !Number.isNaN(v)).length;
    for (const [dtype, floats] of [
      ['F16', f16],
      ['BF16', bf16],
    ] as const) {
      const back = toHalves(floats, dtype, 'x');
      expect(back.filter((b, i) => b === i && !Number.isNaN(floats[i])).length).toBe(numbers(floats));
      expect(toFloat32(new Uint8Array(back.buffer), dtype).every((v, i) => Object.is(v, floats[i]))).toBe(true);
    }
  });

  it('rounds to nearest, ties to even, between all neighbouring values', () => {
    for (const dtype of ['F16', 'BF16'] as const) {
      const values = toFloat32(bytes, dtype);
      const largest = dtype === 'F16' ? 0x7bff : 0x7f7f;
      const middle = new Float32Array(largest);
      for (let h = 0; h < largest; h++) middle[h] = values[h]! / 2 + values[h + 1]! / 2;
      const below = new Float32Array(new Uint32Array(middle.buffer.slice(0)).map((b) => b - 1).buffer);
      const above = new Float32Array(new Uint32Array(middle.buffer.slice(0)).map((b) => b + 1).buffer);
      const check = (data: Float32Array, want: (h: number) => number) => {
        const got = toHalves(data, dtype, 'x');
        for (let h = 1; h < largest; h++) if (got[h] !== want(h)) throw new Error(`${dtype} ${h}: ${data[h]} gave ${got[h]}`);
      };
      check(middle, (h) => h + (h & 1));
      check(below, (h) => h);
      check(above, (h) => h + 1);
      expect([...toHalves(new Float32Array([2 ** -25, -(2 ** -25), 2 ** -26]), 'F16', 'x')]).toEqual([0, 0x8000, 0]);
    }
  });

  it('refuses overflow, naming tensor and index, and preserves infinities and NaN', () => {
    const make = (dtype: 'F16' | 'BF16' | 'F32', data: TensorArray) => () =>
      encodeSafetensors([{ name: 'big', dtype, shape: [3], data }]);
    expect(make('F16', new Float32Array([0, 65519, 65520]))).toThrow(/tensor big: 65520 at index 2 is too large for F16/);
    expect(make('BF16', new Float32Array([0, -3.4e38, 0]))).toThrow(/tensor big: .* at index 1 is too large for BF16/);
    expect(make('F32', new Float64Array([1e39, 0, 0]))).toThrow(/tensor big: 1e\+39 at index 0 is too large for F32/);
    for (const dtype of ['F16', 'BF16'] as const) {
      const h = toHalves(new Float32Array([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]), dtype, 'x');
      expect([...toFloat32(new Uint8Array(h.buffer), dtype)]).toEqual([Infinity, -Infinity, NaN]);
    }
  });
});

describe('refusals of a header', () => {
  const a = { dtype: 'F32', shape: [2], data_offsets: [0, 8] };
  const manyKeys = Array.from({ length: 200_001 }, (_, i) => `"${i.toString(36)}":"x"`).join();
  const deep = `{"a":${'['.repeat(50)}${']'.repeat(50)}}`;
  const cases: [what: string, bytes: Uint8Array, message: RegExp][] = [
    ['fewer than 8 bytes', new Uint8Array(5), /f\.st has only 5 bytes/],
    ['a header beyond the file', file('{}', 0, 100n), /f\.st is cut off: its header should have 100 bytes, and 98 of them/],
    ['a header above 16 MiB', file('{}', 0, 16_777_217n), /f\.st gives its header 16777217 bytes, more than/],
    ['a header of too many names', file(`{${manyKeys}}`), /f\.st has more than 200000 names in its header/],
    ['too many names in metadata', file(`{"__metadata__":{${manyKeys}}}`), /f\.st has more than 200000 names in its header/],
    ['a header of 2^60', file('{}', 0, 1n << 60n), /f\.st gives its header 1152921504606846976 bytes/],
    ['a header of 2^64 - 1', file('{}', 0, (1n << 64n) - 1n), /f\.st gives its header/],
    ['a web page', new TextEncoder().encode('<!DOCTYPE html><html>'), /f\.st is a web page/],
    ['a Git LFS pointer', new TextEncoder().encode('version https://git-lfs.github.com/spec/v1'), /git lfs pull/],
    ['a zip', new TextEncoder().encode('PK\x03\x04\x00\x00\x08\x08aaaaa'), /f\.st is a zip archive/],
    ['JSON', new TextEncoder().encode('{"dtype": "F32"}'), /f\.st is JSON/],
    ['no header', file(''), /f\.st has a header that is not valid JSON/],
    ['invalid UTF-8', Uint8Array.from([2, 0, 0, 0, 0, 0, 0, 0, 0xc3, 0x28]), /f\.st has a header that is not valid UTF-8/],
    ['invalid JSON', file('{"a":'), /f\.st has a header that is not valid JSON/],
    ['an array', file('[]'), /f\.st has a header that is not a JSON object/],
    ['null', file('null'), /f\.st has a header that is not a JSON object/],
    ['deep nesting', file(deep), /nested too deeply at a;/],
    ['duplicate keys', file(`{"a":${JSON.stringify(a)},"a":${JSON.stringify(a)}}`, 8), /f\.st has the key a twice;/],
    [
      'duplicate keys in two spellings',
      file(`{"a":${JSON.stringify(a)}, "\\u0061" :${JSON.stringify(a)}}`, 8),
      /the key a twice/,
    ],
    ['duplicate keys with quotes', file('{"\\"x\\\\":{},"\\"x\\\\":{}}'), /the key "x\\ twice/],
    [
      'a duplicate in an entry',
      file('{"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}', 8),
      /the key shape twice in a;/,
    ],
    ['a duplicate in metadata', file('{"__metadata__":{"k":"1","k":"2"}}'), /the key k twice in __metadata__/],
    ['an entry that is no object', file({ w: [1] }), /describes tensor w by something that is not an object/],
    ['an entry of null', file({ w: null }), /describes tensor w by/],
    ['an unknown property', file({ w: { ...a, layout: 'x' } }, 8), /gives tensor w an unknown property layout/],
    ['an entry without dtype', file({ w: { shape: [2], data_offsets: [0, 8] } }, 8), /stores tensor w as nothing; convert/],
    ['an unknown dtype', file({ w: { ...a, dtype: 'F8_E4M3' } }, 8), /f\.st stores tensor w as "F8_E4M3"; convert/],
    ['a dtype of another type', file({ w: { ...a, dtype: 4 } }, 8), /stores tensor w as 4/],
    ['a dtype that all objects have', file({ w: { ...a, dtype: 'toString' } }, 8), /stores tensor w as "toString"/],
    ['an entry without shape', file({ w: { dtype: 'F32', data_offsets: [0, 8] } }, 8), /gives tensor w the shape nothing/],
    ['an entry without offsets', file({ w: { dtype: 'F32', shape: [2] } }, 8), /gives tensor w the data_offsets nothing/],
    ['a negative size', file({ w: { ...a, shape: [-2] } }, 8), /gives tensor w the shape \[-2\]/],
    ['a size of minus zero', file('{"w":{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}}'), /gives tensor w the shape/],
    ['a fractional size', file({ w: { ...a, shape: [1.5] } }, 8), /gives tensor w the shape \[1\.5\]/],
    ['an unsafe size', file('{"w":{"dtype":"F32","shape":[9007199254740993],"data_offsets":[0,8]}}', 8), /tensor w the shape/],
    ['a size that is a string', file({ w: { ...a, shape: ['2'] } }, 8), /gives tensor w the shape \["2"\]/],
    [
      'an overflowing shape',
      file({ w: { ...a, shape: [2 ** 30, 2 ** 30] } }, 8),
      /gives tensor w the shape .*larger than any file/,
    ],
    [
      'an overflow behind a zero',
      file({ w: { ...a, shape: [2 ** 30, 2 ** 30, 0], data_offsets: [0, 0] } }),
      /larger than any file/,
    ],
    ['three offsets', file({ w: { ...a, data_offsets: [0, 4, 8] } }, 8), /gives tensor w the data_offsets \[0,4,8\]/],
    ['backward offsets', file({ w: { ...a, data_offsets: [8, 0] } }, 8), /gives tensor w the data_offsets \[8,0\]/],
    ['negative offsets', file({ w: { ...a, data_offsets: [-8, 0] } }, 8), /gives tensor w the data_offsets \[-8,0\]/],
    ['a size that does not match', file({ w: { ...a, shape: [3] } }, 8), /gives tensor w 8 bytes, and F32 \[3\] takes 12/],
    ['an overlap', file({ v: a, w: { ...a, data_offsets: [4, 12] } }, 12), /has tensor w overlapping tensor v/],
    ['the same place twice', file({ v: a, w: a }, 8), /has tensor w overlapping tensor v/],
    [
      'an empty tensor inside another',
      file({ v: a, w: { dtype: 'F32', shape: [0], data_offsets: [4, 4] } }, 8),
      /tensor w overlapping tensor v/,
    ],
    ['a hole', file({ v: a, w: { ...a, data_offsets: [12, 20] } }, 20), /has a hole of 4 bytes between tensor v and tensor w/],
    [
      'a hole at the start',
      file({ w: { ...a, data_offsets: [4, 12] } }, 12),
      /a hole of 4 bytes between the header and tensor w/,
    ],
    [
      'missing bytes',
      file({ v: a, w: { ...a, data_offsets: [8, 16] } }, 11),
      /is cut off: 5 of its 16 data bytes are missing, from tensor w on/,
    ],
    ['unaccounted bytes', file({ w: a }, 11), /has 3 bytes after its last tensor \(tensor w\)/],
    ['metadata that is a list', file({ __metadata__: [] }), /has a __metadata__ that is not an object of strings/],
    ['metadata of numbers', file({ __metadata__: { epoch: 3 } }), /has a __metadata__ whose epoch is not a string/],
    ['an empty tensor beyond the end', file({ w: { dtype: 'F32', shape: [0], data_offsets: [4, 4] } }), /a hole of 4 bytes/],
  ];
  it.each(cases)('%s', async (_, bytes, message) => {
    const error = await failure(parseHeader(bytesSource(bytes, 'f.st')));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/; .*\.$/);
  });

  it('a long header can be aborted and does not block the thread', async () => {
    const entries = Array.from({ length: 60_000 }, (_, i) => [`t${i}`, { dtype: 'U8', shape: [0], data_offsets: [0, 0] }]);
    const bytes = file(Object.fromEntries(entries));
    const control = new AbortController();
    const reason = new Error('enough');
    setTimeout(() => control.abort(reason));
    expect(await failure(parseHeader(bytes, { signal: control.signal }))).toBe(reason);
    expect((await parseHeader(bytes)).tensors.size).toBe(60_000);
  });

  it('a runtime without TextDecoder is not reported as a damaged file', async () => {
    vi.stubGlobal('TextDecoder', undefined);
    try {
      expect((await failure(parseHeader(file('{}')))).message).toMatch(/TextDecoder/);
    } finally {
      vi.unstubAllGlobals();
    }
  });

  it('messages stay short for long headers', async () => {
    const long = 'x'.repeat(100_000);
    for (const header of [{ [long]: 0 }, { w: { ...a, shape: Array(50_000).fill(1.5) } }, { w: { ...a, dtype: long } }])
      expect((await failure(parseHeader(file(header)))).message.length).toBeLessThan(600);
  });

  it('escapes and white space in a valid header are accepted', async () => {
    const text = `  { "\\u0061\\"{[" :\n${JSON.stringify(a)} , "b":${JSON.stringify({ ...a, data_offsets: [8, 16] })} }   `;
    expect([...(await parseHeader(file(text, 16))).tensors.keys()]).toEqual(['a"{[', 'b']);
  });
});

describe('reading tensors', () => {
  const bytes = encodeSafetensors([
    { name: 'f', dtype: 'F32', shape: [5], data: new Float32Array([1, 2, 3, Number.NaN, 5]) },
    { name: 'h', dtype: 'F16', shape: [2], data: new Float32Array([1, Number.NEGATIVE_INFINITY]) },
    { name: 'd', dtype: 'F64', shape: [1], data: new Float64Array([1e300]) },
    { name: 'i', dtype: 'I64', shape: [2], data: new BigInt64Array([1n, 1n << 40n]) },
  ]);
  const source = bytesSource(bytes, 'f.st');

  it('refuses values that are not finite, naming tensor and index, if requested', async () => {
    const header = await parseHeader(bytes);
    const read = (name: string) => failure(readFloats(source, header, name, { finite: true, chunkBytes: 8 }));
    expect((await read('f')).message).toMatch(/^f\.st: tensor f \(F32\) has NaN at index 3;/);
    expect((await read('h')).message).toMatch(/tensor h \(F16\) has -Infinity at index 1;/);
    expect((await read('d')).message).toMatch(/tensor d \(F64\) has Infinity at index 0;/);
    expect((await readFloats(source, header, 'f'))[3]).toBeNaN();
  });

  it('refuses missing tensors, wrong kinds and integers beyond 32 bits', async () => {
    const header = await parseHeader(bytes);
    expect((await failure(readFloats(source, header, 'toString'))).message).toMatch(/f\.st: there is no tensor toString/);
    expect((await failure(readFloats(source, header, 'i'))).message).toMatch(/tensor i is I64, not floating point/);
    expect((await failure(readInts(source, header, 'f'))).message).toMatch(/tensor f is F32, not of integers/);
    expect((await failure(readInts(source, header, 'i'))).message).toMatch(
      /tensor i has 1099511627776 at index 1, beyond 32 bits/,
    );
    expect(await failure(readFloats(source, header, 'f', { chunkBytes: 0 }))).toBeInstanceOf(OptionError);
  });

  it('rejects on abort with the reason', async () => {
    const header = await parseHeader(bytes);
    const control = new AbortController();
    const reason = new Error('enough');
    const chunks = tensorChunks(source, header, 'f', { chunkBytes: 4, signal: control.signal });
    expect([...(await chunks.next()).value!]).toEqual([1]);
    control.abort(reason);
    expect(await failure(chunks.next())).toBe(reason);
    expect(await failure(parseHeader(source, { signal: control.signal }))).toBe(reason);
  });

  it('tensors read in the order of the header need contiguous ascending reads', async () => {
    const reads: [number, number][] = [];
    const inner = bytesSource(
      encodeSafetensors(['c', 'a', 'b'].map((name) => ({ name, dtype: 'F16', shape: [9], data: new Float32Array(9) }))),
    );
    const recording: ByteSource = {
      ...inner,
      read(offset, length) {
        reads.push([offset, length]);
        return inner.read(offset, length);
      },
    };
    const header = await parseHeader(recording);
    for (const name of header.tensors.keys()) await readFloats(recording, header, name, { chunkBytes: 8 });
    let at = 0;
    for (const [offset, length] of reads) {
      expect(offset).toBe(at);
      at += length;
    }
    expect(at).toBe(inner.size);
  });
});

describe('refusals of the writer', () => {
  const f = { name: 'w', dtype: 'F32', shape: [2], data: new Float32Array(2) } as const;
  const cases: [string, () => unknown, new (m: string) => Error, RegExp][] = [
    ['two of a name', () => encodeSafetensors([f, f]), OptionError, /two tensors w/],
    ['a reserved name', () => encodeSafetensors([{ ...f, name: '__metadata__' }]), OptionError, /"__metadata__"/],
    ['half a character', () => encodeSafetensors([{ ...f, name: 'x\ud800' }]), OptionError, /cannot be stored/],
    [
      'an unknown dtype',
      () => encodeSafetensors([{ ...f, dtype: 'F8' as 'F32' }]),
      OptionError,
      /tensor w: there is no dtype F8/,
    ],
    ['a bad shape', () => encodeSafetensors([{ ...f, shape: [-2] }]), ShapeError, /tensor w cannot have the shape \[-2\]/],
    [
      'another length',
      () => encodeSafetensors([{ ...f, shape: [3] }]),
      ShapeError,
      /tensor w: \[3\] has 3 elements and the data 2/,
    ],
    [
      'another array',
      () => encodeSafetensors([{ ...f, data: new Int32Array(2) }]),
      ShapeError,
      /tensor w: F32 is .* not Int32Array/,
    ],
    [
      'a BOOL of 2',
      () => encodeSafetensors([{ ...f, dtype: 'BOOL', data: new Uint8Array([1, 2]) }]),
      OptionError,
      /2 at index 1/,
    ],
    ['metadata', () => encodeSafetensors([f], { a: 1 as unknown as string }), OptionError, /metadata a is not a string/],
  ];
  it.each(cases)('%s', (_, make, type, message) => {
    expect(make).toThrow(type);
    expect(make).toThrow(message);
  });
});

describe('real files', () => {
  it('all golden checkpoints available can be read, and every value is finite', async () => {
    const folders = GOLDENS.map(golden).filter((path) => path !== undefined);
    expect(folders.length).toBeGreaterThanOrEqual(2);
    for (const path of folders) {
      const checkpoint = await openCheckpoint(path);
      expect(await checkpoint.config()).toHaveProperty('num_classes');
      expect(await checkpoint.text('classes.json')).toBeUndefined();
      const expected = await openFile(join(path, 'expected.safetensors'));
      for (const source of [await checkpoint.weights(), expected]) {
        const header = await parseHeader(source);
        let values = 0;
        for (const [tensor, { dtype, shape }] of header.tensors) {
          const got = isFloat(dtype)
            ? await readFloats(source, header, tensor, { finite: true, chunkBytes: 100_003 })
            : await readInts(source, header, tensor);
          expect(got.length).toBe(shape.reduce((p, d) => p * d, 1));
          values += got.length;
        }
        expect(values).toBeGreaterThan(1000);
      }
      await expected.close();
      await checkpoint.close();
    }
  });

  it('a golden checkpoint written again has the same values', async () => {
    const path = join(fixture('mamba1-adaln-group'), 'model.safetensors');
    const source = await openFile(path);
    const header = await parseHeader(source);
    const tensors = [...header.tensors].map(([name, { dtype, shape }]) => ({
      name,
      dtype,
      shape,
      data: () => (isFloat(dtype) ? readFloats(source, header, name) : readInts(source, header, name)),
    }));
    const copy = join(folder, 'copy.safetensors');
    await writeAtomic(copy, writeSafetensors(tensors, Object.fromEntries(header.metadata)));
    const [before, after] = [await readFile(path), await readFile(copy)];
    const again = await parseHeader(after);
    expect([...again.metadata]).toEqual([...header.metadata]);
    for (const [name, { begin, end }] of header.tensors) {
      const e = again.tensors.get(name)!;
      const same = before
        .subarray(header.dataOffset + begin, header.dataOffset + end)
        .equals(after.subarray(again.dataOffset + e.begin, again.dataOffset + e.end));
      expect(same, name).toBe(true);
    }
    await source.close();
  });

  it('a file of 200 MB is read and written in a small part of that memory', async () => {
    const count = 50 * 2 ** 20;
    const path = join(folder, 'sparse.safetensors');
    const header = file({ big: { dtype: 'F32', shape: [count], data_offsets: [0, count * 4] } });
    await writeFile(path, header);
    const handle = await open(path, 'r+');
    await handle.truncate(header.length + count * 4);
    await handle.close();
    const source = await openFile(path);
    const parsed = await parseHeader(source);
    const before = process.memoryUsage().rss;
    let [peak, sum, seen] = [before, 0, 0];
    for await (const piece of tensorChunks(source, parsed, 'big', { finite: true })) {
      expect(piece.byteLength).toBeLessThanOrEqual(4 * 2 ** 20);
      seen += piece.length;
      sum += piece[0]!;
      peak = Math.max(peak, process.memoryUsage().rss);
    }
    expect([seen, sum]).toEqual([count, 0]);
    expect((peak - before) / 2 ** 20).toBeLessThan(80);
    await source.close();
    await rm(path);
  });
});

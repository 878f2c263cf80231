/** PyTorch checkpoints: read as safetensors, never executed, refused by name when damaged or foreign. */
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CheckpointError } from '../../src/core/errors.js';
import { type ByteSource, bytesSource } from '../../src/io/bytes.js';
import { openFile } from '../../src/io/file_source.js';
import { parseHeader, readFloats, readInts } from '../../src/io/safetensors.js';
import { asSafetensors, type TorchOptions, torchSource } from '../../src/io/torch.js';
import { failure, temporaryFolder } from './helpers.js';
import { Call, Global, legacyFile, Ordered, pickle, storage, TensorView, torchFile, zip } from './torch_file.js';

const folder = await temporaryFolder();
const floats = (n: number, first = 0) => Float32Array.from({ length: n }, (_, i) => first + i);
const f32 = (key: string, n: number, first = 0) => storage(key, 'FloatStorage', floats(n, first));
const open = (value: unknown, options: TorchOptions = {}) => torchSource(bytesSource(torchFile(value), 'model.pt'), options);

async function values(source: ByteSource): Promise<Record<string, number[]>> {
  const header = await parseHeader(source);
  const out: Record<string, number[]> = {};
  for (const [name, { dtype }] of header.tensors)
    out[name] = [...(/^(F|BF)/.test(dtype) ? await readFloats(source, header, name) : await readInts(source, header, name))];
  return out;
}

describe('tensors', () => {
  it('of every number format, also as parameters, are read in the order of the file', async () => {
    const state = new Ordered([
      ['f64', new TensorView(storage('0', 'DoubleStorage', new Float64Array([1.5, -2])), [2])],
      ['f32', new TensorView(f32('1', 6), [2, 3], undefined, 0, true)],
      ['f16', new TensorView(storage('2', 'HalfStorage', new Uint16Array([0x3c00, 0xc000])), [2, 1])],
      ['bf16', new TensorView(storage('3', 'BFloat16Storage', new Uint16Array([0x3f80, 0xc000])), [2])],
      ['i64', new TensorView(storage('4', 'LongStorage', new BigInt64Array([-5n])), [])],
      ['i32', new TensorView(storage('5', 'IntStorage', new Int32Array([7, -7])), [2])],
      ['i16', new TensorView(storage('6', 'ShortStorage', new Int16Array([-3])), [1])],
      ['i8', new TensorView(storage('7', 'CharStorage', new Int8Array([-1, 2])), [2])],
      ['u8', new TensorView(storage('8', 'ByteStorage', new Uint8Array([255])), [1])],
      ['bool', new TensorView(storage('9', 'BoolStorage', new Uint8Array([1, 0])), [2])],
    ]);
    const source = await open(state);
    const header = await parseHeader(source);
    expect([...header.tensors.keys()]).toEqual([...state.keys()]);
    expect(header.tensors.get('f32')!.shape).toEqual([2, 3]);
    expect(header.tensors.get('i64')!.shape).toEqual([]);
    expect(await values(source)).toEqual({
      f64: [1.5, -2],
      f32: [0, 1, 2, 3, 4, 5],
      f16: [1, -2],
      bf16: [1, -2],
      i64: [-5],
      i32: [7, -7],
      i16: [-3],
      i8: [-1, 2],
      u8: [255],
      bool: [1, 0],
    });
    expect(source.ignored).toEqual([]);
  });

  it('that are views (transposed, offset, repeated, empty, of one storage) are read, and equal views are named once', async () => {
    const data = f32('0', 12);
    const source = await open(
      new Ordered([
        ['head', new TensorView(data, [3, 4])],
        ['body', new TensorView(data, [3, 4])],
        ['transposed', new TensorView(data, [4, 3], [1, 4])],
        ['row', new TensorView(data, [4], [1], 4)],
        ['column', new TensorView(data, [3], [4], 1)],
        ['repeated', new TensorView(data, [2, 2], [0, 1], 5)],
        ['empty', new TensorView(data, [0, 4])],
      ]),
    );
    expect(await values(source)).toEqual({
      body: [...floats(12)],
      transposed: [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11],
      row: [4, 5, 6, 7],
      column: [1, 5, 9],
      repeated: [5, 6, 5, 6],
      empty: [],
    });
    expect((await parseHeader(source)).metadata.get('head')).toBe('body');
    // Any range of bytes, also across tensors and inside of an element.
    const all = await source.read(0, source.size);
    for (const [offset, length] of [
      [3, 40],
      [source.size - 61, 61],
      [source.size - 50, 7],
      [source.size, 0],
    ] as const)
      expect(await source.read(offset, length)).toEqual(all.slice(offset, offset + length));
    await expect(source.read(source.size - 1, 2)).rejects.toThrow(/were asked of/);
  });

  it('in a 64-bit archive and with any folder name are read', async () => {
    const state = new Ordered([['a', new TensorView(f32('0', 3), [3])]]);
    for (const options of [{ zip64: true }, { folder: 'aim_b' }]) {
      const source = await torchSource(bytesSource(torchFile(state, options)));
      expect(await values(source)).toEqual({ a: [0, 1, 2] });
    }
  });

  it('are read from a file by ranges: neither as a whole nor twice', async () => {
    const big = storage('0', 'FloatStorage', new Float32Array(2 ** 20).fill(1));
    const path = join(folder, 'big.pt');
    await writeFile(path, torchFile({ big: new TensorView(big, [2 ** 20]), small: new TensorView(f32('1', 2), [2]) }));
    const file = await openFile(path);
    const lengths: number[] = [];
    const counted: ByteSource = {
      name: file.name,
      size: file.size,
      read: (offset, length) => {
        lengths.push(length);
        return file.read(offset, length);
      },
      close: () => file.close(),
    };
    const source = await asSafetensors(counted);
    const header = await parseHeader(source);
    expect(Math.max(...lengths)).toBeLessThan(70_000);
    expect(lengths.reduce((a, b) => a + b)).toBeLessThan(80_000);
    expect(await readFloats(source, header, 'small')).toEqual(floats(2));
    lengths.length = 0;
    await readFloats(source, header, 'big', { chunkBytes: 2 ** 16 });
    expect(Math.max(...lengths)).toBe(2 ** 16);
    expect(lengths).toHaveLength(65);
    await source.close();
  });
});

describe('the dict with the weights', () => {
  const state = (first: number) => new Ordered([['w', new TensorView(f32(String(first), 1, first), [1])]]);
  const args = new Call('argparse', 'Namespace', [], { lr: 1e-4 });

  it('is ema, else model, else state_dict, else the only one', async () => {
    const optimizer = { state: new Map([[0, { exp_avg: new TensorView(f32('9', 1), [1]) }]]), param_groups: [{ lr: 0.1 }] };
    const file = { model: state(1), ema: state(2), optimizer, steps: 300000, args, loss: 0.5, none: null };
    const source = await open(file);
    expect(await values(source)).toEqual({ w: [2] });
    expect(source.ignored).toEqual([
      'model (dict of 1)',
      'optimizer (dict of 2)',
      'steps (number)',
      'args (argparse.Namespace)',
      'loss (number)',
      'none (None)',
    ]);
    expect(await values(await open(file, { part: 'model' }))).toEqual({ w: [1] });
    expect(await values(await open({ state_dict: state(3), epoch: 1 }))).toEqual({ w: [3] });
    expect(await values(await open({ generator: { net: state(4) }, optimizer, disc_optimizer: state(5) }))).toEqual({ w: [4] });
    expect((await failure(open(file, { part: 'net' }))).message).toMatch(/has no net; it has model, ema/);
    expect((await failure(open({ a: state(1), b: state(2) }))).message).toMatch(/several dicts of tensors \(a, b\)/);
    for (const none of [{ a: 1 }, [1], 'text', {}, args]) expect(await failure(open(none))).toBeInstanceOf(CheckpointError);
  });

  it('objects other than tensors are omitted by name', async () => {
    const source = await open(
      new Ordered([
        ['w', new TensorView(f32('0', 1), [1])],
        ['dtype', new Global('torch', 'float16')],
        ['path', new Call('pathlib', 'PosixPath', ['/tmp'])],
        ['complex', new TensorView(storage('1', 'ComplexFloatStorage', floats(2)), [1])],
        ['nested', new Call('torch._utils', '_rebuild_qtensor', [1, [2]])],
      ]),
    );
    expect(await values(source)).toEqual({ w: [0] });
    expect(source.ignored).toEqual([
      'dtype (torch.float16)',
      'path (pathlib.PosixPath)',
      'complex (torch._utils._rebuild_tensor_v2)',
      'nested (torch._utils._rebuild_qtensor)',
    ]);
  });
});

describe('refusals', () => {
  const tensor = new TensorView(f32('0', 4), [4]);

  it('code anywhere in the file is refused and never run', async () => {
    for (const [module, name] of [
      ['os', 'system'],
      ['posix', 'system'],
      ['builtins', 'eval'],
      ['__builtin__', 'exec'],
      ['builtins', 'getattr'],
      ['subprocess', 'Popen'],
      ['importlib.util', 'find_spec'],
    ] as const) {
      const error = await failure(open({ model: { w: tensor }, hook: new Call(module, name, ['touch /tmp/x']) }));
      expect(error).toBeInstanceOf(CheckpointError);
      expect(error.message).toContain(`model.pt names ${module}.${name}, which runs code`);
    }
  });

  it('files from before PyTorch 1.6 are read, and damaged ones refused', async () => {
    const one = storage('94301', 'FloatStorage', Float32Array.from([1, 2, 3, 4, 5, 6]));
    const two = storage('94302', 'LongStorage', BigInt64Array.from([7n]));
    const state = new Ordered([
      ['b', new TensorView(one, [2], [1], 4)],
      ['a', new TensorView(one, [2, 2], [1, 2])],
      ['n', new TensorView(two, [])],
    ]);
    const bytes = legacyFile(state, [one, two]);
    const source = await asSafetensors(bytesSource(bytes, 'old.pth'));
    const header = await parseHeader(source);
    expect([...header.tensors.keys()].sort()).toEqual(['a', 'b', 'n']);
    expect([...(await readFloats(source, header, 'a'))]).toEqual([1, 3, 2, 4]);
    expect([...(await readFloats(source, header, 'b'))]).toEqual([5, 6]);
    expect([...(await readInts(source, header, 'n'))]).toEqual([7]);
    // Descriptions longer than the first read.
    const long = legacyFile(
      new Map<string, unknown>([
        ['w', state],
        ['note', Array.from({ length: 1200 }, (_, i) => `${i}`.padEnd(1000))],
      ]),
      [one, two],
    );
    expect([...(await parseHeader(await asSafetensors(bytesSource(long)))).tensors.keys()]).toHaveLength(3);
    const refuse = async (file: Uint8Array) => (await failure(asSafetensors(bytesSource(file, 'old.pth')))).message;
    expect(await refuse(bytes.subarray(0, bytes.length - 1))).toMatch(/old\.pth ends within the bytes of its storage 94302/);
    expect(await refuse(bytes.subarray(0, 15))).toMatch(/old\.pth/);
    expect(await refuse(legacyFile(state, [{ ...one, count: 5 }, two]))).toMatch(/has 5 elements in its storage 94301/);
    expect(await refuse(legacyFile(state, [two]))).toMatch(/has no bytes for the tensor/);
    expect(await refuse(legacyFile(state, [one, two], { little: false }))).toMatch(/big-endian/);
    expect(await refuse(legacyFile(state, [one, two], { protocol: 1000 }))).toMatch(/does not go on like one/);
    expect(await refuse(legacyFile({ w: state, f: new Call('os', 'system', ['x']) }, [one, two]))).toMatch(/runs code/);
  });

  it('other archives and formats are refused with a remedy', async () => {
    const refuse = async (bytes: Uint8Array) => {
      const error = await failure(asSafetensors(bytesSource(bytes, 'x.pt')));
      expect(error).toBeInstanceOf(CheckpointError);
      return error.message;
    };
    expect(await refuse(pickle({ a: 1 }))).toMatch(/bare Python pickle/);
    expect(await refuse(zip({ 'a.txt': new Uint8Array(3) }))).toMatch(/without a file data\.pkl/);
    const script = zip({ 'm/data.pkl': pickle({}), 'm/constants.pkl': pickle([]) });
    expect(await refuse(script)).toMatch(/TorchScript/);
    const big = zip({ 'm/data.pkl': pickle({}), 'm/byteorder': new TextEncoder().encode('big') });
    expect(await refuse(big)).toMatch(/big-endian/);
    expect(await refuse(torchFile({ w: tensor }).subarray(0, 700))).toMatch(/no zip directory/);
    expect(await refuse(zip({ 'm/data.pkl': pickle({ w: tensor }) }))).toMatch(/entry data\/0 is missing/);
    const short = zip({ 'm/data.pkl': pickle({ w: tensor }), 'm/data/0': new Uint8Array(15) });
    expect(await refuse(short)).toMatch(/has 15 bytes for the tensor w, whose storage takes 16/);
    const other = bytesSource(new Uint8Array(40), 'x.safetensors');
    expect(await asSafetensors(other)).toBe(other);
  });

  it('tensors beyond their storage and archives with wrong sizes are refused', async () => {
    const refuse = async (shape: number[], stride?: number[], offset?: number) =>
      (await failure(open({ w: new TensorView(f32('0', 4), shape, stride, offset) }))).message;
    expect(await refuse([5])).toMatch(/beyond its storage of 4 elements/);
    expect(await refuse([4], [1], 1)).toMatch(/beyond its storage/);
    expect(await refuse([2 ** 40, 2 ** 40], [2 ** 40, 1])).toMatch(/beyond its storage/);
    expect(await refuse([2 ** 40], [0])).toMatch(/describes tensors of 4398046511104 bytes/);
    expect(await refuse([2, -2])).toMatch(/not whole numbers/);
  });

  it('mutated files give a typed error or a result without hanging', async () => {
    const file = torchFile({ model: { w: tensor, v: new TensorView(f32('1', 6), [3, 2], [1, 3]) }, args: [1, 2.5, 'x'] });
    let seed = 1;
    const random = (n: number) => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % n;
    let refused = 0;
    for (let round = 0; round < 1500; round++) {
      const bytes = file.slice(0, random(20) === 0 ? random(file.length) : file.length);
      for (let k = random(4); k >= 0; k--) bytes[random(bytes.length || 1)] = random(256);
      try {
        const source = await torchSource(bytesSource(bytes, 'fuzz.pt'));
        const header = await parseHeader(source);
        for (const name of header.tensors.keys()) await source.read(header.tensors.get(name)!.begin + header.dataOffset, 1);
      } catch (error) {
        refused++;
        expect((error as { code?: string }).code, String((error as Error).stack)).toMatch(/^ERR_(CHECKPOINT|IO)$/);
      }
    }
    expect(refused).toBeGreaterThan(100);
  });

  it('mutated pickles give a typed error or a result', async () => {
    const clean = pickle({
      model: { w: tensor },
      args: new Call('argparse', 'Namespace'),
      list: [1, -70000, 2 ** 40, 2.5, true],
    });
    let seed = 7;
    const random = (n: number) => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % n;
    for (let round = 0; round < 3000; round++) {
      const bytes = clean.slice();
      for (let k = random(3); k >= 0; k--) bytes[2 + random(bytes.length - 2)] = random(256);
      try {
        await torchSource(bytesSource(zip({ 'm/data.pkl': bytes, 'm/data/0': new Uint8Array(16) }), 'fuzz.pt'));
      } catch (error) {
        expect((error as { code?: string }).code, String((error as Error).stack)).toBe('ERR_CHECKPOINT');
      }
    }
  });

  it('exponential nesting and dicts that contain themselves are refused', async () => {
    // Each list holds the one before twice: 2^40 values if they were copied.
    const bomb = [0x80, 2, 0x5d, 0x71, 0];
    for (let i = 0; i < 40; i++) bomb.push(0x5d, 0x71, i + 1, 0x28, 0x68, i, 0x68, i, 0x65);
    bomb.push(0x2e);
    const itself = [0x80, 2, 0x7d, 0x71, 0, 0x58, 1, 0, 0, 0, 0x61, 0x68, 0, 0x73, 0x2e];
    for (const bytes of [bomb, itself])
      expect(await failure(torchSource(bytesSource(zip({ 'm/data.pkl': Uint8Array.from(bytes) }))))).toBeInstanceOf(
        CheckpointError,
      );
  });
});

it('pickles written by Python in every protocol are read', async (context) => {
  if (spawnSync('python3', ['--version']).status !== 0) context.skip('python3 is not installed');
  // torch is not needed: modules of its names stand in, and pickle writes what it would write for torch.
  const script = `
import argparse, collections, pickle, sys, types
for name in ('torch', 'torch._utils'): sys.modules[name] = types.ModuleType(name)
def _rebuild_tensor_v2(*args): pass
_rebuild_tensor_v2.__module__ = 'torch._utils'; sys.modules['torch._utils']._rebuild_tensor_v2 = _rebuild_tensor_v2
class FloatStorage: pass
FloatStorage.__module__ = 'torch'; sys.modules['torch'].FloatStorage = FloatStorage
class Tensor:
    def __reduce_ex__(self, protocol):
        return _rebuild_tensor_v2, (FloatStorage(), 1, (2, 3), (3, 1), False, collections.OrderedDict())
class Pickler(pickle._Pickler):
    def persistent_id(self, value):
        return ('storage', FloatStorage, '0', 'cuda:0', 7) if isinstance(value, FloatStorage) else None
state = collections.OrderedDict([('w', Tensor())])
state._metadata = collections.OrderedDict([('', {'version': 1})])
value = {'model': state, 'args': argparse.Namespace(lr=1e-4, big=2**70, neg=-3, many=set([1]), b=b'x', f=frozenset([2])), 'n': None,
         'steps': 123456789012, 'small': [True, False, -1, 300, 70000, 1.5, 'é', (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], {}]}
Pickler(open(sys.argv[1], 'wb'), int(sys.argv[2])).dump(value)`;
  for (const protocol of [1, 2, 3, 4, 5]) {
    const path = join(folder, `p${protocol}.pkl`);
    execFileSync('python3', ['-c', script, path, String(protocol)]);
    const { readBytes } = await import('../../src/io/file_source.js');
    const data = new Uint8Array(floats(7).buffer);
    const source = await torchSource(bytesSource(zip({ 'm/data.pkl': await readBytes(path), 'm/data/0': data })));
    expect(await values(source), `protocol ${protocol}`).toEqual({ w: [1, 2, 3, 4, 5, 6] });
    // Protocol 1 makes objects by a function of copyreg.
    const args = protocol === 1 ? 'copy_reg._reconstructor' : 'argparse.Namespace';
    expect(source.ignored).toEqual([`args (${args})`, 'n (None)', 'steps (number)', 'small (list of 14)']);
  }
});

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AiM } from '../../src/aim.js';
import { openSource } from '../../src/checkpoint/source.js';
import { CheckpointError, IoError, OptionError } from '../../src/core/errors.js';
import { type Codes, checkCodes, encodeCodes, readCodes, tokenize, tokenizerFingerprint } from '../../src/data/codes.js';
import { type ImageDataset, inParallel } from '../../src/data/dataset.js';
import { openIdx } from '../../src/data/idx.js';
import { openFolder } from '../../src/data/image_folder.js';
import { openData } from '../../src/data/open.js';
import { AimImage } from '../../src/io/image.js';
import { encodeSafetensors, parseHeader, readInts, type TensorData } from '../../src/io/safetensors.js';
import { type VqParams, vqTokenizer } from '../../src/model/vq_tokenizer.js';
import { writeAtomic } from '../../src/platform/files.js';
import { deviceOptions, hasAdapter, NO_ADAPTER } from '../backends.js';
import { FASHION, fixture, golden, NO_GOLDENS } from '../goldens.js';
import { CONFIG } from '../train/tiny_model.js';
import { FASHION_MNIST, fileListOf, folderOf, grey, idxSet, jpg, NO_FASHION_MNIST, png } from './data_folders.js';

let aim: AiM;
beforeAll(async () => {
  aim = await AiM.fromPretrained(FASHION, { device: 'wasm' });
});
afterAll(() => aim?.dispose());

async function bytesOf(codes: Codes): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of encodeCodes(codes)) parts.push(part.slice());
  return new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
}

const files = () => {
  const all: Record<string, Uint8Array | string> = { 'a/bad.png': 'damaged' };
  for (let i = 0; i < 6; i++) {
    all[`a/${i}.png`] = png(40, 36, (x, y) => [x * 6, y * 7, i * 40]);
    all[`b/${i}.jpg`] = jpg(50, 64, (x, y) => [x * y, i * 40, y * 3]);
  }
  return all;
};

describe('tokenize', () => {
  it('gives the codes of AiM.encode, leaves out unreadable images and holds some out', async () => {
    const splits = await openFolder(folderOf(files()), { size: 32, holdout: 0.2 });
    const codes = await tokenize(aim, splits, { batchSize: 4 });
    expect([codes.tokens, codes.vocabulary, codes.classes]).toEqual([64, 512, ['a', 'b']]);
    expect(codes.labels.length + codes.eval!.labels.length).toBe(12);
    expect(codes.codes.length).toBe(codes.labels.length * 64);
    for (const [part, data] of [
      [codes, splits.train],
      [codes.eval!, splits.eval!],
    ] as const) {
      let row = 0;
      for (let i = 0; i < data.length; i++) {
        const image = await data.tryImage(i, { kind: 'eval' });
        if (!image) continue;
        const [want] = await aim.encode([new AimImage({ width: 32, height: 32, data: image })]);
        expect(part.codes.slice(row * 64, (row + 1) * 64)).toEqual(want);
        expect(part.labels[row++]).toBe(data.label(i));
      }
    }
    expect(splits.train.skipped.map((s) => s.name)).toEqual(['a/bad.png']);
  });

  it('augments depending on the seed but not on the batch', async () => {
    const dir = folderOf(files());
    const open = () => openFolder(dir, { size: 32, holdout: 0, flip: true });
    const first = await tokenize(aim, await open(), { augment: 3, seed: 7, batchSize: 5 });
    const done: number[] = [];
    const again = await tokenize(aim, await open(), { augment: 3, seed: 7, batchSize: 32, onProgress: (n) => done.push(n) });
    expect(again).toEqual(first);
    expect(done).toEqual([32, 39]);
    expect(first.labels.length).toBe(36);
    expect([...first.labels.slice(0, 3)]).toEqual([0, 0, 0]);
    const row = (c: Codes, i: number) => c.codes.slice(i * 64, (i + 1) * 64).join();
    expect(new Set([0, 1, 2].map((i) => row(first, i))).size).toBe(3);
    const other = await tokenize(aim, await open(), { augment: 3, seed: 8 });
    expect(row(other, 0)).not.toBe(row(first, 0));
  });

  it('reads the next batch while the device encodes one, and never more, with the codes of one batch at a time', async () => {
    const dir = folderOf(files());
    const open = async (onRead: (i: number) => void) => {
      const splits = await openFolder(dir, { size: 32, holdout: 0 });
      const { tryImage } = splits.train;
      const train: ImageDataset = {
        ...splits.train,
        tryImage: async (i, mode) => {
          onRead(i);
          return tryImage(i, mode);
        },
      };
      return { train, eval: undefined };
    };
    const want = await tokenize(aim, await open(() => {}), { batchSize: 13 });
    const { model } = aim;
    const encode = model.encodePixels.bind(model);
    let [reads, taken] = [0, 0];
    const spy = vi.spyOn(model, 'encodePixels').mockImplementation(async (...args) => {
      const codes = await encode(...args);
      // As long as it takes to read the next three, or for nothing where there are none.
      for (let tries = 0; tries < 100 && reads < Math.min(13, 3 * (taken + 2)); tries++)
        await new Promise((r) => setTimeout(r, 1));
      return codes;
    });
    try {
      const data = await open(() => {
        reads++;
        // Those of the batches that are done, of one on the device, and of the one that is read.
        expect(reads).toBeLessThanOrEqual(3 * (taken + 3));
      });
      const readAtDone: number[] = [];
      const onProgress = () => {
        taken++;
        readAtDone.push(reads);
      };
      expect(await tokenize(aim, data, { batchSize: 3, onProgress })).toEqual(want);
      expect(readAtDone.slice(0, 3)).toEqual([6, 9, 12]);
      expect(taken).toBe(5);
    } finally {
      spy.mockRestore();
    }
  });

  it('gives the same codes on WebGPU, whatever the batch', async ({ skip }) => {
    if (!(await hasAdapter())) return skip(NO_ADAPTER);
    const gpu = await AiM.fromConfig(CONFIG, { ...(await deviceOptions('webgpu')), seed: 3 });
    try {
      const { train } = await openFolder(folderOf(files()), { size: 8, holdout: 0 });
      const all = await tokenize(gpu, { train, eval: undefined });
      expect(new Set(all.codes).size).toBeGreaterThan(3);
      expect(all.labels).toHaveLength(12);
      expect(await tokenize(gpu, { train, eval: undefined }, { batchSize: 5 })).toEqual(all);
    } finally {
      await gpu.dispose();
    }
  });

  it('an error in reading or on the device surfaces, and nothing goes on after it', async () => {
    const plain = (await openFolder(folderOf(files()), { size: 32, holdout: 0 })).train;
    let reads = 0;
    const broken: ImageDataset = {
      ...plain,
      tryImage: async (i, mode) => {
        reads++;
        if (i === 7) throw new Error('the disk is gone');
        return plain.tryImage(i, mode);
      },
    };
    await expect(tokenize(aim, { train: broken, eval: undefined }, { batchSize: 3 })).rejects.toThrow('the disk is gone');
    const { model } = aim;
    const encode = model.encodePixels.bind(model);
    let [calls, running] = [0, 0];
    const spy = vi.spyOn(model, 'encodePixels').mockImplementation(async (...args) => {
      running++;
      try {
        if (++calls === 2) throw new Error('the device is gone');
        await new Promise((r) => setTimeout(r, 20));
        return await encode(...args);
      } finally {
        running--;
      }
    });
    try {
      const train = plain;
      await expect(tokenize(aim, { train, eval: undefined }, { batchSize: 3 })).rejects.toThrow('the device is gone');
      expect([calls, running]).toEqual([3, 0]);
    } finally {
      spy.mockRestore();
    }
    const before = reads;
    await new Promise((r) => setTimeout(r, 20));
    expect(reads).toBe(before);
    expect((await tokenize(aim, { train: plain, eval: undefined })).labels).toHaveLength(12);
  });

  it('calls functions in order, sixteen at a time, until one fails', async () => {
    const begun: number[] = [];
    let [now, most] = [0, 0];
    const call = async (i: number) => {
      begun.push(i);
      most = Math.max(most, ++now);
      await new Promise((r) => setTimeout(r, i % 3));
      now--;
      if (i === 30) throw new Error('thirty');
    };
    await inParallel(25, call);
    expect([begun, most, now]).toEqual([Array.from({ length: 25 }, (_, i) => i), 16, 0]);
    await expect(inParallel(1000, call)).rejects.toThrow('thirty');
    const count = begun.length;
    expect(count).toBeLessThan(200);
    await new Promise((r) => setTimeout(r, 20));
    expect(begun).toHaveLength(count);
    await inParallel(0, call);
    const signal = AbortSignal.abort(new Error('stopped'));
    await expect(inParallel(5, call, { signal })).rejects.toThrow('stopped');
    expect(begun).toHaveLength(count);
  });

  it('encodes a batch with the same result as single images', async () => {
    const images = Array.from(
      { length: 5 },
      (_, i) =>
        new AimImage({
          width: 32,
          height: i === 3 ? 16 : 32,
          data: new Float32Array(32 * (i === 3 ? 16 : 32) * 3).map((_, k) => Math.sin(k * (i + 1))),
        }),
    );
    const together = await aim.encode(images);
    for (const [i, image] of images.entries()) expect(together[i]).toEqual((await aim.encode([image]))[0]);
    expect(together.map((c) => c.length)).toEqual([64, 64, 64, 32, 64]);
  });

  it('refuses data that it cannot encode', async () => {
    const idx = { train: await openIdx(folderOf(idxSet(4)), { split: 'train', size: 32 }), eval: undefined };
    await expect(tokenize(aim, idx, { augment: 2 })).rejects.toThrow(/images are used whole; leave it out/);
    await expect(tokenize(aim, idx, { augment: -1 })).rejects.toThrow(OptionError);
    await expect(tokenize(aim, idx, { batchSize: 0 })).rejects.toThrow(OptionError);
    const small = { train: await openIdx(folderOf(idxSet(4)), { split: 'train', size: 16 }), eval: undefined };
    await expect(tokenize(aim, small)).rejects.toThrow(/cut to 16 pixels, this tokenizer takes 32/);
    const bad = await openFolder(folderOf({ 'a/1.png': 'x' }), { size: 32 });
    const error = await tokenize(aim, bad).catch((e) => e);
    expect(error).toBeInstanceOf(IoError);
    expect(error.message).toMatch(/none of the 1 images can be read \(a\/1\.png/);
  });

  it('stops when aborted and leaves nothing behind', async () => {
    const dir = folderOf(idxSet(40));
    const abort = new AbortController();
    const data = { train: await openIdx(dir, { split: 'train', size: 32 }), eval: undefined };
    const run = tokenize(aim, data, { batchSize: 4, signal: abort.signal, onProgress: () => abort.abort(new Error('enough')) });
    await expect(run).rejects.toThrow('enough');
    const codes = await tokenize(aim, data);
    await expect(writeAtomic(`${dir}/c.safetensors`, encodeCodes(codes), { signal: abort.signal })).rejects.toThrow('enough');
    expect(readdirSync(dir).filter((n) => n.startsWith('c.'))).toEqual([]);
  });

  it('gives the golden codes of Fashion-MNIST', async (ctx) => {
    const folder = golden('aim-fmnist');
    if (!folder) return ctx.skip(NO_GOLDENS);
    if (!existsSync(FASHION_MNIST)) return ctx.skip(NO_FASHION_MNIST);
    const model = await AiM.fromPretrained(folder, { device: 'wasm' });
    const expected = await openSource(`${folder}/expected.safetensors`);
    const header = await parseHeader(expected);
    const [index, want, labels] = [
      await readInts(expected, header, 'input.test-index'),
      await readInts(expected, header, 'vq.codes'),
      await readInts(expected, header, 'input.labels'),
    ];
    const test = await openIdx(FASHION_MNIST, { split: 'test', size: 32 });
    const at = (i: number) => index[i]!;
    const some = {
      ...test,
      length: index.length,
      label: (i: number) => test.label(at(i)),
      tryImage: (i: number, mode: { kind: 'eval' }) => test.tryImage(at(i), mode),
    };
    const codes = await tokenize(model, { train: some as typeof test, eval: undefined });
    expect([...codes.labels]).toEqual([...labels].map(Number));
    // The nearest tie of these is 7e-6 between distances: one code may differ.
    expect(codes.codes.filter((c, i) => c !== want[i]).length).toBeLessThanOrEqual(1);
    await model.dispose();
    await expected.close();
  });
});

describe('codes files', () => {
  const sample = (over: Partial<Codes> = {}): Codes => ({
    codes: Uint32Array.from({ length: 12 }, (_, i) => (i * 41) % 512),
    labels: Uint32Array.of(0, 1, 1),
    eval: { codes: Uint32Array.of(1, 2, 3, 511), labels: Uint32Array.of(1) },
    classes: ['cat', 'dög'],
    tokens: 4,
    vocabulary: 512,
    fingerprint: 'ab'.repeat(32),
    ...over,
  });

  it('are read unchanged from a path, a File or bytes', async () => {
    for (const vocabulary of [512, 65536, 65537, 2 ** 20]) {
      const codes = sample({ vocabulary });
      expect(await readCodes(await bytesOf(codes))).toEqual(codes);
    }
    const small = sample({ vocabulary: 256, codes: Uint32Array.from({ length: 12 }, (_, i) => i), eval: undefined });
    const bytes = await bytesOf(small);
    expect((await parseHeader(bytes)).tensors.get('codes')!.dtype).toBe('U8');
    const path = `${folderOf({})}/c.safetensors`;
    writeFileSync(path, bytes);
    for (const source of [path, [new File([bytes as BlobPart], 'c.safetensors')]]) {
      const data = await openData(source, { size: 32 });
      expect(data).toEqual({ kind: 'codes', codes: small });
    }
  });

  const raw = async (change: (t: Map<string, TensorData>, m: Record<string, string>) => void) => {
    const tensors = new Map<string, TensorData>([
      ['codes', { name: 'codes', dtype: 'U16', shape: [3, 4], data: new Uint16Array(12) }],
      ['labels', { name: 'labels', dtype: 'I32', shape: [3], data: new Int32Array(3) }],
    ]);
    const metadata: Record<string, string> = {
      format: 'aim-codes',
      version: '1',
      classes: '["a","b"]',
      tokens: '4',
      vocabulary: '512',
      tokenizer: 'ab'.repeat(32),
    };
    change(tensors, metadata);
    return encodeSafetensors([...tensors.values()] as never, metadata);
  };
  it.each<[string, (t: Map<string, TensorData>, m: Record<string, string>) => void, RegExp]>([
    ['another safetensors file', (_, m) => (m.format = 'pt'), /is no codes file/],
    ['another version', (_, m) => (m.version = '2'), /codes file of version 2, this program reads 1/],
    ['no tokens', (_, m) => (m.tokens = 'many'), /gives tokens as "many"/],
    ['no classes', (_, m) => (m.classes = '[]'), /does not name its classes/],
    ['no fingerprint', (_, m) => (m.tokenizer = 'x'), /has no fingerprint/],
    ['no labels', (t) => t.delete('labels'), /has no tensor labels/],
    [
      'another shape',
      (t) => t.set('codes', { ...t.get('codes')!, shape: [4, 3] }),
      /codes the shape \[4, 3\], expected \[n, 4\]/,
    ],
    [
      'too few labels',
      (t) => t.set('labels', { ...t.get('labels')!, shape: [2], data: new Int32Array(2) }),
      /codes of 3 images and labels of 2/,
    ],
    [
      'a code beyond',
      (t) => t.set('codes', { ...t.get('codes')!, data: new Uint16Array(12).fill(512, 5, 6) }),
      /has 512 in codes at index 5, where 0 to 511/,
    ],
    [
      'a negative label',
      (t) => t.set('labels', { ...t.get('labels')!, data: Int32Array.of(0, -1, 0) }),
      /has -1 in labels at index 1/,
    ],
    [
      'floats',
      (t) => t.set('labels', { name: 'labels', dtype: 'F32', shape: [3], data: new Float32Array(3) }),
      /not of integers/,
    ],
  ])('refuse %s', async (_, change, message) => {
    const error = await readCodes(await raw(change)).catch((e) => e);
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/\.$/);
  });

  it('record their tokenizer', async () => {
    const fingerprint = await tokenizerFingerprint(aim);
    expect(fingerprint).toMatch(/^[0-9a-f]{64}$/);
    const reference = await AiM.fromPretrained(FASHION, await deviceOptions('reference'));
    expect(await tokenizerFingerprint(reference)).toBe(fingerprint);
    await reference.dispose();

    const fits: Codes = sample({ tokens: 64, codes: new Uint32Array(192), eval: undefined, fingerprint });
    await checkCodes(aim, fits);
    const other = await AiM.fromPretrained(fixture('mamba1-adaln-group'), { device: 'wasm' });
    const error = await checkCodes(other, fits, 'codes.safetensors').catch((e) => e);
    await other.dispose();
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(
      /^codes\.safetensors was made by another tokenizer \(fingerprint \w{12}…, this model's is \w{12}…\); make it again with `aim tokenize/,
    );
    await expect(checkCodes(aim, { ...fits, tokens: 16 })).rejects.toThrow(/16 tokens an image/);
    const many = Array.from({ length: 11 }, String);
    await expect(checkCodes(aim, { ...fits, classes: many })).rejects.toThrow(/11 classes .* num_classes 10; raise/);

    // One changed weight makes another tokenizer.
    const changed = await AiM.fromPretrained(FASHION, { device: 'wasm' });
    changed.model.be.write(vqTokenizer.codebook(changed.model.params.vqvae as VqParams), Float32Array.of(0.123), 5);
    expect(await tokenizerFingerprint(changed)).not.toBe(fingerprint);
    await changed.dispose();
  });
});

describe('openData', () => {
  it('detects the kind of data', async () => {
    expect((await openData(folderOf(idxSet(3)), { size: 4 })).kind).toBe('idx');
    expect((await openData(fileListOf(idxSet(3)), { size: 4, classes: ['x', 'y', 'z'] })).kind).toBe('idx');
    expect((await openData(folderOf({ 'a/1.png': png(3, 3, grey(1)) }), { size: 4 })).kind).toBe('folder');
  });

  it('refuses anything else and names the kinds of data', async () => {
    const cases: [string | File[], RegExp][] = [
      ['/nonexistent', /there is no file or folder \/nonexistent; data is a folder with IDX files/],
      [`${FASHION}/config.json`, /is a file of another kind; data is/],
      [folderOf({}), /holds nothing; data is/],
      [folderOf({ 'a.txt': 'x' }), /holds a\.txt; data is/],
      [fileListOf({ 'a.txt': 'x' }), /holds a\.txt; data is/],
      [folderOf({ '1.png': png(3, 3, grey(1)) }), /1 image lies in/],
    ];
    for (const [source, message] of cases) {
      const error = await openData(source, { size: 4 }).catch((e) => e);
      expect(error).toBeInstanceOf(IoError);
      expect(error.message).toMatch(message);
    }
    await expect(openData(`${FASHION}/model.safetensors`, { size: 4 })).rejects.toThrow(/is no codes file/);
    const folder = folderOf({ 'a/1.png': png(3, 3, grey(1)) });
    await expect(openData(folder, { size: 4, classes: ['x'] })).rejects.toThrow(OptionError);
    await expect(openData(folder, { size: 0 })).rejects.toThrow(OptionError);
    expect(readFileSync(`${folder}/a/1.png`).length).toBeGreaterThan(0);
  });
});

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  blobSource,
  bytesSource,
  type CheckpointSource,
  openCheckpoint,
  openSource,
  type Progress,
} from '../../src/checkpoint/source.js';
import { CheckpointError, IoError, OptionError } from '../../src/core/errors.js';
import { encodeSafetensors, parseHeader, readFloats } from '../../src/io/safetensors.js';
import { failure, temporaryFolder } from './helpers.js';

const folder = await temporaryFolder();
const weights = encodeSafetensors([{ name: 'w', dtype: 'F32', shape: [3], data: new Float32Array([1, 2, 3]) }]);
const config = { num_classes: 10 };
const configText = JSON.stringify(config);

const good = join(folder, 'good');
await mkdir(good);
await writeFile(join(good, 'config.json'), `\uFEFF${configText}`);
await writeFile(join(good, 'model.safetensors'), weights);
await writeFile(join(good, 'other.safetensors'), weights);
await writeFile(join(good, 'classes.json'), '["boot"]');

/** A folder with only one of a checkpoint's files. */
async function half(file: string): Promise<string> {
  const path = join(folder, `only-${file}`);
  await mkdir(path);
  await writeFile(join(path, file), 'x');
  return path;
}
const [noWeights, noConfig] = [await half('config.json'), await half('model.safetensors')];

/** A File as a dropped folder gives it. */
function dropped(path: string, content: BlobPart): File {
  const f = new File([content], path.slice(path.lastIndexOf('/') + 1));
  return Object.defineProperty(f, 'webkitRelativePath', { value: path });
}

async function values(source: CheckpointSource): Promise<number[]> {
  const checkpoint = await openCheckpoint(source);
  expect(await checkpoint.config()).toEqual(config);
  const bytes = await checkpoint.weights();
  const header = await parseHeader(bytes);
  const got = await readFloats(bytes, header, 'w');
  await checkpoint.close();
  return [...got];
}

describe('ByteSource', () => {
  const data = Uint8Array.from({ length: 100 }, (_, i) => i);
  it.each([
    ['bytes', () => openSource(data), 'the bytes given'],
    ['an ArrayBuffer', () => openSource(data.buffer), 'the bytes given'],
    ['a Blob', () => openSource(new Blob([data])), 'the Blob given'],
    ['a File', () => openSource(new File([data], 'x.bin')), 'x.bin'],
    [
      'a path',
      async () => {
        await writeFile(join(folder, 'x.bin'), data);
        return openSource(join(folder, 'x.bin'));
      },
      join(folder, 'x.bin'),
    ],
  ])('%s', async (_, open, name) => {
    const source = await open();
    expect([source.name, source.size]).toEqual([name, 100]);
    expect([...(await source.read(90, 10))]).toEqual([...data.subarray(90)]);
    expect([...(await source.read(0, 3))]).toEqual([0, 1, 2]);
    expect((await source.read(100, 0)).length).toBe(0);
    for (const [offset, length] of [
      [95, 6],
      [-1, 2],
      [0.5, 1],
      [0, 2 ** 53],
    ]) {
      const error = await failure(source.read(offset!, length!));
      expect(error).toBeInstanceOf(IoError);
      expect(error.message).toContain(name);
    }
    const reason = new Error('stop');
    expect(await failure(source.read(0, 1, AbortSignal.abort(reason)))).toBe(reason);
    await source.close();
    await source.close();
  });

  it('a Blob that can no longer be read is an error', async () => {
    const blob = new File([data], 'gone.bin');
    blob.slice = () => {
      throw new DOMException('the file was moved', 'NotReadableError');
    };
    expect((await failure(blobSource(blob).read(0, 1))).message).toMatch(/gone\.bin could not be read: the file was moved/);
  });

  it('bytes are viewed, not copied', async () => {
    expect((await bytesSource(data).read(4, 4)).buffer).toBe(data.buffer);
  });
});

afterEach(() => vi.unstubAllGlobals());

describe('openCheckpoint', () => {
  it('resolves `latest` in the folder of a run once, to one step', async () => {
    const run = await mkdtemp(join(folder, 'run-'));
    const step = join(run, 'step-00000004');
    await mkdir(step);
    for (const text of ['', '.', '..', 'latest', 'step-', '/etc', 'step-4/../x', 'x'.repeat(5000)]) {
      await writeFile(join(run, 'latest'), text);
      const error = await failure(openCheckpoint(run));
      expect(error).toBeInstanceOf(text.length > 1000 ? IoError : CheckpointError);
      expect(error.message).toMatch(/latest (says ".*instead of the name of a checkpoint \(step-…\)|has 5000 bytes, more)/);
    }
    await writeFile(join(run, 'latest'), 'step-00000004\n');
    await writeFile(join(step, 'latest'), 'step-00000004');
    expect((await failure(openCheckpoint(run))).message).toMatch(/no checkpoint that can be read: .*step-00000004.config\.json/);
    await writeFile(join(step, 'config.json'), configText);
    await writeFile(join(step, 'model.safetensors'), weights);
    expect(await values(run)).toEqual([1, 2, 3]);
  });

  it.each<[damage: string, file: string, content: string | undefined, reason: RegExp]>([
    ['weights cut', 'model.safetensors', '\u0001\0', /model\.safetensors has only 2 bytes/],
    ['weights gone', 'model.safetensors', undefined, /there is no .*model\.safetensors/],
    ['config emptied', 'config.json', '', /config\.json is not valid JSON/],
    ['all gone', '.', undefined, /step-00000008 does not exist/],
  ])('of a run takes the checkpoint before a damaged one, with a warning: %s', async (_, file, content, reason) => {
    const run = await mkdtemp(join(folder, 'run-'));
    for (const [step, bytes] of Object.entries({
      'step-00000004': weights,
      'step-00000008': 'other',
      'step-00000012': 'later',
    })) {
      await mkdir(join(run, step));
      await writeFile(join(run, step, 'config.json'), configText);
      await writeFile(join(run, step, 'model.safetensors'), bytes);
    }
    const newest = join(run, 'step-00000008', file);
    if (content === undefined) await rm(newest, { recursive: true });
    else await writeFile(newest, content);
    await writeFile(join(run, 'latest'), 'step-00000008\n');
    const warnings: string[] = [];
    const opened = await openCheckpoint(run, { onWarning: (w) => warnings.push(w) });
    expect(opened.name).toBe(join(run, 'step-00000004'));
    expect(warnings).toEqual([expect.stringContaining(`${opened.name} is read instead of the newest`)]);
    expect(warnings[0]).toMatch(reason);
    await rm(opened.name, { recursive: true });
    await rm(join(run, 'step-00000012'), { recursive: true });
    const error = await failure(openCheckpoint(run));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(/no checkpoint that can be read/);
  });

  it('accepts bytes and URLs of another realm', async () => {
    const foreign = (code: string) => runInNewContext(code, { bytes: [...weights], URL, Blob }) as never;
    for (const code of ['Uint8Array.from(bytes)', 'Uint8Array.from(bytes).buffer'])
      expect(await values({ config, weights: foreign(code) })).toEqual([1, 2, 3]);
    expect((foreign('Uint8Array.from(bytes)') as object) instanceof Uint8Array).toBe(false);
    expect((await parseHeader(foreign('Uint8Array.from(bytes)'))).tensors.size).toBe(1);
    expect((await openSource(foreign('Uint8Array.from(bytes)'))).size).toBe(weights.length);
  });

  it('a byte order mark in a text file is ignored', async () => {
    await writeFile(join(good, 'mark.json'), '\uFEFF["boot"]');
    expect(await (await openCheckpoint(good)).text('mark.json')).toBe('["boot"]');
  });

  it('text files of more than 16 MiB are refused', async () => {
    const large = new File([new Uint8Array(2 ** 24 + 1)], 'config.json');
    const error = await failure((await openCheckpoint([large, new File([weights], 'model.safetensors')])).config());
    expect(error.message).toMatch(/config\.json has 16777217 bytes, more than the 16777216/);
  });

  it('a page opened from a file: URL gets an error that it needs a server', async () => {
    vi.stubGlobal('process', undefined);
    vi.stubGlobal('location', new URL('file:///home/me/page.html'));
    const error = await failure(openCheckpoint('./models/x'));
    expect(error).toBeInstanceOf(IoError);
    expect(error.message).toMatch(/opened as a file \(file:\/\/\), from where browsers may not read: serve the page/);
  });

  it.each<[string, CheckpointSource]>([
    ['a folder', good],
    ['a file', join(good, 'other.safetensors')],
    ['a file: URL', pathToFileURL(good)],
    ['objects', { config, weights }],
    ['an object with a path', { config, weights: join(good, 'other.safetensors') }],
    ['an object with a file: URL', { config, weights: pathToFileURL(join(good, 'other.safetensors')) }],
    ['text and a buffer', { config: configText, weights: weights.buffer }],
    ['bytes and a Blob', { config: new TextEncoder().encode(configText), weights: new Blob([weights]) }],
    ['a File and a File', { config: new File([configText], 'c.json'), weights: new File([weights], 'm.safetensors') }],
    ['a list', [new File([weights], 'model.safetensors'), new File([configText], 'config.json'), new File([], 'README.md')]],
    [
      'a dropped folder',
      [
        dropped('aim/old/config.json', '{}'),
        dropped('aim/config.json', configText),
        dropped('aim/model.safetensors', weights),
        dropped('aim/old/model.safetensors', 'x'),
      ],
    ],
  ])('%s', async (_, source) => {
    expect(await values(source)).toEqual([1, 2, 3]);
  });

  it('optional files beside the weights are read', async () => {
    expect(await (await openCheckpoint(good)).text('classes.json')).toBe('["boot"]');
    expect(await (await openCheckpoint(good)).text('none.json')).toBeUndefined();
    const object = await openCheckpoint({ config, weights, classes: ['a', 'b'] });
    expect([await object.text('classes.json'), await object.text('x')]).toEqual(['["a","b"]', undefined]);
    const list = await openCheckpoint([
      new File([weights], 'model.safetensors'),
      new File(['{}'], 'config.json'),
      new File(['[]'], 'classes.json'),
    ]);
    expect([await list.text('classes.json'), await list.text('x')]).toEqual(['[]', undefined]);
  });

  it.each<[string, CheckpointSource | null, new (m: string) => Error, RegExp]>([
    ['no such path', join(folder, 'none'), IoError, /^there is no folder or file .*none; pass/],
    [
      'another file',
      join(good, 'config.json'),
      IoError,
      /config\.json is neither a folder nor a \.safetensors, \.pt, \.pth or \.bin file/,
    ],
    ['a folder without weights', noWeights, IoError, /^there is no file .*model\.safetensors \(its folder holds config\.json\)/],
    ['a folder without config', noConfig, IoError, /^there is no file .*config\.json \(/],
    ['an empty path', '', OptionError, /is empty; pass/],
    ['a bad URL', 'http://[', OptionError, /http:\/\/\[ is not a valid URL/],
    ['null', null, OptionError, /this is not a checkpoint: pass/],
    ['half an object', { config } as never, OptionError, /this is not a checkpoint: pass/],
    ['bad weights', { config, weights: 3 as never }, OptionError, /weights must be/],
    ['bad config', { config: 3 as never, weights }, OptionError, /config must be/],
    ['an empty list', [], IoError, /^there is no file config\.json among those given \(nothing\)/],
    ['a list of others', ['a'] as never, OptionError, /File objects/],
    [
      'no weights in a list',
      [new File([], 'config.json')],
      IoError,
      /^there is no file model\.safetensors among those given \(config\.json\)/,
    ],
    [
      'two in a list',
      [dropped('a/config.json', ''), dropped('b/config.json', '')],
      IoError,
      /two files config\.json \(a\/config\.json, b\//,
    ],
  ])('refuses %s', async (_, source, type, message) => {
    const error = await failure(openCheckpoint(source as CheckpointSource));
    expect(error).toBeInstanceOf(type);
    expect(error.message).toMatch(message);
  });

  it('a config that is not JSON or is a web page is an error', async () => {
    const read = async (text: string) => failure((await openCheckpoint({ config: text, weights })).config());
    expect(await read('{"a":')).toBeInstanceOf(CheckpointError);
    expect((await read('{"a":')).message).toMatch(/^the config given is not valid JSON: /);
    expect((await read(' <html>')).message).toMatch(/^the config given is a web page, not JSON/);
  });

  it('reports loading and stops on abort', async () => {
    for (const source of [good, { config, weights }, { config, weights: new Blob([weights]) }]) {
      const seen: Progress[] = [];
      const control = new AbortController();
      const checkpoint = await openCheckpoint(source, { onProgress: (p) => seen.push(p), signal: control.signal });
      const bytes = await checkpoint.weights();
      await parseHeader(bytes);
      await bytes.read(0, weights.length);
      expect(seen.map((p) => p.loaded)).toEqual([8, weights.length - 12, weights.length]);
      expect(seen.every((p) => p.phase === 'load' && p.total === weights.length)).toBe(true);
      const reason = new Error('enough');
      control.abort(reason);
      expect(await failure(bytes.read(0, 1))).toBe(reason);
      expect(await failure(checkpoint.config())).toBe(reason);
      expect(await failure(checkpoint.weights())).toBe(reason);
      expect(await failure(checkpoint.text('classes.json'))).toBe(reason);
      await checkpoint.close();
    }
    const reason = new Error('before');
    expect(await failure(openCheckpoint(good, { signal: AbortSignal.abort(reason) }))).toBe(reason);
  });

  it('close() closes the files it opened', async () => {
    const checkpoint = await openCheckpoint(good);
    const bytes = await checkpoint.weights();
    await checkpoint.close();
    expect((await failure(bytes.read(0, 1))).message).toMatch(/was read after close\(\)/);
  });
});

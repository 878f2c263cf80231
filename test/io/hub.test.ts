/** Repository ids, and checkpoints in several files, in Node. */
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { cachedFiles, chunking, clearCache } from '../../src/cache/entry.js';
import { isRepositoryId } from '../../src/checkpoint/folder.js';
import { type CheckpointSource, openCheckpoint, type Progress, type SourceOptions } from '../../src/checkpoint/source.js';
import { CheckpointError, IoError, OptionError } from '../../src/core/errors.js';
import { encodeSafetensors, parseHeader } from '../../src/io/safetensors.js';
import { CONFIG, FaultyServer, makeWeights, sha256 } from './faulty_server.js';
import { failure, temporaryFolder } from './helpers.js';
import { checksum, load } from './load_checkpoint.js';

/** An eighth of the usual size of chunks and files takes an eighth of the time. */
const UNIT = 2 ** 17;
const [one, two] = [makeWeights(9, 1, UNIT), makeWeights(9, 2, UNIT)];
const [valuesOne, valuesTwo] = [await load({ config: CONFIG, weights: one }), await load({ config: CONFIG, weights: two })];
const [commitOne, commitTwo] = ['1'.repeat(40), '2'.repeat(40)];
const folder = await temporaryFolder();

let hub: FaultyServer;
let store: FaultyServer;
let cacheDir: string;
const { bytes: usual } = chunking;
let options: SourceOptions;

beforeEach(async () => {
  chunking.bytes = 8 * UNIT;
  [hub, store] = [await FaultyServer.start(), await FaultyServer.start()];
  for (const server of [hub, store]) server.piece = UNIT;
  cacheDir = await mkdtemp(join(folder, 'cache-'));
  options = { endpoint: hub.url, cacheDir };
});
afterEach(async () => {
  vi.unstubAllEnvs();
  chunking.bytes = usual;
  await hub.close();
  await store.close();
});

/** Puts a commit on the hub, as Hugging Face does: small files by itself, large ones in a store it redirects to. */
function push(revision: string, commit: string, weights: Uint8Array, hash = sha256(weights)) {
  for (const at of [revision, commit]) {
    const path = `/ann/model/resolve/${at}`;
    const headers = { 'x-repo-commit': commit };
    hub.files[`${path}/config.json`] = { body: JSON.stringify(CONFIG), headers: { ...headers, etag: `"${commit}"` } };
    hub.files[`${path}/model.safetensors`] = { body: '', headers: { ...headers, 'x-linked-etag': `"${hash}"` } };
    hub.redirects[`${path}/model.safetensors`] = `${store.url}/${commit}`;
  }
  store.files[`/${commit}`] = { body: weights, headers: { etag: `"${commit.slice(0, 8)}"` } };
}
const get = (more: SourceOptions = {}) => load('ann/model', { ...options, ...more });
const path = (commit: string, file: string) => `GET /ann/model/resolve/${commit}/${file}`;

describe('a repository id', () => {
  it('is loaded at one commit; loading it again takes one request, or none offline', async () => {
    push('main', commitOne, one);
    expect(await get()).toBe(valuesOne);
    // The weights' hash came with the redirect, so no card was asked for.
    expect(hub.take()).toEqual([
      path('main', 'config.json'),
      path(commitOne, 'model.safetensors'),
      path(commitOne, 'classes.json'),
      path(commitOne, 'generation_config.json'),
    ]);
    expect(store.take()).toEqual([`GET /${commitOne}`]);
    expect(await get()).toBe(valuesOne);
    expect([hub.take(), store.take()]).toEqual([[path('main', 'config.json')], []]);
    await hub.close();
    await store.close();
    expect(await get()).toBe(valuesOne);
  });

  it('is downloaded again at a new commit, which replaces the old one', async () => {
    push('main', commitOne, one);
    await get();
    push('main', commitTwo, two);
    expect(await get()).toBe(valuesTwo);
    const cached = await cachedFiles({ cacheDir });
    expect(cached.map(({ url }) => url)).toEqual(
      ['config.json', 'model.safetensors'].map((file) => `${hub.url}/ann/model/resolve/main/${file}`),
    );
    await clearCache({ cacheDir, model: 'ann/model' });
    expect(await cachedFiles({ cacheDir })).toEqual([]);
  });

  it('with a commit needs no second request, and with a branch has the name encoded', async () => {
    push(commitOne, commitOne, one);
    push('refs/pr/1', commitTwo, two);
    expect(await get({ revision: commitOne })).toBe(valuesOne);
    hub.take();
    expect(await get({ revision: commitOne })).toBe(valuesOne);
    expect(hub.take()).toEqual([]);
    expect(await get({ revision: 'refs/pr/1' })).toBe(valuesTwo);
    expect(await get({ revision: commitOne })).toBe(valuesOne);
  });

  it('has its weights verified by the hash that the hub reports', async () => {
    push('main', commitOne, one, sha256(two));
    const error = await failure(get());
    expect(error).toBeInstanceOf(IoError);
    expect(error.message).toMatch(/has the SHA-256 \w+, and \w+ was expected/);
    push('main', commitOne, one);
    expect(await get()).toBe(valuesOne);
  });

  it('is loaded from mirrors that report no commit and do not redirect', async () => {
    hub.files['/ann/model/resolve/main/config.json'] = { body: JSON.stringify(CONFIG) };
    hub.files['/ann/model/resolve/main/model.safetensors'] = { body: one, headers: { etag: '"a"' } };
    expect(await get()).toBe(valuesOne);
    hub.take();
    expect(await get()).toBe(valuesOne);
    expect(hub.take()).toEqual([
      path('main', 'config.json'),
      'HEAD /ann/model/resolve/main/model.safetensors',
      path('main', 'classes.json'),
      path('main', 'generation_config.json'),
    ]);
  });

  it('takes endpoint and token from the environment, or the options', async () => {
    push('main', commitOne, one);
    vi.stubEnv('HF_ENDPOINT', `${hub.url}/`);
    vi.stubEnv('HF_TOKEN', 'from-env');
    expect(await load('ann/model', { cacheDir, cache: false })).toBe(valuesOne);
    expect(new Set(hub.authorizations.splice(0))).toEqual(new Set(['Bearer from-env']));
    expect(await get({ cache: false, token: 'mine' })).toBe(valuesOne);
    expect(new Set(hub.authorizations)).toEqual(new Set(['Bearer mine']));
    expect(new Set(store.authorizations)).toEqual(new Set([undefined]));
    // A token from the environment is sent to the hub only.
    hub.authorizations.length = 0;
    await load(`${hub.url}/ann/model/resolve/main`, { cacheDir, cache: false });
    expect(new Set(hub.authorizations)).toEqual(new Set([undefined]));
  });

  it.each([401, 403, 404])('HTTP %i: the message names the possible reasons', async (status) => {
    hub.status = status;
    const error = await failure(get());
    expect(error).toBeInstanceOf(IoError);
    expect(error.message).toMatch(
      new RegExp(
        `^http://\\S+/ann/model has no config\\.json at revision main to be read \\(HTTP ${status}\\): there is no such model, or it is ` +
          'private or gated; .*HF_TOKEN.*There is no local folder ann/model either',
      ),
    );
    expect(await cachedFiles({ cacheDir })).toEqual([]);
  });

  it.each([
    [
      'GatedRepo',
      403,
      undefined,
      /ann\/model is gated \(HTTP 403\): only those who accepted its terms may read it; accept the terms on http/,
    ],
    ['GatedRepo', 403, 'mine', /is gated \(HTTP 403\): the account of your token has no access yet/],
    ['RevisionNotFound', 404, undefined, /has no revision main \(HTTP 404\)/],
    ['', 401, 'old', /refused your token \(HTTP 401\): it is wrong or has expired/],
  ])('%s, HTTP %i: the message says what to do', async (hubCode, status, token, message) => {
    hub.status = status;
    hub.statusHeaders = hubCode ? { 'x-error-code': hubCode } : {};
    expect((await failure(get({ token }))).message).toMatch(message);
  });

  it('is loaded with a warning if the repository has moved', async () => {
    push('main', commitOne, one);
    for (const at of ['main', commitOne])
      for (const file of ['config.json', 'model.safetensors', 'classes.json'])
        hub.redirects[`/old/name/resolve/${at}/${file}`] = `/ann/model/resolve/${at}/${file}`;
    const warnings: string[] = [];
    expect(await load('old/name', { ...options, onWarning: (text) => warnings.push(text) })).toBe(valuesOne);
    expect(warnings).toEqual(['the repository old/name has moved to ann/model; use that id from now on.']);
  });

  it('without network and cache is an error that says so', async () => {
    await hub.close();
    expect((await failure(get())).message).toMatch(
      /config\.json could not be fetched: .*ECONNREFUSED.* There is no local folder ann\/model either\.$/,
    );
  });

  it('a local folder of that name takes precedence', async () => {
    const local = await mkdtemp(join(folder, 'cwd-'));
    await mkdir(join(local, 'ann/model'), { recursive: true });
    await writeFile(join(local, 'ann/model/config.json'), JSON.stringify(CONFIG));
    await writeFile(join(local, 'ann/model/model.safetensors'), two);
    push('main', commitOne, one);
    const cwd = vi.spyOn(process, 'cwd');
    const before = process.cwd();
    try {
      process.chdir(local);
      expect(await get()).toBe(valuesTwo);
    } finally {
      process.chdir(before);
      cwd.mockRestore();
    }
    expect(hub.take()).toEqual([]);
  });

  it('is distinguished from paths', () => {
    expect(['ann/model', 'a-b/c.d_e', '0x/9'].map(isRepositoryId)).toEqual([true, true, true]);
    for (const text of ['model', './a/b', '/a/b', 'a/b/c', 'a/b.safetensors', '../b', 'a/..', 'http://a/b', 'C:\\a', 'a/b/'])
      expect([text, isRepositoryId(text)]).toEqual([text, false]);
  });

  it.each([
    [{ endpoint: 'huggingface.co' }, /endpoint is huggingface\.co; it must be/],
    [{ endpoint: 'http://user:pa55@host' }, /endpoint is http:\/\/host; it must be/],
    [{ endpoint: 'http://host?x=' }, /it must be an http\(s\) URL without user, query and fragment/],
    [{ revision: '' }, /revision is empty/],
    ...['..', '.', 'a/../b', '\ud800', 'x\ny', 'a b', 'x'.repeat(5000)].map(
      (revision) => [{ revision }, /^revision is "/] as [SourceOptions, RegExp],
    ),
  ])('%o is refused', async (wrong, message) => {
    const error = await failure(get(wrong));
    expect(error).toBeInstanceOf(OptionError);
    expect(error.message).toMatch(message);
  });
});

describe('weights in several files', () => {
  const values = (from: number, n: number) => Float32Array.from({ length: n }, (_, i) => from + i);
  const tensors = [
    { name: 'a', dtype: 'F32', shape: [3 * UNIT], data: values(0, 3 * UNIT) },
    { name: '__proto__', dtype: 'F32', shape: [5], data: values(1, 5) },
    { name: 'c', dtype: 'F16', shape: [UNIT], data: new Float32Array(UNIT).fill(2) },
    { name: 'empty', dtype: 'F32', shape: [0], data: new Float32Array(0) },
  ] as const;
  const parts = [encodeSafetensors([tensors[0]]), encodeSafetensors([tensors[1], tensors[2]]), encodeSafetensors([tensors[3]])];
  const name = (i: number) => `model-0000${i + 1}-of-00003.safetensors`;
  const index = (map: object = { a: name(0), ['__proto__' as string]: name(1), c: name(1), empty: name(2) }) =>
    JSON.stringify({ metadata: { total_size: 1 }, weight_map: map });
  const all: Record<string, Uint8Array<ArrayBuffer> | string> = {
    'config.json': JSON.stringify(CONFIG),
    'model.safetensors.index.json': index(),
    ...Object.fromEntries(parts.map((part, i) => [name(i), part])),
  };
  const hashes = Object.fromEntries(parts.map((part, i) => [name(i), sha256(part)]));
  const want = checksum(tensors.map(({ data }) => data));

  const asFolder = async (files: typeof all) => {
    const path = await mkdtemp(join(folder, 'shards-'));
    for (const [file, body] of Object.entries(files)) await writeFile(join(path, file), body);
    return path;
  };
  const asUrl = async (files: typeof all) => {
    for (const [file, body] of Object.entries(files)) hub.files[`/m/${file}`] = { body, headers: { etag: `"${file}"` } };
    return `${hub.url}/m`;
  };
  const asId = async (files: typeof all) => {
    for (const [file, body] of Object.entries(files))
      for (const at of ['main', commitOne])
        hub.files[`/ann/model/resolve/${at}/${file}`] = { body, headers: { 'x-repo-commit': commitOne } };
    return 'ann/model';
  };
  const asFiles = async (files: typeof all) => Object.entries(files).map(([file, body]) => new File([body], file));
  const KINDS: [string, (files: typeof all) => Promise<CheckpointSource>][] = [
    ['a folder', asFolder],
    ['a URL', asUrl],
    ['a repository', asId],
    ['dropped files', asFiles],
  ];

  it.each(KINDS)('%s: the values and their order are unchanged, with one combined progress', async (_, as) => {
    const source = await as(all);
    for (const cache of [false, true, true]) {
      const progress: Progress[] = [];
      expect(await load(source, { ...options, cache, sha256: hashes, onProgress: (p) => progress.push(p) })).toBe(want);
      expect(progress.every((p, i) => p.loaded >= (progress[i - 1]?.loaded ?? 0))).toBe(true);
      expect(progress.at(-1)).toMatchObject({ loaded: progress.at(-1)!.total });
    }
  });

  it.each(KINDS)('%s: one read may span several files', async (_, as) => {
    const checkpoint = await openCheckpoint(await as(all), options);
    const weights = await checkpoint.weights();
    const { dataOffset, tensors: found } = await parseHeader(weights);
    expect([...found.keys()].sort()).toEqual(['__proto__', 'a', 'c', 'empty']);
    const whole = await weights.read(0, weights.size);
    const data = Buffer.concat([Buffer.from(tensors[0].data.buffer), Buffer.from(parts[1]!.subarray(-20 - 2 * UNIT))]);
    expect(Buffer.from(whole.subarray(dataOffset)).equals(data)).toBe(true);
    expect((await failure(weights.read(weights.size - 1, 2))).message).toMatch(/the file is shorter/);
    await checkpoint.close();
  });

  it('loading a repository again takes one request, or none offline', async () => {
    const id = await asId(all);
    await load(id, options);
    hub.take();
    await load(id, options);
    expect(hub.take()).toEqual([path('main', 'config.json')]);
    await hub.close();
    expect(await load(id, options)).toBe(want);
  });

  it('are found if their names need encoding in URLs', async () => {
    const odd = ['a#1.safetensors', 'b?c.safetensors', 'd%20e.safetensors'];
    const map = { a: odd[0], ['__proto__' as string]: odd[1], c: odd[1], empty: odd[2] };
    const files = { 'config.json': all['config.json']!, 'model.safetensors.index.json': `\uFEFF${index(map)}` };
    const shards = Object.fromEntries(odd.map((file, i) => [file, parts[i]!]));
    for (const [, as] of KINDS) expect(await load(await as({ ...files, ...shards }), { ...options, cache: false })).toBe(want);
  });

  it('are refused before any is opened if there are more than a thousand', async () => {
    const many = Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`t${i}`, `s${i}.safetensors`]));
    const url = await asUrl({ 'config.json': all['config.json']!, 'model.safetensors.index.json': index(many) });
    expect((await failure(load(url, options))).message).toMatch(/index\.json names 1001 files, more than the 1000 that are read/);
    expect(hub.take().filter((s) => s.includes('/s')).length).toBe(0);
  });

  it('are loaded through connections that break', async () => {
    const url = await asUrl(all);
    hub.cuts = [9 * UNIT, UNIT];
    expect(await load(url, { ...options, sha256: hashes })).toBe(want);
  });

  it.each<[string, object, new (m: string) => Error, RegExp]>([
    ['a file that is missing', { [name(1)]: undefined }, IoError, /model-00002-of-00003\.safetensors/],
    ['an index that is no JSON', { 'model.safetensors.index.json': '{' }, CheckpointError, /index\.json is not valid JSON/],
    ['an index without a map', { 'model.safetensors.index.json': '[]' }, CheckpointError, /index\.json has no weight_map/],
    [
      'an index that leads elsewhere',
      { 'model.safetensors.index.json': index({ a: '../x.safetensors' }) },
      CheckpointError,
      /names the file "\.\.\/x\.safetensors", not a \.safetensors file beside it/,
    ],
    ['a tensor in two files', { [name(2)]: parts[0] }, CheckpointError, /both have a tensor a;/],
    [
      'a damaged file',
      { [name(0)]: parts[0]!.subarray(0, 1000) },
      CheckpointError,
      /model-00001-of-00003\.safetensors is cut off/,
    ],
  ])('%s is an error that names the reason', async (_, change, type, message) => {
    const files = Object.fromEntries(Object.entries({ ...all, ...change }).filter(([, body]) => body !== undefined));
    for (const [, as] of KINDS) {
      const error = await failure(load(await as(files as typeof all), options));
      expect(error).toBeInstanceOf(type);
      expect(error.message).toMatch(message);
      for (const file of Object.keys(hub.files)) delete hub.files[file];
    }
  });

  it('a hash for each file is verified, and one hash for all is refused', async () => {
    for (const [, as] of KINDS) {
      const source = await as(all);
      const wrong = { ...hashes, [name(1)]: sha256('x') };
      expect((await failure(load(source, { ...options, sha256: wrong }))).message).toMatch(
        /00002-of-00003\.safetensors has the SHA/,
      );
      const error = await failure(load(source, { ...options, sha256: sha256('x') }));
      expect(error).toBeInstanceOf(OptionError);
      expect(error.message).toMatch(/several files of weights; give sha256 as \{ 'model-00001/);
    }
  });
});

/** The cache of downloads and faults of servers, in Node. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { homedir, hostname } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { cachedFiles, chunking, clearCache } from '../../src/cache/entry.js';
import { folderStore } from '../../src/cache/folder.js';
import { openCheckpoint, type Progress, type SourceOptions } from '../../src/checkpoint/source.js';
import { timing } from '../../src/checkpoint/wait.js';
import { CheckpointError, IoError, OptionError } from '../../src/core/errors.js';
import { run } from '../platform/run_program.js';
import { CONFIG, FaultyServer, makeWeights, sha256 } from './faulty_server.js';
import { failure, temporaryFolder } from './helpers.js';
import { load } from './load_checkpoint.js';

/** Chunks and files are an eighth of their usual size, which takes an eighth of the time. */
const UNIT = 2 ** 17;
const CHUNK = 8 * UNIT;
const [one, two] = [makeWeights(20, 1, UNIT), makeWeights(20, 2, UNIT)];
const wanted = async (weights: Uint8Array<ArrayBuffer>) => load({ config: CONFIG, weights });
const [valuesOne, valuesTwo] = [await wanted(one), await wanted(two)];
const folder = await temporaryFolder();

let server: FaultyServer;
let cacheDir: string;
let warnings: string[];
let options: SourceOptions;

const { pauses } = timing;
const { bytes: usual } = chunking;
beforeEach(async () => {
  timing.pauses = [5, 5, 5, 5];
  chunking.bytes = CHUNK;
  server = await FaultyServer.start();
  server.piece = UNIT;
  server.files['/m/config.json'] = { body: JSON.stringify(CONFIG), headers: { 'content-type': 'application/json' } };
  put(one, { etag: '"one"' });
  cacheDir = await mkdtemp(join(folder, 'cache-'));
  warnings = [];
  options = { cacheDir, onWarning: (text) => warnings.push(text) };
});
afterEach(async () => {
  timing.pauses = pauses;
  chunking.bytes = usual;
  vi.unstubAllEnvs();
  await server.close();
  expect(warnings).toEqual([]);
});

function put(body: Uint8Array, headers: Record<string, string> = {}, path = '/m/model.safetensors') {
  server.files[path] = { body, headers };
}
const get = (more: SourceOptions = {}) => load(`${server.url}/m`, { ...options, ...more });
const chunks = async () => (await readdir(cacheDir)).filter((name) => /-\d+$/.test(name));
/** Only the requests for weights. */
const weightRequests = () => server.take().filter((s) => s.includes('.safetensors'));
const GET = 'GET /m/model.safetensors';
const HEAD = 'HEAD /m/model.safetensors';
/** Answers the first `n` requests for weights only. */
function breakDown(cut: number) {
  server.cuts = [cut, 0, 0, 0, 0, 0, 0, 0];
}

/** Undefined if there is no such file. */
function content(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/** Loads in another process after the shell command `before`; returns the lines of warnings and of the result of `load`. */
async function loadElsewhere(before = ''): Promise<string[]> {
  const { stdout, stderr } = await run('sh', [
    '-c',
    `${before} exec "$0" "$@"`,
    process.execPath,
    script,
    `${server.url}/m`,
    cacheDir,
    sha256(one),
  ]);
  expect(stderr).toBe('');
  return stdout.trim().split('\n');
}
const script = join(folder, 'load.mjs');
await build({
  stdin: {
    contents: `import { load } from './test/io/load_checkpoint.ts';
      import { chunking } from './src/cache/entry.ts';
      const [url, cacheDir, sha256] = process.argv.slice(2);
      chunking.bytes = ${CHUNK};
      console.log(await load(url, { cacheDir, sha256, onWarning: (text) => console.log(text) }));`,
    resolveDir: process.cwd(),
  },
  bundle: true,
  platform: 'node',
  format: 'esm',
  outfile: script,
  logLevel: 'silent',
});

describe('a second load', () => {
  it('asks whether the file has changed and downloads nothing', async () => {
    expect(await get()).toBe(valuesOne);
    expect(weightRequests()).toEqual([GET]);
    expect(await get()).toBe(valuesOne);
    expect(server.take()).toEqual(['GET /m/config.json', HEAD, 'GET /m/classes.json', 'GET /m/generation_config.json']);
  });

  it('loads the cached copy offline', async () => {
    await get();
    await server.close();
    const progress: Progress[] = [];
    expect(await get({ onProgress: (p) => progress.push(p) })).toBe(valuesOne);
    expect(progress.at(-1)).toEqual({ phase: 'load', loaded: CHUNK * 2, total: one.length });
    await server.close();
  });

  it('downloads a file whose ETag or date has changed, and removes the chunks of the old one', async () => {
    await get();
    put(two, { etag: '"two"' });
    expect(await get()).toBe(valuesTwo);
    put(one, { 'last-modified': 'Mon, 01 Jan 2024 00:00:00 GMT' });
    expect(await get()).toBe(valuesOne);
    expect(await get()).toBe(valuesOne);
    put(two, { 'last-modified': 'Tue, 02 Jan 2024 00:00:00 GMT' });
    expect(await get()).toBe(valuesTwo);
    expect(weightRequests()).toEqual([GET, HEAD, GET, HEAD, GET, HEAD, HEAD, GET]);
    expect((await readdir(cacheDir)).filter((name) => !name.endsWith('.json')).length).toBe(3);
  });

  it('downloads a file with neither again, but uses the cached copy offline', async () => {
    put(one);
    await get();
    put(two);
    expect(await get()).toBe(valuesTwo);
    await server.close();
    expect(await get()).toBe(valuesTwo);
  });

  it('does not treat the weak mark of an ETag as a change', async () => {
    await get();
    put(one, { etag: 'W/"one"' });
    await get();
    expect(weightRequests()).toEqual([GET, HEAD]);
  });

  it('uses the cached copy if the server no longer has the file', async () => {
    await get();
    delete server.files['/m/model.safetensors'];
    expect(await get()).toBe(valuesOne);
  });

  it('sends no request for the weights if their hash is given', async () => {
    await get({ sha256: sha256(one) });
    server.take();
    await get({ sha256: sha256(one).toUpperCase() });
    expect(weightRequests()).toEqual([]);
  });

  it('fetches damaged chunks and files without a record again', async () => {
    await get();
    const parts = (await readdir(cacheDir)).filter((name) => !name.endsWith('.json')).sort();
    await writeFile(join(cacheDir, parts[1]!), 'x');
    expect(await get()).toBe(valuesOne);
    expect(weightRequests()).toEqual([GET, HEAD, `${GET} bytes=${CHUNK}-`]);
    await get();
    expect(weightRequests()).toEqual([HEAD]);
    for (const name of await readdir(cacheDir)) if (name.endsWith('.json')) await writeFile(join(cacheDir, name), '{');
    expect(await get()).toBe(valuesOne);
    expect(weightRequests()).toEqual([GET]);
  });

  it('cache: false neither stores nor reads cached files', async () => {
    await get({ cache: false });
    expect(await readdir(cacheDir)).toEqual([]);
    await get();
    put(two, { etag: '"one"' });
    expect(await get({ cache: false })).toBe(valuesTwo);
    expect(await get()).toBe(valuesOne);
  });
});

describe('an interrupted download', () => {
  it('continues at the byte that it had reached', async () => {
    server.cuts = [12 * UNIT, 3 * UNIT];
    const progress: Progress[] = [];
    expect(await get({ onProgress: (p) => progress.push(p), sha256: sha256(one) })).toBe(valuesOne);
    expect(weightRequests()).toEqual([GET, `${GET} bytes=${12 * UNIT}-`, `${GET} bytes=${15 * UNIT}-`]);
    expect(progress.every((p, i) => p.loaded > (progress[i - 1]?.loaded ?? 0) && p.total === one.length)).toBe(true);
    expect(progress.at(-1)!.loaded).toBe(one.length);
  });

  it('starts again if the server supports no ranges', async () => {
    server.ranges = false;
    server.cuts = [12 * UNIT];
    const progress: Progress[] = [];
    expect(await get({ onProgress: (p) => progress.push(p), sha256: sha256(one) })).toBe(valuesOne);
    expect(weightRequests().length).toBe(2);
    expect(progress.every((p, i) => p.loaded > (progress[i - 1]?.loaded ?? 0))).toBe(true);
  });

  it('is continued by the next load after the last complete chunk', async () => {
    breakDown(17 * UNIT);
    const error = await failure(get());
    expect(error).toBeInstanceOf(IoError);
    expect(error.message).toMatch(
      new RegExp(`^the download of \\S+ broke after ${17 * UNIT} of ${one.length} bytes: .*; try again\\.$`),
    );
    expect((await cachedFiles({ cacheDir })).find(({ url }) => url.endsWith('tensors'))).toMatchObject({
      bytes: CHUNK * 2,
      complete: false,
    });
    server.cuts = [];
    weightRequests();
    server.sent = 0;
    expect(await get({ sha256: sha256(one) })).toBe(valuesOne);
    expect(weightRequests()).toEqual([`${GET} bytes=${CHUNK * 2}-`]);
    expect(server.sent).toBeLessThan(5 * UNIT);
  });

  it.each<[string, () => void]>([
    ['has another ETag', () => put(two, { etag: '"two"' })],
    ['has another length', () => put(makeWeights(12, 2), { etag: '"one"' })],
    ['is shorter than what is there', () => put(makeWeights(4, 2), { etag: '"one"' })],
    ['has no ETag any more', () => put(two)],
  ])('is started again by the next load if the file %s', async (_, change) => {
    breakDown(17 * UNIT);
    await failure(get());
    server.cuts = [];
    change();
    const now = server.files['/m/model.safetensors']!.body as Uint8Array<ArrayBuffer>;
    expect(await get()).toBe(await wanted(now));
    expect((await cachedFiles({ cacheDir })).find(({ url }) => url.endsWith('tensors'))).toMatchObject({
      bytes: now.length,
      complete: true,
    });
  });

  it('is not continued if the file changed meanwhile', async () => {
    server.cuts = [12 * UNIT];
    const onProgress = ({ loaded }: Progress) => void (loaded > CHUNK && put(two, { etag: '"two"' }));
    expect((await failure(get({ onProgress }))).message).toMatch(/changed on the server while it was read; start again/);
    expect(await get()).toBe(valuesTwo);
  });

  it('is continued although the server sends the whole file again', async () => {
    breakDown(17 * UNIT);
    await failure(get());
    server.cuts = [];
    server.ranges = false;
    expect(await get({ sha256: sha256(one) })).toBe(valuesOne);
  });

  it('stops on abort, and can be continued later', async () => {
    const control = new AbortController();
    const reason = new Error('enough');
    const stop = ({ loaded }: Progress) => loaded > 17 * UNIT && control.abort(reason);
    expect(await failure(get({ signal: control.signal, onProgress: stop }))).toBe(reason);
    weightRequests();
    expect(await get()).toBe(valuesOne);
    expect(weightRequests()).toEqual([`${GET} bytes=${CHUNK * 2}-`]);
  });

  it('completes with a slow server', async () => {
    server.delay = 60;
    expect(await get()).toBe(valuesOne);
  });
});

describe('the SHA-256', () => {
  it('given by the user is verified, and wrong content is not stored', async () => {
    expect(await get({ sha256: sha256(one) })).toBe(valuesOne);
    await clearCache({ cacheDir });
    for (const cache of [true, false]) {
      const error = await failure(get({ cache, sha256: sha256(two) }));
      expect(error).toBeInstanceOf(IoError);
      expect(error.message).toMatch(
        new RegExp(`model\\.safetensors has the SHA-256 ${sha256(one)}, and ${sha256(two)} was expected: it was damaged`),
      );
    }
    expect((await cachedFiles({ cacheDir })).filter(({ url }) => url.endsWith('tensors'))).toEqual([]);
  });

  it('is verified for files that were cached without one', async () => {
    await get();
    expect((await failure(get({ sha256: sha256(two) }))).message).toMatch(/was expected/);
    await get();
    expect(await get({ sha256: sha256(one) })).toBe(valuesOne);
    weightRequests();
    await get({ sha256: sha256(one) });
    expect(weightRequests()).toEqual([]);
  });

  it("given by the model card's front matter is verified", async () => {
    const card = (hash: string) =>
      `---\nlicense: mit\nsha256:\n  other: ${'0'.repeat(64)}\n  model.safetensors: "${hash}"\n---\n# M`;
    server.files['/m/README.md'] = { body: card(sha256(one)), headers: { 'content-type': 'text/markdown' } };
    expect(await get()).toBe(valuesOne);
    await clearCache({ cacheDir });
    server.files['/m/README.md']!.body = `---\nsha256: ${sha256(two)}\n---\n`;
    expect((await failure(get())).message).toMatch(/was expected/);
    // The hash given by the user takes precedence.
    expect(await get({ sha256: sha256(one) })).toBe(valuesOne);
    // Only the front matter counts.
    server.files['/m/README.md']!.body = `# M\nsha256: ${sha256(two)}\n`;
    expect(await get({ cache: false })).toBe(valuesOne);
  });

  it('is verified for local files, File objects and bytes, too', async () => {
    const weights = one;
    const local = await mkdtemp(join(folder, 'local-'));
    await writeFile(join(local, 'config.json'), JSON.stringify(CONFIG));
    await writeFile(join(local, 'model.safetensors'), one);
    const file = new File([one], 'model.safetensors');
    const config = new File([JSON.stringify(CONFIG)], 'config.json');
    for (const source of [local, [file, config], { config: CONFIG, weights }, { config: CONFIG, weights: new Blob([one]) }]) {
      expect(await load(source, { sha256: sha256(one) })).toBe(valuesOne);
      expect((await failure(load(source, { sha256: sha256(two) }))).message).toMatch(/was expected/);
    }
  });

  it.each([
    ['abc', /sha256 of model\.safetensors is "abc"; it must be 64/],
    [{ 'other.safetensors': sha256(one) }, /sha256 of model\.safetensors is undefined/],
  ])('that is not 64 hexadecimal digits is refused: %s', async (hash, message) => {
    const error = await failure(get({ sha256: hash }));
    expect(error).toBeInstanceOf(OptionError);
    expect(error.message).toMatch(message);
  });
});

describe('files that are no model are not stored', () => {
  const cachedNames = async () => (await cachedFiles({ cacheDir })).map(({ url }) => url.slice(url.lastIndexOf('/') + 1));

  it.each(['text/html; charset=utf-8', 'application/octet-stream'])('a web page sent as %s', async (type) => {
    const page = { body: '<!doctype html><title>Sign in</title>', headers: { 'content-type': type, etag: '"x"' } };
    server.files['/m/model.safetensors'] = page;
    const error = await failure(get());
    expect(error.message).toMatch(/web page/);
    expect(await cachedNames()).toEqual(['config.json']);
    server.files['/m/config.json'] = page;
    expect((await failure(get())).message).toMatch(/web page/);
    put(one, { etag: '"x"' });
    server.files['/m/config.json'] = { body: JSON.stringify(CONFIG) };
    expect(await get()).toBe(valuesOne);
  });

  it.each([404, 500, 403])('HTTP %i', async (status) => {
    server.status = status;
    const error = await failure(get());
    expect(error).toBeInstanceOf(IoError);
    expect(error.message).toMatch(new RegExp(`config\\.json answered HTTP ${status}`));
    server.status = 0;
    delete server.files['/m/model.safetensors'];
    expect((await failure(get())).message).toMatch(/model\.safetensors answered HTTP 404 Not Found: there is no such file/);
    expect(await cachedNames()).toEqual(['config.json']);
  });

  it('a truncated file with a matching Content-Length', async () => {
    put(one.subarray(0, 12 * UNIT), { etag: '"cut"' });
    const error = await failure(get());
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(/is cut off: \d+ of its \d+ data bytes are missing/);
    put(one, { etag: '"whole"' });
    expect(await get()).toBe(valuesOne);
  });
});

describe('redirects', () => {
  it('are followed again by every request', async () => {
    server.redirects['/m/model.safetensors'] = '/store/1';
    put(one, { etag: '"one"' }, '/store/1');
    server.cuts = [12 * UNIT];
    expect(await get()).toBe(valuesOne);
    expect(server.take().filter((s) => s.includes('store') || s.includes('.safetensors'))).toEqual([
      GET,
      'GET /store/1',
      `${GET} bytes=${12 * UNIT}-`,
      `GET /store/1 bytes=${12 * UNIT}-`,
    ]);
  });

  it('to another origin are followed without the token', async () => {
    const store = await FaultyServer.start();
    store.files['/x'] = { body: one };
    server.redirects['/m/model.safetensors'] = `${store.url}/x`;
    expect(await get({ token: 'secret' })).toBe(valuesOne);
    expect(new Set(server.authorizations)).toEqual(new Set(['Bearer secret']));
    expect(new Set(store.authorizations)).toEqual(new Set([undefined]));
    await store.close();
  });

  it('in an endless loop are an error', async () => {
    server.redirects['/m/config.json'] = '/m/config.json';
    expect((await failure(get())).message).toMatch(/was redirected 20 times without end/);
  });
});

describe('a damaged cache', () => {
  const small = makeWeights(9, 3);
  let smallValues: string;
  const chunkFiles = async () => (await readdir(cacheDir)).filter((name) => /-\d+$/.test(name)).sort();
  const damage = async (index: number, change: (bytes: Buffer) => void) => {
    const path = join(cacheDir, (await chunkFiles())[index]!);
    const bytes = await readFile(path);
    change(bytes);
    await writeFile(path, bytes);
  };
  const flip = (bytes: Buffer) => void (bytes[3000]! ^= 0x40);
  const recordPath = async () => {
    for (const name of await readdir(cacheDir))
      if (name.endsWith('.json') && (await readFile(join(cacheDir, name), 'utf8')).includes('"generation"'))
        return join(cacheDir, name);
    throw new Error('there is no record of a file');
  };
  /** Removes the fields that older versions did not store. */
  const makeOld = async () => {
    const path = await recordPath();
    const { checksums: _, ...record } = JSON.parse(await readFile(path, 'utf8'));
    await writeFile(path, JSON.stringify(record));
  };
  beforeEach(async () => {
    smallValues ??= await wanted(small);
    put(small, { etag: '"small"' });
  });

  it.each([
    ['a flipped bit', flip],
    ['zeros', (bytes: Buffer) => void bytes.fill(0)],
  ])('%s: only that chunk is fetched again', async (_, change) => {
    await get();
    await damage(0, change);
    weightRequests();
    expect(await get()).toBe(smallValues);
    expect(weightRequests()).toEqual([HEAD, GET]);
    expect(await get()).toBe(smallValues);
    expect(weightRequests()).toEqual([HEAD]);
    await damage(1, change);
    expect(await get({ sha256: sha256(small) })).toBe(smallValues);
    expect(weightRequests()).toEqual([HEAD, `${GET} bytes=${CHUNK}-`]);
  });

  it('from an older version with a SHA-256 is detected and downloaded again', async () => {
    await get({ sha256: sha256(small) });
    await makeOld();
    expect(await get()).toBe(smallValues);
    await makeOld();
    await damage(1, flip);
    weightRequests();
    expect(await get({ sha256: sha256(small) })).toBe(smallValues);
    expect(weightRequests()).toEqual([GET]);
    expect(warnings.splice(0)).toEqual([
      expect.stringMatching(/^the cached copy of \S+ is damaged or another version; it is downloaded/),
    ]);
  });

  it('from an older version without a SHA-256 is downloaded again if it is not a model', async () => {
    await get();
    await makeOld();
    await damage(0, (bytes) => void bytes.fill(0));
    weightRequests();
    expect(await get()).toBe(smallValues);
    expect(weightRequests()).toEqual([HEAD, GET]);
  });

  it('a hash given by the user is verified even if record and chunks agree', async () => {
    await get({ sha256: sha256(small) });
    await damage(1, flip);
    const path = await recordPath();
    const record = JSON.parse(await readFile(path, 'utf8'));
    record.checksums[1] = sha256(await readFile(join(cacheDir, (await chunkFiles())[1]!)));
    await writeFile(path, JSON.stringify(record));
    expect((await failure(get({ sha256: sha256(small) }))).message).toMatch(/has the SHA-256 .* was expected/);
    expect(await get({ sha256: sha256(small) })).toBe(smallValues);
  });

  it('is an error offline that names the command to remove it', async () => {
    await get();
    await damage(0, flip);
    await server.close();
    const error = await failure(get());
    expect(error).toBeInstanceOf(IoError);
    expect(error.message).toMatch(
      /^the cached copy of \S+ is damaged, and fetching .* failed: .*ECONNREFUSED.*`aim cache --clear`/,
    );
  });

  it('records of any JSON are ignored or used, never a crash', async () => {
    await get();
    const path = await recordPath();
    const good = JSON.parse(await readFile(path, 'utf8'));
    const changed = ['size', 'etag', 'generation', 'complete', 'sha256', 'checksums', 'commit', 'url'].flatMap((field) =>
      [null, 5, -1, 1e300, 'x', '../../x', {}, ['x']].map((value) => ({ ...good, [field]: value })),
    );
    for (const value of [null, 5, 'x', [], {}, { generation: 'x' }, ...changed]) {
      await writeFile(path, JSON.stringify(value));
      expect(await cachedFiles({ cacheDir, model: server.url })).toEqual(expect.any(Array));
    }
    for (const value of [null, [], { ...good, size: '11' }, { ...good, checksums: 5 }, { ...good, complete: 'yes' }]) {
      await writeFile(path, JSON.stringify(value));
      expect(await get()).toBe(smallValues);
    }
    await writeFile(path, 'null');
    await clearCache({ cacheDir });
    expect(await readdir(cacheDir)).toEqual([]);
  });
});

describe('two loads at once', () => {
  it('download once, and both report progress', async () => {
    server.delay = 20;
    const loadedBytes: number[] = [0, 0];
    const both = loadedBytes.map((_, i) => get({ sha256: sha256(one), onProgress: ({ loaded }) => (loadedBytes[i] = loaded) }));
    expect(await Promise.all(both)).toEqual([valuesOne, valuesOne]);
    expect(weightRequests()).toEqual([GET]);
    expect(loadedBytes.every((n) => n > 2 * CHUNK)).toBe(true);
  });

  it('the second load continues if the first is aborted', async () => {
    server.delay = 20;
    const control = new AbortController();
    let second: Promise<string> | undefined;
    const onProgress = ({ loaded }: Progress) => {
      second ??= get({ sha256: sha256(one) });
      if (loaded > 17 * UNIT) control.abort();
    };
    const first = failure(get({ signal: control.signal, onProgress }));
    expect((await first).name).toBe('AbortError');
    expect(await second).toBe(valuesOne);
    expect(weightRequests()).toEqual([GET, `${GET} bytes=${CHUNK * 2}-`]);
  });

  it('closing the waiting load rejects its read and does not affect the other load', async () => {
    server.stalls = [UNIT];
    const first = get();
    const { weights } = await openCheckpoint(`${server.url}/m`, options);
    await server.stalled();
    const second = await weights();
    const pending = failure(second.read(one.length - 8, 8));
    await second.close();
    expect((await pending).message).toMatch(/was (read after|closed while)/);
    server.goOn();
    expect(await first).toBe(valuesOne);
    expect(weightRequests()).toEqual([GET]);
  });

  it('in two processes download once', async () => {
    server.stalls = [CHUNK + UNIT];
    const both = Promise.all([loadElsewhere(), loadElsewhere()]);
    await expect.poll(() => server.seen.filter((s) => s.includes('config.json')).length, { timeout: 15_000 }).toBe(2);
    await server.stalled();
    server.goOn();
    expect(await both).toEqual([[valuesOne], [valuesOne]]);
    expect(weightRequests()).toEqual([GET]);
  });

  it('an old lock left by a crash is taken over', async () => {
    const store = await folderStore(cacheDir);
    const unlock = (await store.lock('k'))!;
    expect(await store.lock('k')).toBeUndefined();
    await unlock();
    await writeFile(join(cacheDir, 'k.lock'), '');
    expect(await store.lock('k')).toBeUndefined();
    const old = new Date(Date.now() - 60_000);
    await utimes(join(cacheDir, 'k.lock'), old, old);
    const taken = await store.lock('k');
    expect(taken).toBeTypeOf('function');
    await taken!();
  });

  it('a lock that is no file is judged by its date, and a named pipe does not hold up anybody', async () => {
    const store = await folderStore(cacheDir);
    const path = join(cacheDir, 'k.lock');
    const old = new Date(Date.now() - 60_000);
    const makers = [() => mkdirSync(path, { recursive: true })];
    if (process.platform !== 'win32') makers.push(() => void execFileSync('mkfifo', [path]));
    for (const make of makers) {
      make();
      expect(await store.lock('k')).toBeUndefined();
      await utimes(path, old, old);
      await (await store.lock('k'))!();
      expect(existsSync(path)).toBe(false);
    }
  });

  it('a lock dated in the future, or of a process that has ended, is taken over', async () => {
    const store = await folderStore(cacheDir);
    const path = join(cacheDir, 'k.lock');
    await writeFile(path, '');
    const future = new Date(Date.now() + 3_600_000);
    await utimes(path, future, future);
    await (await store.lock('k'))!();
    const ended = await run(process.execPath, ['-p', 'process.pid']);
    const lock = (pid: number, started: string, host = hostname()) => JSON.stringify({ pid, host, started, token: 'x' });
    await writeFile(path, lock(Number(ended.stdout), '1'));
    await (await store.lock('k'))!();
    // The same id, but a process that started at another time (where the system says when).
    await writeFile(path, lock(process.pid, '1'));
    if (process.platform === 'linux') await (await store.lock('k'))!();
    await writeFile(path, lock(Number(ended.stdout), '1', 'another machine'));
    expect(await store.lock('k')).toBeUndefined();
    const mine = await Promise.all(Array.from({ length: 4 }, () => store.lock('j')));
    expect(mine.filter(Boolean).length).toBe(1);
    await mine.find(Boolean)!();
  });

  it('a lock is never there without its owner, so that a killed process leaves none that seems valid', async () => {
    const store = await folderStore(cacheDir);
    let seen = 0;
    let isDone = false;
    const reader = (async () => {
      for (; !isDone; await new Promise((resolve) => setImmediate(resolve))) {
        const text = content(join(cacheDir, 'k.lock'));
        if (text === undefined) continue;
        seen++;
        expect(JSON.parse(text).host).toBe(hostname());
      }
    })();
    const taken = async () => {
      for (let i = 0; i < 100; i++) await (await store.lock('k'))!();
    };
    await Promise.all([reader, taken().finally(() => (isDone = true))]);
    expect(seen).toBeGreaterThan(10);
    expect(await readdir(cacheDir)).toEqual([]);
  });

  it('waiting for a lock whose owner stores nothing ends after a limit', async () => {
    const store = await folderStore(cacheDir);
    const release = await store.lock(sha256(`${server.url}/m/model.safetensors`).slice(0, 32));
    const { lock } = timing;
    timing.lock = 300;
    try {
      expect(await get()).toBe(valuesOne);
      expect(warnings.splice(0)).toEqual([
        expect.stringMatching(/^another tab or process has the download of \S+ locked and stores/),
      ]);
      expect(await chunks()).toEqual([]);
    } finally {
      timing.lock = lock;
      await release!();
    }
  });
});

it('the first write removes temporary files that killed processes left long ago', async () => {
  const store = await folderStore(cacheDir);
  const left = ['k.json.4194999-ab1.tmp', 'k.json.4194999-ab2.tmp'];
  for (const name of ['other', ...left]) await writeFile(join(cacheDir, name), '');
  await utimes(join(cacheDir, left[0]!), 1, 1);
  await store.put('k', new Uint8Array(1));
  expect(await readdir(cacheDir)).toEqual(['k', left[1], 'other']);
});

describe('without storage', () => {
  it('a cache folder that cannot be created gives a warning and loads the model', async () => {
    await writeFile(join(folder, 'file'), '');
    expect(await get({ cacheDir: join(folder, 'file', 'below') })).toBe(valuesOne);
    expect(warnings.splice(0)).toEqual([
      expect.stringMatching(/model\.safetensors is not kept for the next time: .*; correct the path/),
    ]);
  });

  it('an empty cacheDir is refused', async () => {
    expect(await failure(get({ cacheDir: '' }))).toBeInstanceOf(OptionError);
  });

  it('a disk that becomes full gives a warning, causes no further request and leaves no chunk behind', async ({ skip }) => {
    if (process.platform === 'win32') return skip('Windows has no ulimit');
    // A limit on the size of files simulates a full disk: chunks of 1 MiB fail, the record does not.
    const [warning, values] = await loadElsewhere('ulimit -f 1024;');
    expect(warning).toMatch(/model\.safetensors is not kept for the next time: .* cannot be written: .* or choose another disk/);
    expect(values).toBe(valuesOne);
    expect(weightRequests()).toEqual([GET]);
    expect((await readdir(cacheDir)).filter((name) => !name.endsWith('.json'))).toEqual([]);
  });
});

describe('the cache', () => {
  it('is listed and cleared as a whole or by model', async () => {
    server.files['/n/config.json'] = server.files['/m/config.json']!;
    put(two, {}, '/n/model.safetensors');
    await get();
    await load(`${server.url}/n?token=secret`, options);
    const listed = await cachedFiles({ cacheDir });
    expect(listed).toEqual([
      { url: `${server.url}/m/config.json`, bytes: 18, complete: true },
      { url: `${server.url}/m/model.safetensors`, bytes: one.length, complete: true },
      { url: `${server.url}/n/config.json`, bytes: 18, complete: true },
      { url: `${server.url}/n/model.safetensors`, bytes: two.length, complete: true },
    ]);
    expect(await cachedFiles({ cacheDir, model: `${server.url}/n` })).toEqual(listed.slice(2));
    await clearCache({ cacheDir, model: `${server.url}/n` });
    expect(await cachedFiles({ cacheDir })).toEqual(listed.slice(0, 2));
    await writeFile(join(cacheDir, 'mine.txt'), '');
    await clearCache({ cacheDir });
    expect(await readdir(cacheDir)).toEqual(['mine.txt']);
    expect(await cachedFiles({ cacheDir: join(cacheDir, 'none') })).toEqual([]);
  });

  it("is in AIM_CACHE, else in the user's cache folder", async () => {
    vi.stubEnv('AIM_CACHE', '/x/aim');
    expect((await folderStore(undefined)).name).toBe('/x/aim');
    vi.stubEnv('AIM_CACHE', '');
    const names: Record<string, string> = {};
    for (const platform of ['linux', 'darwin', 'win32']) {
      const real = process.platform;
      Object.defineProperty(process, 'platform', { value: platform });
      try {
        vi.stubEnv('XDG_CACHE_HOME', '');
        vi.stubEnv('LOCALAPPDATA', '/local');
        names[platform] = (await folderStore(undefined)).name;
        vi.stubEnv('XDG_CACHE_HOME', '/xdg');
        names[`${platform} xdg`] = (await folderStore(undefined)).name;
      } finally {
        Object.defineProperty(process, 'platform', { value: real });
      }
    }
    expect(names).toEqual({
      linux: join(homedir(), '.cache/aim-js'),
      'linux xdg': '/xdg/aim-js',
      darwin: join(homedir(), 'Library/Caches/aim-js'),
      'darwin xdg': join(homedir(), 'Library/Caches/aim-js'),
      win32: '/local/aim-js',
      'win32 xdg': '/local/aim-js',
    });
  });
});

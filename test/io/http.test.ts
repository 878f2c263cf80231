import type { RequestListener } from 'node:http';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { HttpSource } from '../../src/checkpoint/http_source.js';
import { openCheckpoint, openSource, type Progress, type SourceOptions } from '../../src/checkpoint/source.js';
import { CheckpointError, IoError } from '../../src/core/errors.js';
import { encodeSafetensors, parseHeader, readFloats } from '../../src/io/safetensors.js';
import { failure, serve } from './helpers.js';

const floats = Float32Array.from({ length: 300_000 }, (_, i) => i);
const weights = encodeSafetensors([
  { name: 'a', dtype: 'F32', shape: [300_000], data: floats },
  { name: 'b', dtype: 'F16', shape: [2], data: new Float32Array([1, 2]) },
]);
const config = { num_classes: 10 };
const raw = (a: Uint8Array | Float32Array) => Buffer.from(a.buffer, a.byteOffset, a.byteLength);
/** Seconds faster than toEqual. */
const same = (a: Uint8Array | Float32Array, b: Uint8Array | Float32Array) => raw(a).equals(raw(b));

/** A file read without a cache. */
const open = (url: string, options: SourceOptions = {}) => openSource(url, { ...options, cache: false });

let stop: (() => Promise<void>) | undefined;
afterEach(async () => {
  await stop?.();
  stop = undefined;
});
/** Serves for one test; gives the base URL and the requests seen, as `path range`. */
async function start(handler: RequestListener): Promise<{ url: string; seen: string[] }> {
  const seen: string[] = [];
  const server = await serve((request, response) => {
    seen.push(`${request.url} ${request.headers.range ?? ''}`.trim());
    handler(request, response);
  });
  stop = server.close;
  return { url: server.url, seen };
}

/** A static server of one checkpoint under /m/. */
const files =
  ({ ranges = true, length = true, gzip = false } = {}): RequestListener =>
  (request, response) => {
    const path = new URL(request.url!, 'http://x').pathname;
    if (path === '/m/config.json') return void response.setHeader('content-type', 'application/json').end(JSON.stringify(config));
    if (path !== '/m/model.safetensors')
      return void response.writeHead(404, { 'content-type': 'text/html' }).end('<html>none</html>');
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? -1);
    if (gzip) {
      const body = gzipSync(weights);
      return void response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': body.length }).end(body);
    }
    if (ranges && from >= 0) {
      response.writeHead(206, { 'content-range': `bytes ${from}-${weights.length - 1}/${weights.length}` });
      return void response.end(weights.subarray(from));
    }
    if (length) response.setHeader('content-length', weights.length);
    response.write(weights.subarray(0, 1000));
    response.end(weights.subarray(1000));
  };

describe('a checkpoint behind a URL', () => {
  it.each([
    ['/m', '/m/config.json', '/m/model.safetensors'],
    ['/m/', '/m/config.json', '/m/model.safetensors'],
    ['/m?token=1', '/m/config.json?token=1', '/m/model.safetensors?token=1'],
    ['/m/model.safetensors', '/m/config.json', '/m/model.safetensors'],
    ['/m/model.safetensors?t=1', '/m/config.json?t=1', '/m/model.safetensors?t=1'],
  ])('%s', async (path, configPath, weightsPath) => {
    const { url, seen } = await start(files());
    const progress: Progress[] = [];
    const checkpoint = await openCheckpoint(path === '/m' ? new URL(url + path) : url + path, {
      onProgress: (p) => progress.push(p),
    });
    expect(await checkpoint.config()).toEqual(config);
    const source = await checkpoint.weights();
    expect(source.size).toBe(weights.length);
    const header = await parseHeader(source);
    expect(same(await readFloats(source, header, 'a', { chunkBytes: 70_001 }), floats)).toBe(true);
    expect([...(await readFloats(source, header, 'b'))]).toEqual([1, 2]);
    expect(await checkpoint.text('classes.json')).toBeUndefined();
    // One request for the weights: all reads came from its stream.
    expect(seen.filter((s) => s.includes('config') || s.includes('safetensors'))).toEqual([configPath, weightsPath]);
    expect(progress.length).toBeGreaterThan(1);
    expect(
      progress.every((p, i) => p.phase === 'download' && p.total === weights.length && p.loaded > (progress[i - 1]?.loaded ?? 0)),
    ).toBe(true);
    expect(progress.at(-1)!.loaded).toBe(weights.length);
    await checkpoint.close();
  });

  it.each([
    ['no content-length', { length: false }],
    ['a compressed body', { gzip: true }],
  ])('%s: the size is unknown and the values are right', async (_, options) => {
    const { url } = await start(files(options));
    const progress: Progress[] = [];
    const source = await open(`${url}/m/model.safetensors`, { onProgress: (p) => progress.push(p) });
    expect(source.size).toBe(Number.POSITIVE_INFINITY);
    const header = await parseHeader(source);
    expect(same(await readFloats(source, header, 'a'), floats)).toBe(true);
    expect(progress.at(-1)).toEqual({ phase: 'download', loaded: expect.any(Number), total: undefined });
    expect((await failure(source.read(weights.length, 1))).message).toMatch(/the file is shorter than it claims/);
    await source.close();
  });

  it('a missing file, a server error, a forbidden one', async () => {
    const { url } = await start((request, response) => {
      const status = Number(/\d{3}/.exec(request.url!)?.[0] ?? 404);
      response.writeHead(status).end('no');
    });
    const config = async (path: string) => failure((await openCheckpoint(url + path)).config());
    expect(await config('/none')).toBeInstanceOf(IoError);
    expect((await config('/none')).message).toMatch(
      /^http:\S+\/none\/config\.json answered HTTP 404 Not Found: there is no such file; pass/,
    );
    expect((await config('/500')).message).toMatch(/config\.json answered HTTP 500 Internal Server Error; try again later/);
    expect((await config('/403')).message).toMatch(/answered HTTP 403 Forbidden: it may not be read without signing in/);
    expect((await failure(open(`${url}/x/model.safetensors?secret=1`))).message).toMatch(/model\.safetensors answered HTTP 404/);
    expect((await failure(open(`${url}/x?secret=1`))).message).not.toMatch(/secret/);
    expect((await failure((await openCheckpoint(`${url}/500`)).text('classes.json'))).message).toMatch(
      /classes\.json answered HTTP 500/,
    );
  });

  it('no server at all', async () => {
    const { url } = await start(files());
    await stop!();
    stop = undefined;
    const error = await failure(open(`${url}/m`));
    expect(error).toBeInstanceOf(IoError);
    expect(error.message).toMatch(/could not be fetched: .*ECONNREFUSED.*; check the address/);
  });

  it('a web page in place of the files, with and without its content type', async () => {
    for (const type of ['text/html; charset=utf-8', 'application/octet-stream']) {
      const { url } = await start(
        (_, response) => void response.writeHead(200, { 'content-type': type }).end('<!doctype html><title>App</title>'),
      );
      const checkpoint = await openCheckpoint(url);
      const [a, b] = [await failure(checkpoint.config()), await failure(checkpoint.weights().then((w) => parseHeader(w)))];
      for (const error of [a, b]) {
        expect(error).toBeInstanceOf(type.startsWith('text') ? IoError : CheckpointError);
        expect(error.message).toMatch(/^http:\S+ (answered with|is) a web page/);
      }
      if (type.startsWith('text')) expect(await checkpoint.text('classes.json')).toBeUndefined();
      await checkpoint.close();
      await stop!();
    }
  });

  it('a cut body, announced or not', async () => {
    for (const length of [true, false]) {
      const { url } = await start((_, response) => {
        if (length) response.setHeader('content-length', weights.length);
        response.write(weights.subarray(0, 5000), () => (length ? response.destroy() : response.end()));
      });
      const source = await open(`${url}/model.safetensors`);
      const error = await failure(parseHeader(source).then((header) => readFloats(source, header, 'a')));
      expect(error).toBeInstanceOf(IoError);
      // Without an announced length its end is where it ends.
      expect(error.message).toMatch(
        length
          ? /^the download of http:\S+\/model\.safetensors broke after 5000 of \d+ bytes: .*; try again\.$/
          : /^http:\S+\/model\.safetensors: bytes \d+ to \d+ were asked of 5000; the file is shorter than it claims\.$/,
      );
      await stop!();
    }
  });

  it('a file shorter than its header says', async () => {
    const { url } = await start((_, response) => void response.setHeader('content-length', 5000).end(weights.subarray(0, 5000)));
    const error = await failure(open(url).then((s) => parseHeader(s)));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(/is cut off: \d+ of its 1200004 data bytes are missing, from tensor a on/);
  });

  it('a slow server: abort of the opening, of a read and of the whole reject with the reason', async () => {
    const { url } = await start((request, response) => {
      if (request.url!.startsWith('/never')) return;
      response.setHeader('content-length', weights.length);
      response.write(weights.subarray(0, 5000));
    });
    const soon = (reason: Error) => {
      const control = new AbortController();
      setTimeout(() => control.abort(reason), 50);
      return control.signal;
    };
    const reason = new Error('enough');
    expect(await failure(open(`${url}/never`, { signal: soon(reason) }))).toBe(reason);
    expect(await failure(openCheckpoint(`${url}/never`, { signal: soon(reason) }).then((c) => c.weights()))).toBe(reason);
    const source = new HttpSource(url);
    expect(await failure(source.upTo(0, 10_000, soon(reason)))).toBe(reason);
    // The next read starts over.
    expect(await source.upTo(0, 100)).toEqual(weights.subarray(0, 100));
    await source.close();
    const control = new AbortController();
    const whole = await open(url, { signal: control.signal });
    setTimeout(() => control.abort(reason), 50);
    expect(await failure(whole.read(0, 10_000))).toBe(reason);
    expect(await failure(whole.read(0, 10))).toBe(reason);
    const closed = await open(url);
    const pending = failure(closed.read(0, 10_000));
    setTimeout(() => void closed.close(), 50);
    expect((await pending).message).toMatch(/was closed while it was read/);
    expect((await failure(closed.read(0, 1))).message).toMatch(/was read after close\(\)/);
  });

  it('an aborted checkpoint stops its small files too', async () => {
    const { url } = await start(() => {});
    const control = new AbortController();
    const checkpoint = await openCheckpoint(url, { signal: control.signal });
    const pending = [failure(checkpoint.config()), failure(checkpoint.text('classes.json'))];
    const reason = new Error('enough');
    setTimeout(() => control.abort(reason), 50);
    expect(await Promise.all(pending)).toEqual([reason, reason]);
  });
});

describe('going back in the stream', () => {
  const connected = async (url: string) => {
    const source = new HttpSource(url);
    await source.start();
    return source;
  };

  it('asks for the range where the server has ranges', async () => {
    const { url, seen } = await start(files());
    const source = await connected(`${url}/m/model.safetensors`);
    await source.upTo(900_000, 10);
    expect(await source.upTo(100_000, 50)).toEqual(weights.subarray(100_000, 100_050));
    expect(same(await source.upTo(100_050, 300_000), weights.subarray(100_050, 400_050))).toBe(true);
    expect(await source.upTo(0, 8)).toEqual(weights.subarray(0, 8));
    expect(seen).toEqual(['/m/model.safetensors', '/m/model.safetensors bytes=100000-', '/m/model.safetensors']);
    await source.close();
  });

  it('begins again where it has not', async () => {
    const { url, seen } = await start(files({ ranges: false }));
    const source = await connected(`${url}/m/model.safetensors`);
    await source.upTo(900_000, 10);
    expect(await source.upTo(100_000, 50)).toEqual(weights.subarray(100_000, 100_050));
    expect(await source.upTo(weights.length - 5, 50)).toEqual(weights.subarray(-5));
    expect(seen.length).toBe(2);
    await source.close();
  });

  it('notices that the file changed', async () => {
    const { url } = await start((request, response) => {
      if (request.headers.range)
        response.writeHead(206, { 'content-range': 'bytes 100000-100099/100100' }).end(new Uint8Array(100));
      else files()(Object.assign(request, { url: '/m/model.safetensors' }), response);
    });
    const source = await connected(url);
    await source.upTo(900_000, 10);
    expect((await failure(source.upTo(100_000, 50))).message).toMatch(/changed on the server/);
    await source.close();
  });

  it('reads started together take turns', async () => {
    const { url, seen } = await start(files());
    const source = await connected(`${url}/m/model.safetensors`);
    const parts = await Promise.all(Array.from({ length: 10 }, (_, i) => source.upTo(i * 10_000, 10_000)));
    expect(Buffer.concat(parts).equals(weights.subarray(0, 100_000))).toBe(true);
    expect(seen.length).toBe(1);
    await source.close();
  });
});

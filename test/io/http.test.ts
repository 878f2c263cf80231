import type { RequestListener } from 'node:http';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HttpError } from '../../src/checkpoint/http_error.js';
import { HttpSource } from '../../src/checkpoint/http_source.js';
import { openCheckpoint, openSource, type Progress, type SourceOptions } from '../../src/checkpoint/source.js';
import { timing } from '../../src/checkpoint/wait.js';
import { CheckpointError, IoError, OptionError } from '../../src/core/errors.js';
import { encodeSafetensors, parseHeader, readFloats } from '../../src/io/safetensors.js';
import { FaultyServer } from './faulty_server.js';
import { failure, serve } from './helpers.js';
import { Ordered, storage, TensorView, torchFile } from './torch_file.js';

const floats = Float32Array.from({ length: 300_000 }, (_, i) => i);
const weights = encodeSafetensors([
  { name: 'a', dtype: 'F32', shape: [300_000], data: floats },
  { name: 'b', dtype: 'F16', shape: [2], data: new Float32Array([1, 2]) },
]);
const config = { num_classes: 10 };
const raw = (a: Uint8Array | Float32Array) => Buffer.from(a.buffer, a.byteOffset, a.byteLength);
/** Faster than toEqual by seconds. */
const same = (a: Uint8Array | Float32Array, b: Uint8Array | Float32Array) => raw(a).equals(raw(b));

/** A file read without a cache. */
const open = (url: string, options: SourceOptions = {}) => openSource(url, { ...options, cache: false });

let stop: (() => Promise<void>) | undefined;
const patient = { ...timing };
beforeEach(() => void Object.assign(timing, { pauses: [1, 1, 1, 1] }));
afterEach(async () => {
  Object.assign(timing, patient);
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
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
  ({ ranges = true, length = true, gzip = false, etag = true } = {}): RequestListener =>
  (request, response) => {
    const path = new URL(request.url!, 'http://x').pathname;
    if (path === '/m/config.json') return void response.setHeader('content-type', 'application/json').end(JSON.stringify(config));
    if (path !== '/m/model.safetensors')
      return void response.writeHead(404, { 'content-type': 'text/html' }).end('<html>none</html>');
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? -1);
    if (etag) response.setHeader('etag', '"w"');
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

  it('missing and forbidden files and server errors are errors that name the URL', async () => {
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
    expect((await failure((await openCheckpoint(`${url}/500`)).text('extra.json'))).message).toMatch(
      /extra\.json answered HTTP 500/,
    );
    // Missing class names and settings do not prevent the use of loaded weights.
    const warnings: string[] = [];
    const checkpoint = await openCheckpoint(`${url}/500`, { onWarning: (text) => warnings.push(text) });
    for (const file of ['classes.json', 'generation_config.json']) {
      expect(await checkpoint.text(file)).toBeUndefined();
      expect(warnings.splice(0)).toEqual([expect.stringMatching(`^${file} is not available: \\S+${file} answered HTTP 500`)]);
    }
  });

  it('an unreachable server is an error', async () => {
    const { url } = await start(files());
    await stop!();
    stop = undefined;
    const error = await failure(open(`${url}/m`));
    expect(error).toBeInstanceOf(IoError);
    expect(error.message).toMatch(/could not be fetched: .*ECONNREFUSED.*; check the address/);
  });

  it('a web page in place of a file is an error, with and without its content type', async () => {
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

  it('a truncated body is an error, with and without Content-Length', async () => {
    for (const length of [true, false]) {
      const { url } = await start((_, response) => {
        if (length) response.setHeader('content-length', weights.length);
        response.write(weights.subarray(0, 5000), () => (length ? response.destroy() : response.end()));
      });
      const source = await open(`${url}/model.safetensors`);
      const error = await failure(parseHeader(source).then((header) => readFloats(source, header, 'a')));
      // Without Content-Length the response is complete, and only the header of the file reveals the missing bytes.
      expect(error).toBeInstanceOf(length ? IoError : CheckpointError);
      expect(error.message).toMatch(
        length
          ? /^the download of http:\S+\/model\.safetensors broke after 5000 of \d+ bytes: .*; try again\.$/
          : /is cut off: \d+ of its 1200004 data bytes are missing, from tensor a on/,
      );
      await stop!();
    }
  });

  it('a file shorter than its safetensors header announces is an error', async () => {
    const { url } = await start((_, response) => void response.setHeader('content-length', 5000).end(weights.subarray(0, 5000)));
    const error = await failure(open(url).then((s) => parseHeader(s)));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(/is cut off: \d+ of its 1200004 data bytes are missing, from tensor a on/);
  });

  it('aborting the opening, a read or the whole load rejects with the reason on a slow server', async () => {
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

describe('reading at an earlier position of the stream', () => {
  const connected = async (url: string) => {
    const source = new HttpSource(url);
    await source.start();
    return source;
  };

  it('sends a range request', async () => {
    const { url, seen } = await start(files());
    const source = await connected(`${url}/m/model.safetensors`);
    await source.upTo(900_000, 10);
    expect(await source.upTo(100_000, 50)).toEqual(weights.subarray(100_000, 100_050));
    expect(same(await source.upTo(100_050, 300_000), weights.subarray(100_050, 400_050))).toBe(true);
    expect(await source.upTo(0, 8)).toEqual(weights.subarray(0, 8));
    expect(seen).toEqual(['/m/model.safetensors', '/m/model.safetensors bytes=100000-', '/m/model.safetensors']);
    await source.close();
  });

  it('starts at byte 0 if the server supports no ranges', async () => {
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

  it('concurrent reads wait for each other', async () => {
    const { url, seen } = await start(files());
    const source = await connected(`${url}/m/model.safetensors`);
    const parts = await Promise.all(Array.from({ length: 10 }, (_, i) => source.upTo(i * 10_000, 10_000)));
    expect(Buffer.concat(parts).equals(weights.subarray(0, 100_000))).toBe(true);
    expect(seen.length).toBe(1);
    await source.close();
  });
});

describe('temporary faults', () => {
  const loadAll = async (url: string, options: SourceOptions = {}) => {
    const checkpoint = await openCheckpoint(url, { cache: false, ...options });
    try {
      await checkpoint.config();
      const source = await checkpoint.weights();
      return same(await readFloats(source, await parseHeader(source), 'a'), floats);
    } finally {
      await checkpoint.close();
    }
  };

  it.each([[408], [429], [500], [502], [503], [504], [0]])(
    'a first answer of HTTP %i (0: a connection reset) is retried',
    async (status) => {
      const failed = new Set<string>();
      const { url, seen } = await start((request, response) => {
        if (failed.has(request.url!) || !/config|tensors/.test(request.url!)) return files()(request, response);
        failed.add(request.url!);
        if (status === 0) request.socket.destroy();
        else response.writeHead(status).end('busy');
      });
      expect(await loadAll(`${url}/m`)).toBe(true);
      expect(seen.filter((s) => s.includes('config')).length).toBe(2);
      expect(seen.filter((s) => s.includes('model.safetensors')).length).toBe(2);
    },
  );

  it('Retry-After determines the pause, and too long a pause is an error', async () => {
    let wait = '1';
    const { url, seen } = await start((request, response) => {
      if (seen.length === 1 || wait !== '1') response.writeHead(503, { 'retry-after': wait }).end();
      else files()(request, response);
    });
    const from = Date.now();
    expect(await (await openCheckpoint(`${url}/m`, { cache: false })).config()).toEqual(config);
    expect(Date.now() - from).toBeGreaterThanOrEqual(990);
    wait = '3600';
    const before = seen.length;
    const error = await failure((await openCheckpoint(`${url}/m`, { cache: false })).config());
    expect(error.message).toMatch(
      /answered HTTP 503 .*the server, or a gateway before it, is out of order.*; try again in 3600 s\.$/,
    );
    expect(seen.length).toBe(before + 1);
  });

  it('a connection that stalls or trickles is replaced', async () => {
    timing.idle = 150;
    for (const trickle of [false, true]) {
      let first = true;
      const { url, seen } = await start((request, response) => {
        if (!first) return files()(request, response);
        first = false;
        response.writeHead(200, { etag: '"w"', 'content-length': weights.length }).write(weights.subarray(0, 50_000));
        let at = 50_000;
        const timer = setInterval(() => trickle && response.write(weights.subarray(at, ++at)), 20);
        response.once('close', () => clearInterval(timer));
      });
      const source = await open(`${url}/m/model.safetensors`);
      expect(same(await source.read(0, weights.length), weights)).toBe(true);
      expect(seen.length).toBe(2);
      await source.close();
      await stop!();
    }
  });

  it('a server that never answers, or stalls or trickles in a small file is an error', async () => {
    Object.assign(timing, { answer: 50, pauses: [1] });
    const { url, seen } = await start((request, response) => {
      if (!request.url!.includes('body')) return;
      const timer = setInterval(() => response.write('{'), request.url!.includes('trickle') ? 5 : 1e6);
      response.write('{');
      response.once('close', () => clearInterval(timer));
    });
    expect((await failure((await openCheckpoint(`${url}/never`)).config())).message).toMatch(
      /config\.json did not answer within 0\.05 s/,
    );
    // A busy machine may not answer that soon.
    Object.assign(timing, { answer: 10_000, idle: 50 });
    expect((await failure((await openCheckpoint(`${url}/body`)).config())).message).toMatch(
      /config\.json stalled for 0\.05 s; try again/,
    );
    expect((await failure((await openCheckpoint(`${url}/body/trickle`)).config())).message).toMatch(
      /config\.json stalled for 0\.05 s; try again/,
    );
    expect(seen.length).toBe(6);
  });

  it.each([true, false])(
    'without ETag and date a broken download starts again and is compared with the first bytes (changed: %s)',
    async (changes) => {
      const { url, seen } = await start((request, response) => {
        const body = changes && seen.length > 1 ? weights.map((byte) => byte ^ 1) : weights;
        const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
        response.writeHead(from ? 206 : 200, {
          'content-length': body.length - from,
          ...(from && { 'content-range': `bytes ${from}-${body.length - 1}/${body.length}` }),
        });
        if (seen.length > 1) response.end(body.subarray(from));
        else response.write(body.subarray(0, 500_000), () => setTimeout(() => response.destroy(), 10));
      });
      const source = await open(url);
      if (changes)
        expect((await failure(source.read(0, weights.length))).message).toMatch(/changed on the server while it was read/);
      else expect(same(await source.read(0, weights.length), weights)).toBe(true);
      expect(seen).toEqual(['/', '/']);
      await source.close();
    },
  );

  it.each([
    ['without Content-Range', undefined],
    ['of other bytes', `bytes 0-${weights.length - 1}/${weights.length}`],
  ])('a partial answer %s is ignored', async (_, range) => {
    const { url, seen } = await start((request, response) => {
      if (request.headers.range)
        return void response.writeHead(206, { etag: '"w"', ...(range && { 'content-range': range }) }).end(weights);
      response.writeHead(200, { etag: '"w"', 'content-length': weights.length });
      if (seen.length > 1) response.end(weights);
      else response.write(weights.subarray(0, 500_000), () => setTimeout(() => response.destroy(), 10));
    });
    const source = await open(url);
    expect(same(await source.read(0, weights.length), weights)).toBe(true);
    expect(seen).toEqual(['/', expect.stringMatching(/^\/ bytes=\d+-$/), '/']);
    await source.close();
  });
});

describe('hostile servers', () => {
  it.each([
    'http://[',
    'http://',
    '::::',
    'http://127.0.0.1:99999/x',
    'file:///etc/passwd',
    'data:application/json,{}',
    'ftp://x/y',
  ])('the redirect to %s is a typed error', async (location) => {
    const { url } = await start((_, response) => void response.writeHead(302, { location }).end());
    const error = await failure((await openCheckpoint(url, { cache: false })).config());
    expect(error).toBeInstanceOf(IoError);
    expect(error.message).toMatch(
      /config\.json (redirects to an address that is no valid http|was redirected|could not be fetched)/,
    );
  });

  it('a redirect from https to http is not followed', async () => {
    const fetch = vi.fn(async () => new Response(null, { status: 302, headers: { location: 'http://host/x?sig=SECRET' } }));
    vi.stubGlobal('fetch', fetch);
    const error = await failure((await openCheckpoint('https://host/m', { cache: false })).config());
    expect(error.message).toMatch(/redirects from https to plain http \(http:\/\/host\/x\), which is not followed/);
    expect(fetch).toHaveBeenCalledTimes(1);
  });

  it('an endless config.json is refused at the size limit', async () => {
    const { url } = await start((_, response) => {
      const more = () => void (response.destroyed || response.write(Buffer.alloc(2 ** 20, 0x20), more));
      more();
    });
    const error = await failure((await openCheckpoint(url, { cache: false })).config());
    expect(error).toBeInstanceOf(IoError);
    expect(error.message).toMatch(/config\.json has more than 16777216 bytes, too many for such a file/);
  });
});

describe('secrets', () => {
  /** Everything that console.error would print. */
  const printed = (error: unknown): string => {
    const { message, stack, cause } = (error ?? {}) as Error;
    return error === undefined ? '' : `${message} ${stack} ${JSON.stringify(error)} ${printed(cause)}`;
  };

  it('from the URL and the token option appear in no message, cause or cached file', async () => {
    const secret = /pa55word|QUERY|TOKEN/;
    const quoting = async (input: unknown) => {
      throw new TypeError(`Failed to parse URL from ${input}`, {
        cause: new Error('header "Bearer TOKEN" of https://u:pa55word@h/?QUERY'),
      });
    };
    vi.stubGlobal('fetch', quoting);
    for (const url of ['http://user:pa55word@127.0.0.1:9/m?sig=QUERY', 'http://[?QUERY']) {
      const error = await failure(openCheckpoint(url, { cache: false, token: 'TOKEN' }).then((c) => c.config()));
      expect(error).toBeInstanceOf(url.includes('[') ? OptionError : IoError);
      expect(printed(error)).not.toMatch(secret);
    }
  });

  it.each(['hf_TOKEN\nmore', 'hf_TOKEN more', 'hf_TOKENü', 'hf_TOKEN\0'])(
    'the token %j is refused without being shown',
    async (token) => {
      for (const source of ['http://127.0.0.1:9/m', 'ann/model']) {
        const error = await failure(
          openCheckpoint(source, { cache: false, token, endpoint: 'http://127.0.0.1:9' }).then((c) => c.config()),
        );
        expect(error).toBeInstanceOf(OptionError);
        expect(printed(error)).not.toMatch(/TOKEN/);
        expect(error.message).toMatch(/^the token has a blank, a line break/);
      }
    },
  );

  it('a user name in the URL becomes a header', async () => {
    let seen: string | undefined;
    const { url } = await start((request, response) => {
      seen = request.headers.authorization;
      files()(request, response);
    });
    const checkpoint = await openCheckpoint(`${url.replace('//', '//us%40er:p%C3%A4ss@')}/m`, { cache: false });
    expect(await checkpoint.config()).toEqual(config);
    expect(Buffer.from(seen!.replace('Basic ', ''), 'base64').toString()).toBe('us@er:päss');
    expect(checkpoint.name).toBe(`${url}/m`);
  });
});

describe('a read far ahead', () => {
  const MB = 2 ** 20;
  const bytes = Uint8Array.from({ length: 24 * MB }, (_, i) => (i * 31 + (i >> 12)) & 255);
  /** A server of the file, which waits after each MiB, so that little is on the way when a connection closes. */
  async function far(headers: Record<string, string>): Promise<{ server: FaultyServer; url: string }> {
    const server = await FaultyServer.start();
    stop = server.close;
    server.files['/far.bin'] = { body: bytes, headers };
    server.delay = 5;
    return { server, url: `${server.url}/far.bin` };
  }
  /** Reads the beginning, the end and then all of a file, as a reader of zip files does. */
  async function ends(url: string): Promise<Progress[]> {
    const reports: Progress[] = [];
    const source = new HttpSource(url, { onProgress: (report) => reports.push({ ...report }) });
    await source.start();
    for (const [at, length] of [[0, 1000], [23 * MB, MB], ...Array.from({ length: 24 }, (_, k) => [k * MB, MB])] as const)
      expect(same(await source.upTo(at!, length!), bytes.subarray(at!, at! + length!))).toBe(true);
    await source.close();
    return reports;
  }

  it('opens a request there, and what lies between is received once', async () => {
    const { server, url } = await far({ etag: '"f"' });
    const reports = await ends(url);
    expect(server.take()).toEqual(['GET /far.bin', `GET /far.bin bytes=${23 * MB}-`, 'GET /far.bin']);
    expect(server.sent).toBeLessThan(32 * MB);
    const loaded = reports.map((report) => report.loaded);
    expect(loaded).toEqual(loaded.toSorted((a, b) => a - b));
    expect(loaded.at(-1)).toBe(bytes.length);
    expect(loaded.filter((n) => n < bytes.length).length).toBeGreaterThan(20);
  });

  it('a PyTorch file without a cache is fetched about once, although its directory is at the end', async () => {
    const server = await FaultyServer.start();
    stop = server.close;
    const data = Float32Array.from({ length: 10 * 2 ** 18 }, (_, i) => i % 1000);
    const view = (key: number) => new TensorView(storage(String(key), 'FloatStorage', data), [data.length]);
    const body = torchFile(new Ordered(Array.from({ length: 4 }, (_, i) => [`t${i}`, view(i)])));
    server.files['/m/last.pt'] = { body, headers: { etag: '"f"' } };
    server.delay = 5;
    const checkpoint = await openCheckpoint(`${server.url}/m/last.pt`, { cache: false });
    const source = await checkpoint.weights();
    const header = await parseHeader(source);
    for (let i = 0; i < 4; i++) expect(same(await readFloats(source, header, `t${i}`), data)).toBe(true);
    await checkpoint.close();
    const gets = server.take().filter((request) => request.includes('last.pt'));
    expect(gets).toEqual(['GET /m/last.pt', expect.stringMatching(/^GET \/m\/last\.pt bytes=\d+-$/), 'GET /m/last.pt']);
    // Once, the chunks of 8 MiB at both ends, and what was on its way: on a busy machine more of it.
    expect(server.sent).toBeLessThan(body.length + 32 * MB);
    expect(body.length + 32 * MB).toBeLessThan(2 * body.length);
  });

  it('opens a request where only the date tells of a change', async () => {
    const { server, url } = await far({ 'last-modified': 'Tue, 01 Dec 2026 00:00:00 GMT' });
    await ends(url);
    expect(server.take()).toEqual(['GET /far.bin', `GET /far.bin bytes=${23 * MB}-`, 'GET /far.bin']);
    expect(server.sent).toBeLessThan(32 * MB);
  });

  it('reads on where a change could not be noticed', async () => {
    const { server, url } = await far({});
    await ends(url);
    expect(server.take()).toEqual(['GET /far.bin', 'GET /far.bin']);
    expect(server.sent).toBe(48 * MB);
  });

  it('reads on where it is not far', async () => {
    const { server, url } = await far({ etag: '"f"' });
    const source = new HttpSource(url);
    await source.start();
    for (const at of [0, 3 * MB, 7 * MB, 11 * MB])
      expect(same(await source.upTo(at, MB), bytes.subarray(at, at + MB))).toBe(true);
    expect(server.take()).toEqual(['GET /far.bin']);
    await source.close();
  });

  it('asks a server that ignores ranges once', async () => {
    const { server, url } = await far({ etag: '"f"' });
    server.ranges = false;
    const source = new HttpSource(url);
    await source.start();
    for (const at of [0, 8 * MB, 16 * MB, 23 * MB])
      expect(same(await source.upTo(at, MB), bytes.subarray(at, at + MB))).toBe(true);
    expect(server.take()).toEqual(['GET /far.bin', `GET /far.bin bytes=${8 * MB}-`]);
    expect(server.sent).toBeLessThan(32 * MB);
    await source.close();
    await ends(url);
    expect(server.take()).toEqual(['GET /far.bin', `GET /far.bin bytes=${23 * MB}-`, 'GET /far.bin']);
  });

  it.each([
    ['without Content-Range', undefined],
    ['of other bytes', `bytes 0-${24 * MB - 1}/${24 * MB}`],
  ])('a partial answer %s makes it read on', async (_, range) => {
    const { url, seen } = await start((request, response) => {
      const status = request.headers.range ? 206 : 200;
      const own = status === 206 ? range && { 'content-range': range } : { 'content-length': bytes.length };
      response.writeHead(status, { etag: '"f"', ...own }).end(bytes);
    });
    const source = new HttpSource(url);
    await source.start();
    for (const at of [0, 8 * MB, 16 * MB, 23 * MB])
      expect(same(await source.upTo(at, MB), bytes.subarray(at, at + MB))).toBe(true);
    expect(seen).toEqual(['/', `/ bytes=${8 * MB}-`, '/']);
    await source.close();
  });

  it.each([
    ['another ETag', { etag: '"g"' }, bytes],
    ['another size', { etag: '"f"' }, bytes.subarray(1)],
    ['no such bytes any more', { etag: '"f"' }, bytes.subarray(0, MB)],
  ])('notices a file that has changed meanwhile: %s', async (_, headers, body) => {
    const { server, url } = await far({ etag: '"f"' });
    const source = new HttpSource(url);
    await source.start();
    await source.upTo(0, 1000);
    server.files['/far.bin'] = { body, headers };
    const error = await failure(source.upTo(22 * MB, MB));
    expect(error).toBeInstanceOf(HttpError);
    expect(error.message).toMatch(/changed on the server while it was read; start again/);
    // No further attempts.
    expect(server.take()).toEqual(['GET /far.bin', `GET /far.bin bytes=${22 * MB}-`]);
    await source.close();
  });

  it('a file of unknown size that ends before is read to its end, not asked for there', async () => {
    for (const encoded of [false, true]) {
      const { url, seen } = await start((_, response) => {
        response.writeHead(200, { etag: '"f"', ...(encoded && { 'content-encoding': 'gzip' }) });
        response.end(encoded ? gzipSync(bytes, { level: 1 }) : bytes);
      });
      const source = new HttpSource(url);
      await source.start();
      await source.upTo(0, 1000);
      expect(same(await source.upTo(16 * MB, MB), bytes.subarray(16 * MB, 17 * MB))).toBe(true);
      expect((await source.upTo(40 * MB, 1000)).length).toBe(0);
      expect(seen).toEqual(['/']);
      await source.close();
      await stop!();
    }
  });

  it('aborting a read that waits for its answer rejects with the reason, and the next read works', async () => {
    let isOpen = false;
    const { url, seen } = await start((request, response) => {
      const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
      if (from && !isOpen) return;
      const range = from && { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
      response.writeHead(from ? 206 : 200, { etag: '"f"', 'content-length': bytes.length - from, ...range });
      response.end(bytes.subarray(from));
    });
    const source = new HttpSource(url);
    await source.start();
    const control = new AbortController();
    const reason = new Error('enough');
    const pending = failure(source.upTo(20 * MB, MB, control.signal));
    while (seen.length < 2) await new Promise((done) => setTimeout(done, 2));
    control.abort(reason);
    expect(await pending).toBe(reason);
    isOpen = true;
    expect(same(await source.upTo(20 * MB, MB), bytes.subarray(20 * MB, 21 * MB))).toBe(true);
    expect(seen).toEqual(['/', `/ bytes=${20 * MB}-`, `/ bytes=${20 * MB}-`]);
    await source.close();
  });

  it('a connection that stalls or breaks there is replaced where it stopped', async () => {
    const { server, url } = await far({ etag: '"f"' });
    timing.idle = 300;
    for (const fault of ['stalls', 'cuts'] as const) {
      const source = new HttpSource(url);
      await source.start();
      await source.upTo(0, 1000);
      server[fault].push(2 * MB);
      expect(same(await source.upTo(16 * MB, 6 * MB), bytes.subarray(16 * MB, 22 * MB))).toBe(true);
      expect(server.take()).toEqual(['GET /far.bin', `GET /far.bin bytes=${16 * MB}-`, `GET /far.bin bytes=${18 * MB}-`]);
      await source.close();
    }
  });

  it('a server that is out of order there is asked again, and then is an error', async () => {
    const { server, url } = await far({ etag: '"f"' });
    const source = new HttpSource(url);
    await source.start();
    await source.upTo(0, 1000);
    server.take();
    server.status = 503;
    expect((await failure(source.upTo(20 * MB, MB))).message).toMatch(/answered HTTP 503/);
    expect(server.take()).toEqual(Array.from({ length: 5 }, () => `GET /far.bin bytes=${20 * MB}-`));
    await source.close();
  });

  it('going back by way of a failed request counts progress and attempts from there', async () => {
    const { server, url } = await far({ etag: '"f"' });
    const loaded: number[] = [];
    const source = new HttpSource(url, { onProgress: (report) => loaded.push(report.loaded) });
    await source.start();
    await source.upTo(23 * MB, MB);
    loaded.length = 0;
    server.take();
    // Time to mend the server after its first answer.
    timing.pauses = [500, 1, 1, 1];
    server.status = 503;
    const pending = source.upTo(0, 22 * MB);
    while (server.seen.length < 1) await new Promise((done) => setTimeout(done, 1));
    await new Promise((done) => setTimeout(done, 50));
    timing.pauses = [1, 1, 1, 1];
    // More breaks than attempts, with progress between them.
    server.cuts = Array.from({ length: 8 }, () => 2 * MB);
    server.status = 0;
    expect(same(await pending, bytes.subarray(0, 22 * MB))).toBe(true);
    expect(loaded.length).toBeGreaterThan(10);
    await source.close();
  });
});

it('a proxy that Node does not use is named when a request fails', async () => {
  const read = async () => (await failure((await openCheckpoint('http://127.0.0.1:9/m', { cache: false })).config())).message;
  for (const name of ['HTTP_PROXY', 'http_proxy']) vi.stubEnv(name, '');
  expect(await read()).not.toMatch(/PROXY/);
  vi.stubEnv('HTTP_PROXY', 'http://proxy');
  expect(await read()).toMatch(
    /HTTP_PROXY is set, but Node does not use it by itself: run Node 24 or later with NODE_USE_ENV_PROXY=1\.$/,
  );
});

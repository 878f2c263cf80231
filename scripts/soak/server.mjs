/** A hub that answers with random faults. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { gzipSync } from 'node:zlib';

/** Each fault answers a request for `body` in a wrong way. */
export const FAULTS = {
  cut({ response, body, headers, context }) {
    response.writeHead(200, { ...headers, 'content-length': body.length });
    response.write(body.subarray(0, context.int(body.length)), () => response.destroy());
  },
  reset: ({ response }) => response.destroy(),
  stall({ response, body, headers, context }) {
    response.writeHead(200, { ...headers, 'content-length': body.length }).write(body.subarray(0, context.int(body.length)));
  },
  silence() {},
  status({ response, context }) {
    response.writeHead(context.pick([400, 401, 403, 404, 408, 410, 416, 418, 429, 500, 502, 503, 504]), { 'retry-after': '0' });
    response.end('<html>busy</html>');
  },
  page: ({ response, context }) =>
    response
      .writeHead(200, { 'content-type': context.pick(['text/html', 'application/octet-stream']) })
      .end('<!doctype html><p>hi'),
  gzip({ response, body, headers }) {
    const packed = gzipSync(body, { level: 1 });
    response.writeHead(200, { ...headers, 'content-encoding': 'gzip', 'content-length': packed.length }).end(packed);
  },
  falseGzip: ({ response, body, headers }) => response.writeHead(200, { ...headers, 'content-encoding': 'gzip' }).end(body),
  tooLong({ response, body, headers }) {
    response.writeHead(200, { ...headers, 'content-length': body.length + 1000 });
    response.write(body, () => response.destroy());
  },
  tooShort: ({ response, body, headers }) =>
    response.writeHead(200, { ...headers, 'content-length': body.length >> 1 }).end(body.subarray(0, body.length >> 1)),
  noLength: ({ response, body, headers }) => response.writeHead(200, headers).end(body),
  wrongRange({ response, body, headers, context }) {
    const range = context.pick([`bytes 0-${body.length - 1}/${body.length}`, `bytes 5-9/${10 ** 20}`, 'bytes */5', undefined]);
    response.writeHead(206, { ...headers, ...(range && { 'content-range': range }) }).end(body);
  },
  redirect({ request, response, context }) {
    const location = context.pick([request.url, 'http://[', 'ftp://x/y', '/nowhere', 'data:,x', `${request.url}?again`]);
    response.writeHead(context.pick([301, 302, 303, 307, 308]), { location }).end();
  },
};

/**
 * Serves `files` ({ path: { body, etag } }). `context.pick` adds a fault to an answer with probability `server.faults`.
 * `server.delay` is a pause in ms after each MiB.
 */
export async function faultyHub(context, files) {
  const state = { files, faults: 0, delay: 0, requests: 0 };
  const server = createServer(async (request, response) => {
    state.requests++;
    response.on('error', () => {});
    const file = files[new URL(request.url, 'http://x').pathname];
    if (context.chance(state.faults)) {
      const name = context.pick(Object.keys(FAULTS));
      context.count(name);
      const { body, etag } = file ?? { body: Buffer.from('{}') };
      return FAULTS[name]({ request, response, body, headers: etag && context.chance(0.8) ? { etag } : {}, context });
    }
    if (!file) return response.writeHead(404).end();
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    if (from >= file.body.length && from > 0) return response.writeHead(416).end();
    const body = file.body.subarray(from);
    response.writeHead(from ? 206 : 200, {
      'content-length': body.length,
      ...(file.etag && { etag: file.etag }),
      ...(from && { 'content-range': `bytes ${from}-${file.body.length - 1}/${file.body.length}` }),
    });
    if (request.method === 'HEAD') return response.end();
    for (let at = 0; at < body.length && !response.destroyed; at += 2 ** 20) {
      response.write(body.subarray(at, at + 2 ** 20));
      if (state.delay) await new Promise((done) => setTimeout(done, state.delay));
    }
    response.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  return Object.assign(state, { url: `http://127.0.0.1:${server.address().port}` });
}

/** Makes the files of a checkpoint of `mib` MiB under /m/, and the hash that `load` gives for its tensors. */
export async function makeCheckpoint({ library }, mib, seed) {
  const weights = library.makeWeights(mib, seed);
  const values = await library.load({ config: library.CONFIG, weights });
  return {
    weights,
    values,
    files: {
      '/m/config.json': { body: Buffer.from(JSON.stringify(library.CONFIG)), etag: '"config"' },
      '/m/model.safetensors': { body: Buffer.from(weights), etag: `"${seed}"` },
    },
  };
}

/** Serves a tiny model under /m/, without faults. */
export async function modelHub(context) {
  const files = {};
  for (const name of ['config.json', 'model.safetensors']) {
    const body = await readFile(new URL(`../../test/fixtures/mamba2-adaln/${name}`, import.meta.url));
    files[`/m/${name}`] = { body, etag: `"${name}"` };
  }
  return faultyHub(context, files);
}

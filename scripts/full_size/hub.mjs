/** A hub on this machine that serves large files from the disk, counts the bytes it sends, and can stop in the middle. */
import { once } from 'node:events';
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { createServer } from 'node:http';

const PIECE = 2 ** 20;

export class Hub {
  /** By path: { file, headers } of a file, or { to, headers } of a redirection. */
  paths = {};
  /** Bytes of bodies sent. */
  sent = 0;
  /** Requests: method, path and range. */
  seen = [];
  /** If set, the next answer with more bytes sends so many and then waits; `stalled` is called. */
  stallAt = undefined;
  stalled = () => {};

  static async start() {
    const hub = new Hub();
    hub.server = createServer((request, response) => {
      void hub.answer(request, response);
    });
    hub.server.listen(0, '127.0.0.1');
    await once(hub.server, 'listening');
    hub.url = `http://127.0.0.1:${hub.server.address().port}`;
    return hub;
  }

  /** Puts a repository on the hub, as Hugging Face has it: small files by themselves, large ones where they are redirected to. */
  repository(id, commit, small, large) {
    for (const at of ['main', commit]) {
      for (const [name, file] of Object.entries(small))
        this.paths[`/${id}/resolve/${at}/${name}`] = { file, headers: { 'x-repo-commit': commit, etag: `"${commit}"` } };
      for (const [name, { file, sha256 }] of Object.entries(large)) {
        this.paths[`/${id}/resolve/${at}/${name}`] = {
          to: `/store/${sha256}`,
          headers: { 'x-repo-commit': commit, 'x-linked-etag': `"${sha256}"` },
        };
        this.paths[`/store/${sha256}`] = { file, headers: { etag: `"${sha256}"` } };
      }
    }
  }

  /** Bytes sent since the last call. */
  take() {
    const { sent } = this;
    this.sent = 0;
    return sent;
  }

  async answer(request, response) {
    response.on('error', () => {});
    const { pathname } = new URL(request.url, 'http://x');
    const { file, to, headers } = this.paths[pathname] ?? {};
    this.seen.push(`${request.method} ${pathname} ${request.headers.range ?? ''}`.trim());
    if (to) return response.writeHead(302, { location: to, ...headers }).end();
    if (!file) return response.writeHead(404).end();
    const { size } = statSync(file);
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    if (from > 0 && from >= size) return response.writeHead(416).end();
    const range = from > 0 && { 'content-range': `bytes ${from}-${size - 1}/${size}` };
    response.writeHead(from > 0 ? 206 : 200, { 'content-length': size - from, ...range, ...headers });
    if (request.method === 'HEAD') return response.end();
    const stallAt = size - from > this.stallAt ? this.stallAt : undefined;
    if (stallAt !== undefined) this.stallAt = undefined;
    const fd = openSync(file, 'r');
    try {
      for (let at = from; at < size && !response.destroyed; ) {
        if (at - from >= stallAt) {
          this.stalled();
          await once(response, 'close');
          return;
        }
        const piece = Buffer.alloc(Math.min(PIECE, size - at));
        readSync(fd, piece, 0, piece.length, at);
        at += piece.length;
        this.sent += piece.length;
        await new Promise((sent) => response.write(piece, () => sent()));
      }
      response.end();
    } finally {
      closeSync(fd);
    }
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

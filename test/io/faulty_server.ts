/** A file server with configurable faults. */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { encodeSafetensors } from '../../src/io/safetensors.js';
import { serve } from './helpers.js';

export interface ServedFile {
  body: Uint8Array | string;
  headers?: Record<string, string>;
}

/** A file server; its public fields configure the faults and may be changed while it runs. */
export class FaultyServer {
  readonly files: Record<string, ServedFile> = {};
  /** Every request: method, path and range. */
  readonly seen: string[] = [];
  readonly authorizations: (string | undefined)[] = [];
  /** Bytes of bodies sent. */
  sent = 0;
  /** False: Range headers are ignored. */
  ranges = true;
  /** One number for each of the next answers with more bytes than it: bytes sent before the connection breaks. */
  cuts: number[] = [];
  /** One number for each of the next answers with more bytes: bytes (whole MiB) sent before the answer waits for `goOn`. */
  stalls: number[] = [];
  /** Wait before each answer and each MiB of a body, ms. */
  delay = 0;
  /** Status and headers of the answer to every request, instead of a file. */
  status = 0;
  statusHeaders: Record<string, string> = {};
  /** Where other paths are redirected. */
  redirects: Record<string, string> = {};
  /** CORS headers for pages of other origins. */
  open = false;

  static async start(): Promise<FaultyServer> {
    const faulty = new FaultyServer();
    const server = await serve((request, response) => void faulty.answer(request, response));
    return Object.assign(faulty, server);
  }

  url = '';
  close!: () => Promise<void>;

  /** Requests since the last call. */
  take(): string[] {
    return this.seen.splice(0);
  }

  /** Waits until an answer stalls. */
  async stalled(): Promise<void> {
    while (!this.held.length) await pause(2);
  }

  /** Ends all waiting. */
  goOn(): void {
    for (const go of this.held.splice(0)) go();
  }

  /** Bytes sent at a time. */
  piece = 2 ** 20;
  private readonly held: (() => void)[] = [];

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = decodeURIComponent(new URL(request.url!, 'http://x').pathname);
    this.seen.push(`${request.method} ${path} ${request.headers.range ?? ''}`.trim());
    this.authorizations.push(request.headers.authorization);
    if (this.open) response.setHeader('access-control-allow-origin', '*').setHeader('access-control-expose-headers', 'etag');
    await pause(this.delay);
    const file = this.files[path];
    if (this.status) return void response.writeHead(this.status, this.statusHeaders).end();
    if (this.redirects[path]) return void response.writeHead(302, { location: this.redirects[path], ...file?.headers }).end();
    if (!file) return void response.writeHead(404, { 'content-type': 'text/html' }).end('<html>none</html>');
    const whole = Buffer.from(file.body);
    const from = this.ranges ? Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0) : 0;
    if (from > 0 && from >= whole.length) return void response.writeHead(416).end();
    const body = whole.subarray(from);
    const range = from > 0 && { 'content-range': `bytes ${from}-${whole.length - 1}/${whole.length}` };
    response.writeHead(from > 0 ? 206 : 200, { 'content-length': body.length, ...range, ...file.headers });
    if (request.method === 'HEAD') return void response.end();
    const next = (marks: number[]) => (body.length > marks[0]! ? marks.shift() : undefined);
    const [cut = body.length, stall] = [next(this.cuts), next(this.stalls)];
    for (let at = 0; at < cut && !response.destroyed; at += this.piece) {
      const piece = body.subarray(at, Math.min(at + this.piece, cut));
      this.sent += piece.length;
      await new Promise<void>((done) => response.write(piece, () => done()));
      if (at + piece.length === stall) await new Promise<void>((go) => this.held.push(go) && response.once('close', go));
      await pause(this.delay);
    }
    if (cut < body.length) response.destroy();
    else response.end();
  }
}

const pause = (ms: number) => (ms ? new Promise((done) => setTimeout(done, ms)) : undefined);

export const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex');

/** A safetensors file of about `size` units (MiB) in three tensors, the last not wanted by `load`; another one for each seed. */
export function makeWeights(size: number, seed: number, unit = 2 ** 20): Uint8Array<ArrayBuffer> {
  const count = (size * unit) / 4 / 2;
  const values = (salt: number) => Float32Array.from({ length: count / 2 }, (_, i) => ((i * 7 + salt * 131) % 1009) + seed);
  return encodeSafetensors([
    { name: 'a', dtype: 'F32', shape: [count / 2], data: values(1) },
    { name: 'b', dtype: 'F32', shape: [count / 2], data: values(2) },
    { name: 'unwanted', dtype: 'F32', shape: [count], data: new Float32Array(count).fill(seed) },
  ]);
}

export const CONFIG = { num_classes: 10 };

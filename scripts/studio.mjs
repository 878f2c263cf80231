/**
 * `npm run studio`: builds what is needed, puts the studio into `out/studio` (static files that any host can serve, from any
 * path), serves it and prints its address. `--port N` (default 8080); `--build` only builds.
 */
import { cpSync, createReadStream, mkdirSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build as bundle } from 'esbuild';
import { build, install, root } from './setup.mjs';

const SOURCE = `${root}examples/studio/`;
const COPIED = ['index.html', 'icon.svg', 'data'];
const MODEL = ['config.json', 'classes.json', 'model.safetensors'];
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};

/** Writes the studio's static files into the folder `out`, from `dist` as it is. */
export async function buildStudio(out) {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(`${out}/model`, { recursive: true });
  await bundle({
    entryPoints: ['main.ts', 'train.worker.ts', 'style.css'].map((name) => SOURCE + name),
    outdir: out,
    bundle: true,
    minify: true,
    splitting: true,
    format: 'esm',
    target: 'es2022',
    chunkNames: 'chunks/[name]-[hash]',
    assetNames: 'fonts/[name]',
    loader: { '.woff2': 'file' },
    legalComments: 'none',
    logLevel: 'error',
  });
  for (const name of COPIED) cpSync(SOURCE + name, `${out}/${name}`, { recursive: true });
  cpSync(`${root}node_modules/@fontsource-variable/inter/LICENSE`, `${out}/fonts/LICENSE`);
  for (const name of MODEL) cpSync(`${root}models/fashion-mnist/${name}`, `${out}/model/${name}`);
}

/** Serves a folder on localhost; resolves to its address. The headers let WASM use threads; the studio does without too. */
export function serveStudio(folder, port) {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://x').pathname));
    const file = join(folder, path.endsWith('/') ? `${path}index.html` : path);
    const info = statSync(file, { throwIfNoEntry: false });
    if (!info?.isFile()) return response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n');
    response.writeHead(200, {
      'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
      'content-length': info.size,
      'cache-control': 'no-cache',
      'last-modified': info.mtime.toUTCString(),
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
      'cross-origin-resource-policy': 'same-origin',
    });
    if (request.method === 'HEAD') response.end();
    else createReadStream(file).pipe(response);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      const url = `http://localhost:${server.address().port}/`;
      resolve({ url, close: () => new Promise((done) => server.close(done).closeAllConnections()) });
    });
  });
}

async function main() {
  const { values } = parseArgs({ options: { port: { type: 'string', default: '8080' }, build: { type: 'boolean' } } });
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65535)
    throw new Error(`--port is ${values.port}; give a number from 0 to 65535`);
  install();
  build();
  const out = `${root}out/studio`;
  await buildStudio(out);
  if (values.build) return process.stdout.write(`${out}: static files for any host\n`);
  const { url } = await serveStudio(out, port).catch((error) => {
    throw error.code === 'EADDRINUSE' ? new Error(`port ${port} is in use; choose another with --port, or 0 for any`) : error;
  });
  process.stdout.write(`studio: ${url}  (Ctrl-C ends it)\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  });
}

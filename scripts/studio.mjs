/**
 * `npm run studio`: builds what is needed, puts the studio into `out/studio` (static files that any host can serve, from any
 * path), serves it and prints its address. `--port N` (default 8080); `--build` only builds.
 */
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { pipeline } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build as bundle } from 'esbuild';
import { build, install, root } from './setup.mjs';

const SOURCE = `${root}examples/studio/`;
const COPIED = ['index.html', 'icon.svg', 'data'];
const MODEL = ['config.json', 'classes.json', 'model.safetensors', 'README.md'];
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.md': 'text/markdown; charset=utf-8',
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
  const server = createServer(async (request, response) => {
    const refuse = (status, why) => response.writeHead(status, { 'content-type': 'text/plain' }).end(`${why}\n`);
    const path = pathOf(request.url);
    if (path === undefined) return refuse(400, 'bad address');
    const name = join(folder, path.endsWith('/') ? `${path}index.html` : path);
    // From here on the file may be renamed or deleted.
    const file = await open(name).catch(() => undefined);
    const info = await file?.stat().catch(() => undefined);
    if (!info?.isFile()) {
      await file?.close();
      return refuse(404, 'not found');
    }
    response.writeHead(200, {
      'content-type': TYPES[extname(name)] ?? 'application/octet-stream',
      'content-length': info.size,
      'cache-control': 'no-cache',
      'last-modified': info.mtime.toUTCString(),
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
      'cross-origin-resource-policy': 'same-origin',
    });
    if (request.method === 'HEAD') {
      await file.close();
      response.end();
    }
    // A read that fails, or a visitor who leaves, ends this answer only.
    else pipeline(file.createReadStream(), response, () => {});
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      const url = `http://localhost:${server.address().port}/`;
      resolve({ url, close: () => new Promise((done) => server.close(done).closeAllConnections()) });
    });
  });
}

/** The path of an address below the folder, '/' first and without '..'; undefined where it is none. */
function pathOf(address) {
  try {
    const path = normalize(`/${decodeURIComponent(new URL(address, 'http://x').pathname)}`);
    return path.includes('\0') ? undefined : path;
  } catch {
    return undefined;
  }
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

/** `npm run studio` builds the studio into `out/studio`, static files that any host can serve from any path, and serves it. */
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { pipeline } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build as bundle } from 'esbuild';
import { build, install, root } from './setup.mjs';

const SOURCE = `${root}examples/studio/`;
const COPIED = ['icon.svg', 'data'];
/** The models that the page brings along. */
const MODELS = ['emoji', 'fashion-mnist'];
const MODEL = ['config.json', 'classes.json', 'generation_config.json', 'model.safetensors', 'README.md'];
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.md': 'text/markdown; charset=utf-8',
  '.woff2': 'font/woff2',
};

const HELP = `usage: npm run studio -- [options]

  --port N   port of the local server (default 8080; 0 for any free port)
  --open     open the page in the browser
  --build    only write the static files to out/studio
  --help     print this text
`;

/**
 * What the page may load. Scripts come from its own origin, and from Blobs for the workers of the library and of fflate; models
 * may come from any address.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self' blob:",
  "connect-src 'self' http: https: blob: data:",
  "img-src 'self' blob: data:",
  "style-src 'self'",
  "font-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

/** Writes the studio's static files into the folder `out`, with the library in `dist`. */
export async function buildStudio(out) {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  await bundle({
    entryPoints: ['main.ts', 'style.css'].map((name) => SOURCE + name),
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
  const page = readFileSync(`${SOURCE}index.html`, 'utf8');
  writeFileSync(`${out}/index.html`, page.replace('%CONTENT_SECURITY_POLICY%', CONTENT_SECURITY_POLICY));
  for (const name of COPIED) cpSync(SOURCE + name, `${out}/${name}`, { recursive: true });
  cpSync(`${root}node_modules/@fontsource-variable/inter/LICENSE`, `${out}/fonts/LICENSE`);
  for (const model of MODELS) {
    for (const name of MODEL) cpSync(`${root}models/${model}/${name}`, `${out}/${model}/${name}`);
  }
  cpSync(`${root}models/emoji/ATTRIBUTION.md`, `${out}/emoji/ATTRIBUTION.md`);
}

/**
 * Serves a folder on localhost and resolves to its address. The cross-origin headers allow WASM to use threads. No other page may
 * embed the studio.
 */
export function serveStudio(folder, port) {
  const server = createServer(async (request, response) => {
    response.setHeader('x-content-type-options', 'nosniff');
    response.setHeader('content-security-policy', `${CONTENT_SECURITY_POLICY}; frame-ancestors 'none'`);
    const refuse = (status, why) => response.writeHead(status, { 'content-type': 'text/plain' }).end(`${why}\n`);
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      return refuse(405, 'method not allowed');
    }
    const path = pathOf(request.url);
    if (path === undefined) return refuse(400, 'bad address');
    const name = join(folder, path.endsWith('/') ? `${path}index.html` : path);
    // An open file stays readable when it is renamed or deleted.
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
    // A failed read or a closed connection ends this response only.
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

/** The path of a request, beginning with '/' and without '..', or undefined if the address is invalid. */
function pathOf(address) {
  try {
    const path = normalize(`/${decodeURIComponent(new URL(address, 'http://x').pathname)}`);
    return path.includes('\0') ? undefined : path;
  } catch {
    return undefined;
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '8080' },
      open: { type: 'boolean' },
      build: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return process.stdout.write(HELP);
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
  if (values.open) openBrowser(url);
}

/** Opens an address in the default browser. A failure is not reported: the address is printed. */
function openBrowser(url) {
  const [command, ...args] = { darwin: ['open'], win32: ['cmd', '/c', 'start', ''] }[process.platform] ?? ['xdg-open'];
  spawn(command, [...args, url], { stdio: 'ignore', detached: true })
    .on('error', () => {})
    .unref();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error) => {
    const usage = error.code?.startsWith('ERR_PARSE_ARGS');
    process.stderr.write(`${error.message}\n${usage ? `\n${HELP}` : ''}`);
    process.exitCode = usage ? 2 : 1;
  });
}

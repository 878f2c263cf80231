/**
 * The context that scenarios get: the library, random choices from a seed, a temporary folder, and functions that report
 * findings.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { shaderModule } from '../wgsl.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Code of child processes. It loads a URL through a cache and prints the hash of the weights, or the error. */
const CHILD = `
import { load, timing } from './library.mjs';
const [url, cacheDir] = process.argv.slice(2);
Object.assign(timing, { pauses: [20, 50, 100, 200], idle: 1000 });
process.stdout.write('started\\n');
try {
  process.stdout.write('loaded ' + (await load(url, { cacheDir, onWarning() {} })) + '\\n');
} catch (error) {
  process.stdout.write('failed ' + error.code + ' ' + error.stack + '\\n');
}`;

/** What scenarios use of the sources. */
const CONTENTS = `
export * from './test/io/load_checkpoint.ts';
export { makeWeights, sha256, CONFIG } from './test/io/faulty_server.ts';
export * as torch from './test/io/torch_file.ts';
export { timing } from './src/checkpoint/wait.ts';
export { openCheckpoint } from './src/checkpoint/source.ts';
export { encodeSafetensors, parseHeader, readFloats } from './src/io/safetensors.ts';
export { bytesSource } from './src/io/bytes.ts';
export { crc32 } from './src/io/zip.ts';
export { asSafetensors } from './src/io/torch.ts';
export { decodeImage } from './src/io/images/index.ts';
export { encodePng } from './src/io/images/png_encode.ts';
export { jpeg } from './src/io/images/jpeg.ts';
export { readIdx } from './src/data/idx.ts';
export { encodeCodes, readCodes } from './src/data/codes.ts';
export { parseConfig } from './src/model/config.ts';
export { openCheckpointFolder } from './src/train/folder.ts';
export { isTemporary } from './src/platform/files.ts';
`;

/** For processes that use WebGPU: the software driver, waiting without a busy loop, and the devices made. */
const GPU = `
import { existsSync } from 'node:fs';
import { SWIFTSHADER, WITHOUT_CLEARING } from './test/vulkan_driver.ts';
const { env } = process;
if (!env.VK_ICD_FILENAMES && !env.VK_DRIVER_FILES && existsSync(SWIFTSHADER)) env.VK_ICD_FILENAMES = SWIFTSHADER;
env.XDG_RUNTIME_DIR ??= '/tmp';
env.AIM_DAWN ??= WITHOUT_CLEARING;
await import('./test/idle_waits.mjs');
export const { devices } = await import('./test/platform/gpu.ts');
`;

/** What the library embeds, for esbuild. Nothing here runs kernels, so the modules that hold them are empty. */
const embedded = {
  name: 'embedded',
  setup(b) {
    const made = (filter, contents) => {
      b.onResolve({ filter }, ({ path, resolveDir }) => ({ path: resolve(resolveDir, path), namespace: String(filter) }));
      b.onLoad({ filter: /.*/, namespace: String(filter) }, ({ path }) => ({
        contents: contents(path),
        resolveDir: dirname(path),
      }));
    };
    made(/^vitest$/, () => 'export const afterAll = () => {};');
    made(/^aim:build$/, () => 'export const TRAINING = true;');
    made(/\.wgsl$/, (path) => shaderModule(path, { minify: false, training: true }));
    made(/\.wasm(\?raw)?$|\?text$/, () => 'export default "";');
  },
};

/** Bundles the sources that scenarios and child processes use. */
export async function createLibrary() {
  const folder = await mkdtemp(join(tmpdir(), 'aim-soak-'));
  const common = { bundle: true, platform: 'node', format: 'esm', logLevel: 'silent' };
  const outfile = join(folder, 'library.mjs');
  await build({ ...common, stdin: { contents: CONTENTS, resolveDir: root }, plugins: [embedded], outfile });
  // The binding must be the module that the built library imports.
  const binding = {
    name: 'binding',
    setup: (b) => b.onResolve({ filter: /^webgpu$/ }, ({ path }) => ({ path: import.meta.resolve(path), external: true })),
  };
  const gpu = join(folder, 'gpu.mjs');
  await build({ ...common, stdin: { contents: GPU, resolveDir: root }, plugins: [binding], outfile: gpu });
  const child = join(folder, 'child.mjs');
  await build({ ...common, bundle: false, stdin: { contents: CHILD }, outfile: child });
  const url = pathToFileURL(outfile).href;
  return {
    ...(await import(url)),
    url,
    gpu: pathToFileURL(gpu).href,
    child,
    close: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Random choices that a seed repeats. */
export function tools(seed) {
  const random = generator(seed);
  const int = (n) => Math.floor(random() * n);
  return { random, int, chance: (p) => random() < p, pick: (list) => list[int(list.length)] };
}

/**
 * The context of one round.
 *
 * - `random()`: a number in [0, 1); `int(n)`: an integer below n; `chance(p)`: true with probability p; `pick(list)`
 * - `many(n)`: n, or a smaller number in a run of reduced size
 * - `library`: what `createLibrary` bundles
 * - `folder`: an empty folder, removed after the round
 * - `count(what)`: counts an event for the table; `most(what, n)`: keeps the largest n; `finding(text)`: reports a fault
 * - `start(url, cacheDir)`: loads a model in a child process
 * - `defer(work)`: runs `work` after the round
 */
export async function roundContext(seed, library, counts, size = 1) {
  const folder = await mkdtemp(join(tmpdir(), 'aim-soak-round-'));
  const findings = [];
  const deferred = [];
  return {
    ...tools(seed),
    seed,
    size,
    many: (n) => Math.max(1, Math.round(n * size)),
    library,
    folder,
    findings,
    count: (what, n = 1) => {
      counts[what] = (counts[what] ?? 0) + n;
    },
    most: (what, n) => {
      counts[what] = Math.max(counts[what] ?? 0, n);
    },
    finding: (text) => findings.push(text),
    defer: (work) => deferred.push(work),
    start(url, cacheDir) {
      const child = spawn(process.execPath, [library.child, url, cacheDir], { stdio: ['ignore', 'pipe', 'inherit'] });
      deferred.push(() => child.kill('SIGKILL'));
      let output = '';
      const started = new Promise((done) => {
        child.stdout.on('data', (data) => {
          output += data;
          done();
        });
      });
      const ended = new Promise((done) => child.on('close', () => done(output.replace(/^started\n/, '').trim())));
      return { started: Promise.race([started, ended]), ended, kill: () => child.kill('SIGKILL') };
    },
    async close() {
      for (const work of deferred.reverse()) await work();
      await rm(folder, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/**
 * Runs a Node program and yields the lines of JSON that it prints, until it ends, which must be without an error.
 * `control.end` ends it.
 */
export async function* childLines(context, args, control = {}) {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  control.end = () => child.kill('SIGKILL');
  context.defer(control.end);
  let errors = '';
  child.stderr.on('data', (data) => (errors = `${errors}${data}`.slice(-3000)));
  const closed = new Promise((done) => child.on('close', (code, signal) => done(code ?? signal)));
  for await (const line of createInterface(child.stdout)) yield JSON.parse(line);
  const code = await closed;
  if (code !== 0) context.finding(`its process ended with ${code}: ${errors}`);
}

/** The generator mulberry32. */
function generator(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** True for the typed errors of src/core/errors.ts. */
export const isTyped = (error) => /^ERR_(CHECKPOINT|OPTION|MEMORY|IO|SHAPE|DEVICE|TRAINING|DISPOSED)$/.test(error?.code);

/**
 * The context that scenarios get: the library, random choices from a seed, a temporary folder, and functions that report
 * findings.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

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

/** Bundles the sources that scenarios and child processes use. */
export async function createLibrary() {
  const folder = await mkdtemp(join(tmpdir(), 'aim-soak-'));
  const common = { bundle: true, platform: 'node', format: 'esm', logLevel: 'silent' };
  await build({
    ...common,
    stdin: {
      contents: `export * from './test/io/load_checkpoint.ts';
        export { makeWeights, sha256, CONFIG } from './test/io/faulty_server.ts';
        export { timing } from './src/checkpoint/wait.ts';
        export { encodeSafetensors, parseHeader } from './src/io/safetensors.ts';`,
      resolveDir: root,
    },
    // test/io/faulty_server.ts imports helpers for vitest that are not needed here.
    plugins: [
      {
        name: 'without-vitest',
        setup(b) {
          b.onResolve({ filter: /^vitest$/ }, () => ({ path: 'vitest', namespace: 'none' }));
          b.onLoad({ filter: /.*/, namespace: 'none' }, () => ({ contents: 'export const afterAll = () => {};' }));
        },
      },
    ],
    outfile: join(folder, 'library.mjs'),
  });
  const child = join(folder, 'child.mjs');
  await build({ ...common, bundle: false, stdin: { contents: CHILD }, outfile: child });
  const library = await import(pathToFileURL(join(folder, 'library.mjs')).href);
  return { ...library, child, close: () => rm(folder, { recursive: true, force: true }) };
}

/**
 * The context of one round.
 *
 * - `random()`: a number in [0, 1); `int(n)`: an integer below n; `chance(p)`: true with probability p; `pick(list)`
 * - `library`: what `createLibrary` bundles
 * - `folder`: an empty folder, removed after the round
 * - `count(what)`: counts an event for the table; `finding(text)`: reports a fault
 * - `start(url, cacheDir)`: loads a model in a child process
 * - `defer(work)`: runs `work` after the round
 */
export async function roundContext(seed, library, counts) {
  const random = generator(seed);
  const folder = await mkdtemp(join(tmpdir(), 'aim-soak-round-'));
  const findings = [];
  const deferred = [];
  const int = (n) => Math.floor(random() * n);
  return {
    seed,
    library,
    folder,
    findings,
    random,
    int,
    chance: (p) => random() < p,
    pick: (list) => list[int(list.length)],
    count: (what, n = 1) => {
      counts[what] = (counts[what] ?? 0) + n;
    },
    finding: (text) => findings.push(text),
    defer: (work) => deferred.push(work),
    start(url, cacheDir) {
      const child = spawn(process.execPath, [library.child, url, cacheDir], { stdio: ['ignore', 'pipe', 'inherit'] });
      deferred.push(() => child.kill('SIGKILL'));
      let output = '';
      const started = new Promise((resolve) => {
        child.stdout.on('data', (data) => {
          output += data;
          resolve();
        });
      });
      const ended = new Promise((resolve) => child.on('close', () => resolve(output.replace(/^started\n/, '').trim())));
      return { started: Promise.race([started, ended]), ended, kill: () => child.kill('SIGKILL') };
    },
    async close() {
      for (const work of deferred.reverse()) await work();
      await rm(folder, { recursive: true, force: true, maxRetries: 3 });
    },
  };
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

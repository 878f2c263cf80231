/** The packed tarball in a project of its own: installed, type-checked, run, and bundled by Vite, esbuild and webpack. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build as esbuild } from 'esbuild';
import { build as vite } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import webpack from 'webpack';
import { html, NO_CHROMIUM, openChromium, openPage, serve } from '../platform/browser_site.js';
import { findDeno } from '../platform/deno.js';
import { run } from '../platform/run_program.js';
import { npm, pack } from './pack.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const fixture = `${root}test/fixtures/mamba2-adaln`;
let dir: string;
const at = (name: string) => join(dir, name);

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'aim-consumer-'));
  const { file, remove } = pack();
  // Already there when npm looks, so that no registry is asked.
  for (const path of dependencies()) cpSync(`${root}${path}`, at(path), { recursive: true });
  const manifest = { name: 'consumer', private: true, type: 'module', dependencies: { 'aim-js': `file:${file}` } };
  writeFileSync(at('package.json'), JSON.stringify(manifest));
  npm(['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund'], dir);
  remove();
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Paths of the packages that are installed together with this one. */
function dependencies(): string[] {
  const { packages } = JSON.parse(readFileSync(`${root}package-lock.json`, 'utf8')) as {
    packages: Record<string, { dev?: true; optional?: true; peer?: true; devOptional?: true }>;
  };
  const needed = Object.entries(packages).filter(([path, p]) => path && !p.dev && !p.optional && !p.peer && !p.devOptional);
  return needed.map(([path]) => path);
}

const APP = `
import { AiM, OptionError } from 'aim-js';
export { embedded } from 'aim-js/embedded';
export async function nameOf(source) {
  const aim = await AiM.fromPretrained(source, { device: 'wasm' });
  await aim.dispose();
  return aim.classes[5];
}
export async function app(source) {
  const aim = await AiM.fromPretrained(source, { device: 'wasm' });
  const { images } = await aim.generate({ count: 2, seed: 1 });
  const png = await images[0].toPNG();
  const wrong = await aim.generate({ count: 0 }).catch((e) => e instanceof OptionError);
  await aim.dispose();
  return { images: images.length, png: String.fromCharCode(...png.subarray(1, 4)), wrong };
}`;
const DONE = { images: 2, png: 'PNG', wrong: true };
const EMBEDDED = { bird: 'bird', remote: 'bird', sampling: { cfgScale: 2.5, topP: 0.95 } };

it('runs in Node', async () => {
  writeFileSync(at('app.mjs'), APP);
  writeFileSync(
    at('main.mjs'),
    `import { app, embedded, nameOf } from './app.mjs';
    import { AiM } from 'aim-js/worker';
    const remote = await AiM.fromPretrained(embedded(), { device: 'wasm' });
    await remote.dispose();
    const bird = await nameOf(embedded());
    console.log(JSON.stringify({ ...(await app(${JSON.stringify(fixture)})), bird, remote: remote.classes[5], sampling: remote.sampling }));`,
  );
  const { status, stdout, stderr } = await run(process.execPath, ['main.mjs'], { cwd: dir });
  expect(stderr).toBe('');
  expect(JSON.parse(stdout)).toEqual({ ...DONE, ...EMBEDDED });
  expect(status).toBe(0);
});

it('runs in Deno', async ({ skip }) => {
  const found = findDeno();
  if ('reason' in found) return skip(found.reason);
  const args = ['run', '--quiet', '--cached-only', '--node-modules-dir=manual', `--allow-read`, 'main.mjs'];
  const { stdout, stderr } = await run(found.deno, args, { cwd: dir });
  expect(JSON.parse(stdout || stderr)).toEqual({ ...DONE, ...EMBEDDED });
});

it('brings the aim command and its model', async () => {
  const cli = at('node_modules/.bin/aim');
  const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
  expect((await run(cli, ['--version'])).stdout.trim()).toBe(version);
  const { status, stdout } = await run(cli, ['info', '--device', 'wasm', '--json']);
  expect(status).toBe(0);
  expect(JSON.parse(stdout).parameters.model).toBeGreaterThan(0);
});

/** Each entry and class used as its types allow, and as they do not. */
const TYPES = `
import { AiM, type AimImage, type Generated, OptionError } from 'aim-js';
import { drawn, type Evaluation, evaluate } from 'aim-js/evaluate';
import { embedded } from 'aim-js/embedded';
import { type Codes, Trainer } from 'aim-js/train';
import { AiM as Trained, Trainer as RemoteTrainer } from 'aim-js/train-worker';
import { AiM as Remote } from 'aim-js/worker';
export async function draw(): Promise<AimImage[]> {
  const aim = await AiM.fromPretrained('x', { device: 'wasm', onProgress: ({ loaded }) => loaded.toFixed() });
  const { images }: Generated = await aim.generate({ classes: ['Bag', 3], onStep: async (s) => void (await s.preview()) });
  const remote: Remote = await Remote.fromPretrained('https://example.org/model/', { device: 'webgpu' });
  await remote.dispose();
  await (await Remote.fromPretrained(embedded())).dispose();
  await aim.loadPart('vqvae.', embedded());
  // @ts-expect-error: no such option
  await aim.generate({ steps: 3 });
  // @ts-expect-error: no device
  await AiM.fromPretrained('x', { device: {} });
  // @ts-expect-error: bytes, not any
  const wrong: number = await images[0]!.toPNG();
  // @ts-expect-error: bytes, not any
  const wrong2: number = images[0]!.toRGBA();
  for await (const { loss } of new Trainer({ model: aim, data: {} as Codes }).run()) loss.toFixed();
  const own = new Trainer({ model: aim, stage: 'model', batchSize: 1 });
  (await own.step({ codes: [[1]], classes: [null] }, { lr: 1 })).gradNorm.toFixed();
  const trained = await Trained.fromPretrained(embedded());
  const inWorker = await RemoteTrainer.open({ model: trained, data: { from: 'images' }, steps: 3 });
  for await (const { loss } of inWorker.run()) loss.toFixed();
  const kept: number = (await inWorker.checkpoint()).length;
  // @ts-expect-error: a model of another worker
  await RemoteTrainer.open({ model: remote });
  const { metrics }: Evaluation = await evaluate(drawn(aim, { count: 9, cfgScale: 2 }), 'r.npz', { inception: 'w.pth' });
  // @ts-expect-error: it may be missing
  metrics.fid.toFixed();
  if (images.length === 0) throw new OptionError('none');
  return images;
}`;
/** The API meets the types of browsers. */
const DOM_TYPES = `
import { AiM, type AimImage } from 'aim-js';
export async function show(image: AimImage, canvas: CanvasRenderingContext2D, files: File[]): Promise<Blob> {
  canvas.putImageData(image.toImageData(), 0, 0);
  const { signal } = new AbortController();
  await AiM.fromPretrained(new URL('https://example.org/model/'), { signal });
  await AiM.fromPretrained(files);
  // @ts-expect-error: no URL, though it has a href
  await AiM.fromPretrained({ href: 'x' });
  return new Blob([await image.toPNG(), image.toRGB(), image.toRGBA()]);
}`;
const GPU_TYPES = `
import { AiM } from 'aim-js';
export const load = (device: GPUDevice) => AiM.fromPretrained('x', { device });`;

/**
 * A TypeScript compiler: this project's of version 5, its native one of version 7, or the version asked for, which is downloaded once
 * and kept. Gives the reason where it cannot be had.
 */
function typescript(version: string | undefined): { tsc: string } | { reason: string } {
  if (!version) return { tsc: `${root}node_modules/typescript/bin/tsc` };
  if (version === 'native') return { tsc: `${root}node_modules/typescript-native/bin/tsc` };
  const folder = `${root}node_modules/.cache/typescript-${version}`;
  const tsc = join(folder, 'node_modules/typescript/bin/tsc');
  if (existsSync(tsc)) return { tsc };
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{}');
  try {
    npm(['install', '--ignore-scripts', '--no-audit', '--no-fund', '--fetch-retries=0', `typescript@${version}`], folder);
    return { tsc };
  } catch (error) {
    return { reason: `TypeScript ${version} could not be downloaded: ${(error as Error).message.slice(0, 200)}` };
  }
}

describe('type-checks without skipLibCheck', () => {
  const modules = `${root}node_modules`;
  const browser = ['es2022', 'dom', 'dom.iterable'];
  it.for<[what: string, version: string | undefined, options: { moduleResolution: string; lib: string[]; types: string[] }]>([
    ['Node', undefined, { moduleResolution: 'nodenext', lib: ['es2022'], types: [`${modules}/@types/node`] }],
    ['a page', undefined, { moduleResolution: 'bundler', lib: browser, types: [`${modules}/@webgpu/types`] }],
    ['no platform, old resolution', undefined, { moduleResolution: 'node10', lib: ['es2022'], types: [] }],
    // The oldest that the README promises, before arrays became generic, and the newest, which has types of WebGPU.
    ['a page, oldest TypeScript', '5.0.4', { moduleResolution: 'bundler', lib: browser, types: [] }],
    ['a page, newest TypeScript', 'native', { moduleResolution: 'bundler', lib: browser, types: [] }],
  ])('%s', async ([, version, { moduleResolution, lib, types }], { skip }) => {
    const found = typescript(version);
    if ('reason' in found) return skip(found.reason);
    const files: Record<string, string> = { 'types.ts': TYPES };
    if (lib === browser) files['dom_types.ts'] = DOM_TYPES;
    if (lib === browser && version !== '5.0.4') files['gpu_types.ts'] = GPU_TYPES;
    for (const [name, text] of Object.entries(files)) writeFileSync(at(name), text);
    const module = moduleResolution === 'nodenext' ? 'nodenext' : 'esnext';
    const options = { strict: true, noEmit: true, skipLibCheck: false, target: 'es2022', lib, types, module, moduleResolution };
    // Not tsconfig.json, which Deno would read too.
    writeFileSync(at('tsc.json'), JSON.stringify({ compilerOptions: options, files: Object.keys(files) }));
    const { status, stdout } = await run(process.execPath, [found.tsc, '-p', 'tsc.json'], { cwd: dir });
    expect(stdout).toBe('');
    expect(status).toBe(0);
  });
});

it('type-checks in Deno', async ({ skip }) => {
  const found = findDeno();
  if ('reason' in found) return skip(found.reason);
  writeFileSync(at('types.ts'), TYPES + GPU_TYPES.replace(/^.*import.*$/m, ''));
  const { status, stderr } = await run(found.deno, ['check', '--quiet', '--node-modules-dir=manual', 'types.ts'], { cwd: dir });
  expect(status, stderr).toBe(0);
});

/** Each bundles app.js to the folder `out` as main.js and gives its warnings. */
const BUNDLERS: Record<string, (entry: string, out: string) => Promise<unknown[]>> = {
  async esbuild(entry, out) {
    const outdir = at(out);
    const options = { bundle: true, format: 'esm', splitting: true, minify: true, logLevel: 'silent' } as const;
    return (await esbuild({ ...options, entryPoints: { main: entry }, outdir, absWorkingDir: dir })).warnings;
  },
  async vite(entry, out) {
    const warnings: string[] = [];
    await vite({
      root: dir,
      configFile: false,
      logLevel: 'warn',
      customLogger: { ...QUIET, warn: (text) => warnings.push(text), warnOnce: (text) => warnings.push(text) },
      build: {
        outDir: at(out),
        chunkSizeWarningLimit: 2000,
        rollupOptions: { input: { main: entry }, output: { entryFileNames: 'main.js' } },
      },
      base: `/${out}/`,
    });
    return warnings;
  },
  webpack: (entry, out) =>
    new Promise((resolve, reject) => {
      const options = { mode: 'production', performance: { hints: false }, context: dir, entry: { main: entry } } as const;
      const compiler = webpack({ ...options, output: { path: at(out), filename: 'main.js', publicPath: `/${out}/` } });
      compiler.run((error, stats) => {
        compiler.close(() => {
          if (error) reject(error);
          else resolve([...(stats?.compilation.errors ?? []), ...(stats?.compilation.warnings ?? [])].map(String));
        });
      });
    }),
};
const QUIET = {
  info() {},
  warn() {},
  warnOnce() {},
  error() {},
  clearScreen() {},
  hasErrorLogged: () => false,
  hasWarned: false,
};

it('builds the Vite example, and its button draws', async ({ skip }) => {
  const app = at('example-vite');
  cpSync(`${root}examples/vite`, app, { recursive: true, filter: (path) => !/node_modules|dist/.test(path.slice(root.length)) });
  symlinkSync(at('node_modules'), join(app, 'node_modules'), 'dir');
  await vite({ root: app, logLevel: 'silent' });
  if (NO_CHROMIUM) return skip(NO_CHROMIUM);
  const site = await serve(
    { '/': { body: readFileSync(join(app, 'dist/index.html')), type: 'text/html' } },
    { '/': join(app, 'dist/') },
  );
  const browser = await openChromium();
  try {
    const { page, errors } = await openPage(browser, site.url);
    await page.locator('#draw:enabled').waitFor();
    await page.locator('#class').selectOption({ label: 'heart' });
    await page.locator('#draw').click();
    await page.getByText(/^Seed 0 on /).waitFor();
    expect(await page.locator('#canvas').evaluate((c) => (c as HTMLCanvasElement).width)).toBe(64);
    expect(errors).toEqual([]);
  } finally {
    await browser.close();
    await site.close();
  }
});

describe('bundles as it is, and the bundle draws', () => {
  it.for(Object.keys(BUNDLERS))('%s', async (name, { skip }) => {
    const copiesFiles = name !== 'esbuild';
    mkdirSync(at('src'), { recursive: true });
    writeFileSync(at('src/app.js'), APP);
    writeFileSync(
      at('src/main.js'),
      `import { app${copiesFiles ? ', embedded, nameOf' : ''} } from './app.js';
      import { AiM } from 'aim-js/worker';
      async function inWorker(source) {
        const aim = await AiM.fromPretrained(source, { device: 'wasm' });
        const { images } = await aim.generate({ count: 1 });
        await aim.dispose();
        return images.length;
      }
      globalThis.done = Promise.all([
        app('/fixtures/mamba2-adaln'),
        inWorker('/fixtures/mamba2-adaln'),
        ${copiesFiles ? 'nameOf(embedded()), inWorker(embedded()),' : ''}
      ]);`,
    );
    const out = `out-${name}`;
    expect(await BUNDLERS[name]!(at('src/main.js'), out)).toEqual([]);
    expect(existsSync(at(`${out}/main.js`))).toBe(true);
    if (NO_CHROMIUM) return skip(NO_CHROMIUM);
    const site = await serve(
      { '/': html(`<script type="module" src="/${out}/main.js"></script>`) },
      { [`/${out}/`]: at(`${out}/`) },
    );
    const browser = await openChromium();
    try {
      const { page } = await openPage(browser, site.url);
      expect(await page.evaluate('done')).toEqual([DONE, 1, ...(copiesFiles ? ['bird', 1] : [])]);
    } finally {
      await browser.close();
      await site.close();
    }
  });
});

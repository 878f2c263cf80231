/** The package as npm, TypeScript, bundlers and JSR see it. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runInNewContext } from 'node:vm';
import { gunzipSync, gzipSync } from 'node:zlib';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { build } from 'esbuild';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { describe, expect, it } from 'vitest';
import { findDeno } from '../platform/deno.js';
import { run } from '../platform/run_program.js';
import { pack } from './pack.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const manifest = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
/** All that a page loads at first: script, shaders and WASM, without the code for downloads, which it loads later. */
const BUDGET = 80_000;

it('publint reports nothing', async () => {
  const { messages } = await publint({ pkgDir: root, strict: true });
  expect(messages.map((m) => formatMessage(m, manifest))).toEqual([]);
});

it('it unpacks to 24 MB, and the types resolve for every module resolution that has ES modules', async () => {
  const { file, remove } = pack();
  try {
    const tarball = readFileSync(file);
    expect(gunzipSync(tarball).length).toBeLessThan(24e6);
    const checked = await checkPackage(createPackageFromTarballData(tarball), {
      // Scripts for `new Worker`, not modules to import.
      excludeEntrypoints: ['./aim.worker.min.js', './aim.train-worker.min.js'],
    });
    if (!checked.types) throw new Error('the package has no types');
    const here = checked.problems.filter(
      (p) => !('resolutionKind' in p) || ['node10', 'node16-esm', 'bundler'].includes(p.resolutionKind),
    );
    // This package is ESM only, so TypeScript must refuse a require() of it.
    expect(here.filter((p) => p.kind !== 'CJSResolvesToESM')).toEqual([]);
    expect(Object.keys(checked.entrypoints)).toEqual(
      expect.arrayContaining(['.', './train', './evaluate', './worker', './train-worker']),
    );
  } finally {
    remove();
  }
});

it('a dry run of publishing to JSR succeeds', async ({ skip }) => {
  const found = findDeno();
  if ('reason' in found) return skip(found.reason);
  const args = ['publish', '--dry-run', '--allow-dirty', '--quiet'];
  const { status, stderr } = await run(found.deno, args, { cwd: root });
  expect(status, stderr).toBe(0);
});

it('every entry is within its size budget', async () => {
  const size = (code: string | Uint8Array) => gzipSync(code, { level: 9 }).length;
  const { outputFiles } = await build({
    stdin: { contents: `import { AiM } from './dist/aim.js'; console.log(AiM);`, resolveDir: root },
    bundle: true,
    minify: true,
    format: 'esm',
    external: ['fast-png'],
    write: false,
  });
  const core = ['aim.js', ...chunksOf('aim.js')];
  const whole = core.reduce((sum, name) => sum + size(readFileSync(`${root}dist/${name}`)), 0);
  const drawing = size(outputFiles[0]!.contents);
  const file = (name: string) => `${name} ${(size(readFileSync(`${root}dist/${name}`)) / 1000).toFixed(1)}`;
  const download = readdirSync(`${root}dist`).find((name) => /^aim-download-.*\.js$/.test(name))!;
  console.log(
    `gzip kB: aim.js with its ${core.length - 1} chunks ${(whole / 1000).toFixed(1)} of ${BUDGET / 1000}; loaded with the first URL: ` +
      `${file(download)}; as bundled by who imports AiM only ${(drawing / 1000).toFixed(1)}; ` +
      `${file('aim.iife.min.js')}; ${file('worker.js')}`,
  );
  expect(whole).toBeLessThanOrEqual(BUDGET);
  // Code for training only is removed from bundles that do not train.
  expect(outputFiles[0]!.text).not.toContain('"adamw"');
});

it('only the command contains the float64 references', () => {
  const text = 'has no float64 reference';
  const files = readdirSync(`${root}dist`).filter((name) => name.endsWith('.js'));
  expect(files.filter((name) => readFileSync(`${root}dist/${name}`, 'utf8').includes(text))).toEqual(['cli.js']);
});

/** The built modules that a built module imports, and those that they import. */
function chunksOf(name: string, found = new Set<string>()): string[] {
  const text = readFileSync(`${root}dist/${name}`, 'utf8');
  for (const [, chunk] of text.matchAll(/(?:from|import)"\.\/([^"]+)"/g)) {
    if (found.has(chunk!)) continue;
    found.add(chunk!);
    chunksOf(chunk!, found);
  }
  return [...found];
}

describe('importing has no side effects', () => {
  it.each(['aim.js', 'train.js', 'evaluate.js', 'worker.js', 'train-worker.js'])('%s', async (name) => {
    const names = ['navigator', 'document', 'window', 'self', 'location', 'Deno', 'Bun', 'Worker', 'WebAssembly', 'fetch'];
    const { status, stderr } = await run(process.execPath, [
      '--input-type=module',
      '-e',
      `for (const name of ${JSON.stringify(names)})
         Object.defineProperty(globalThis, name, { get() { throw new Error(name + ' was touched'); } });
       process.dlopen = () => { throw new Error('native code was loaded'); };
       await import(${JSON.stringify(`${root}dist/${name}`)});`,
    ]);
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });

  it('aim.iife.min.js', () => {
    const script = readFileSync(`${root}dist/aim.iife.min.js`, 'utf8');
    // Globals of the language and those that the PNG encoder uses on import; no other global of any runtime.
    const context = { TextEncoder, TextDecoder };
    expect(runInNewContext(`${script}; typeof AiM.fromPretrained + typeof AiM.AimImage`, context)).toBe('functionfunction');
  });
});

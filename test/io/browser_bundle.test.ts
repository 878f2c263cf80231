import { build } from 'esbuild';
import { expect, it } from 'vitest';

it('the io code bundles for browsers without node: modules and imports packages only on use', async () => {
  const modules = ['checkpoint/source', 'io/safetensors', 'io/image', 'io/images/index', 'io/npz', 'platform/files'];
  const { outputFiles, metafile } = await build({
    stdin: { contents: modules.map((m) => `export * from './src/${m}.ts';`).join('\n'), resolveDir: process.cwd() },
    bundle: true,
    format: 'esm',
    platform: 'browser',
    external: ['fast-png', 'fflate', 'jpeg-js'],
    write: false,
    metafile: true,
    logLevel: 'silent',
  });
  const imports = Object.values(metafile.outputs).flatMap((o) => o.imports.map((i) => `${i.kind} ${i.path}`));
  expect(imports.sort()).toEqual([
    'dynamic-import fast-png',
    'dynamic-import fflate',
    'dynamic-import fflate',
    'dynamic-import jpeg-js',
  ]);
  // The one import by a computed name carries the marks that bundlers of users obey.
  const call = /import\(\s*\/\* @vite-ignore \*\/\s*\/\* webpackIgnore: true \*\/\s*`node:\$\{\w+\}`\s*\)/;
  expect(call.test(outputFiles[0]!.text)).toBe(true);
});

/**
 * `npm run build` makes WASM modules (assembly/ to build/), type declarations (src/ to build/types) and bundles (to dist/).
 * `node scripts/build.mjs kernels` makes only build/{aim,further,train,metrics}.wasm and build/helper.js, which tests of sources use;
 * `node scripts/build.mjs command` also dist/cli.js, all that `npm start` needs.
 */
import { rmSync } from 'node:fs';
import { root, tool } from './setup.mjs';

const [only] = process.argv.slice(2);
await import('./kernels.mjs');
const modules = {
  draw: 'build/draw.ts',
  further: 'build/further.ts',
  train: 'build/train.ts',
  metrics: 'assembly/metrics/products.ts',
};
const kernels = Object.entries(modules).map(([target, file]) => tool('asc', [file, '--target', target]));
const declarations = only ? undefined : tool('tsc', ['-p', 'tsconfig.build.json']);
for (const kernel of kernels) ended(await kernel);
ended(await bundle('helper'));
if (only === 'command') ended(await bundle('cli'));
if (!only) {
  // Chunk names carry hashes, so old chunks would stay.
  rmSync(`${root}dist`, { recursive: true, force: true });
  // Two processes, of about equal times. Types come last, so that there are none if something failed.
  const bundles = [bundle('workers,global'), bundle('modules,cli,quality'), declarations];
  for (const part of bundles) ended(await part);
  ended(await bundle('types'));
}

/** Makes parts of rollup.config.ts. */
function bundle(parts) {
  return tool('rollup', ['-c', 'rollup.config.ts', '--configPlugin', 'esbuild'], { AIM_BUILD: parts });
}

/** Prints the output of a step. Ends this program if the step failed. */
function ended({ status, text }) {
  process.stdout.write(text);
  if (status !== 0) process.exit(status);
}

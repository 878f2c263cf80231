/**
 * `npm run build` makes WASM modules (assembly/ to build/), type declarations (src/ to build/types) and bundles (to dist/).
 * `node scripts/build.mjs kernels` makes only build/{aim,further,train,metrics}.wasm and build/helper.js, which tests of sources use;
 * `node scripts/build.mjs command` also dist/cli.js, all that `npm start` needs.
 */
import { tool } from './setup.mjs';

/** What each partial build takes of rollup.config.ts. */
const PARTS = { kernels: 'helper', command: 'helper,cli' };
const part = PARTS[process.argv[2]];
await import('./kernels.mjs');
const modules = {
  draw: 'build/draw.ts',
  further: 'build/further.ts',
  train: 'build/train.ts',
  metrics: 'assembly/metrics/products.ts',
};
const steps = Object.entries(modules).map(([target, file]) => tool('asc', [file, '--target', target]));
if (!part) steps.push(tool('tsc', ['-p', 'tsconfig.build.json']));
for (const step of steps) ended(await step);
ended(await tool('rollup', ['-c', 'rollup.config.ts', '--configPlugin', 'esbuild'], part ? { AIM_BUILD: part } : {}));

/** Prints the output of a step. Ends this program if the step failed. */
function ended({ status, text }) {
  process.stdout.write(text);
  if (status !== 0) process.exit(status);
}

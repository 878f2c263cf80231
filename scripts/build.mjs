/**
 * `npm run build` makes WASM modules (assembly/ to build/), type declarations (src/ to build/types) and bundles (to dist/).
 * `node scripts/build.mjs kernels` makes only build/{aim,further,train,metrics}.wasm and build/helper.js, which tests of sources use.
 */
import { tool } from './setup.mjs';

const only = process.argv[2];
await import('./kernels.mjs');
const modules = {
  draw: 'build/draw.ts',
  further: 'build/further.ts',
  train: 'build/train.ts',
  metrics: 'assembly/metrics/products.ts',
};
const steps = Object.entries(modules).map(([target, file]) => tool('asc', [file, '--target', target]));
if (only !== 'kernels') steps.push(tool('tsc', ['-p', 'tsconfig.build.json']));
for (const step of steps) ended(await step);
const part = only === 'kernels' ? ['--environment', 'AIM_BUILD:helper'] : [];
ended(await tool('rollup', ['-c', 'rollup.config.ts', '--configPlugin', 'esbuild', ...part]));

/** Prints the output of a step. Ends this program if the step failed. */
function ended({ status, text }) {
  process.stdout.write(text);
  if (status !== 0) process.exit(status);
}

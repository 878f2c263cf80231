/**
 * The contract of the ops (contract.test.ts) and the cases of all tiles as a program for a machine that has a GPU but neither this
 * repository's packages nor a network: `npm run gpu-contract` bundles it into build/gpu_contract.mjs, which needs only the npm
 * package `webgpu`. Runs them with float32 and with float16 factors (matrix units, where AIM_DAWN allows them). Exits with 1 if any value
 * is wrong. `node build/gpu_contract.mjs mixed` takes one precision alone.
 */
import { createBackend } from '../../src/backend/create.js';
import type { WebGpuBackend } from '../../src/backend/webgpu.js';
import { linear } from '../../src/ops/linear.js';
import { all, variants } from './all_cases.js';
import { checkCase, type OpCases } from './harness.js';

let failed = 0;
const only = process.argv[2];
for (const precision of ['f32', 'mixed'] as const) {
  if (only && precision !== only) continue;
  const be = (await createBackend({ device: 'webgpu', precision })) as WebGpuBackend;
  const features = [...be.caps.features].sort().join(' ') || 'none';
  console.log(`${be.description}, ${precision}, matrix units: ${be.traits.matrixUnits}, features: ${features}`);
  const ops: OpCases[] = [...all, ...variants];
  let cases = 0;
  const start = performance.now();
  for (const op of ops) {
    for (const [i, c] of op.cases.entries()) {
      cases++;
      const wrong = await checkCase(be, op, c, 1000 + i, precision === 'mixed' ? 'f16' : 'f32').catch((error: Error) => [
        `${op.entry.key}: ${error.message}`,
      ]);
      failed += wrong.length;
      for (const line of wrong) console.log(line);
    }
  }
  if (be.traits.halfActivations) {
    // A gradient that f16 does not hold must not become its largest number: the step is skipped for what is not finite.
    const [w, dy] = [be.from([300], [1, 1]), be.from([-300], [1, 1])];
    const dx = be.tensor([1, 1], 'f16');
    be.run(linear.backward_input, { w, dy, dx });
    const [stored] = await be.read(dx);
    if (stored !== Number.NEGATIVE_INFINITY) console.log(`-90000 is stored as ${stored} in f16, ${++failed} wrong`);
    be.free(w, dy, dx);
  }
  console.log(`${cases} cases in ${((performance.now() - start) / 1000).toFixed(1)} s`);
  be.dispose();
}
console.log(`${failed} wrong`);
process.exitCode = failed ? 1 : 0;

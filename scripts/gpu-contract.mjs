/**
 * `npm run gpu-contract` bundles test/ops/gpu_contract.ts and gpu_training.ts into build/, which can run on a machine with a GPU.
 */
import { bundle } from './bundle.mjs';

for (const name of ['gpu_contract', 'gpu_training']) await bundle(`test/ops/${name}.ts`);

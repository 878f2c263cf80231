/**
 * Compiles every kernel of the cases and of the models, as a program of its own: Dawn prints what it hands to the driver (toggle
 * `dump_shaders`) to the output of the process. scripts/guards.mjs bundles and starts it, and reads that. Compiles kernels for other
 * devices too, as far as this adapter knows their extensions. AIM_GUARDS is text that the names of entries must contain, and
 * AIM_GUARDS_LABELS the labels of the kernels to compile, one a line, if not all.
 */
import { WebGpuBackend } from '../../src/backend/webgpu.js';
import { bindingsOf, kernelKey, kernelOf } from '../../src/backend/wgsl/kernel.js';
import { findAdapter, GRADES } from '../backends.js';
import { all, variants } from './all_cases.js';
import type { OpCases } from './harness.js';
import { candidatesOf, DEVICES, excess, halvesOf, passesOf, wholePlanOf } from './launches.js';
import { MODEL_CASES } from './model_cases.js';

const adapter = await findAdapter();
if (!adapter) throw new Error('there is no WebGPU adapter.');
const device = await adapter.requestDevice(GRADES.all(adapter));
const { createShaderModule } = device;
device.createShaderModule = (d) => createShaderModule.call(device, { ...d, code: `// kernel ${d.label}\n${d.code}` });
device.addEventListener('uncapturederror', ({ error }) => {
  console.error(error.message);
  process.exitCode = 1;
});
const { pipelines, caps: own } = await WebGpuBackend.create(device, { adapterInfo: adapter.info });
const knows = (extension: string) => own.features.has(extension === 'f16' ? 'shader-f16' : extension.replaceAll('_', '-'));

const only = process.env.AIM_GUARDS ?? '';
const labels = process.env.AIM_GUARDS_LABELS?.split('\n');
const seen = new Set<string>();
/** Compiles the kernels of a case that are new. Two kernels are the same if `keyOf` is. */
function compile({ entry: e, cases }: OpCases, keyOf: typeof kernelKey): void {
  for (const c of e.key.includes(only) ? cases : [])
    for (const caps of Object.values(DEVICES))
      for (const pass of excess(e, c, caps).length ? [] : candidatesOf(wholePlanOf(e, c, caps)).flatMap(passesOf)) {
        const half = halvesOf(e, c, caps);
        const bindings = bindingsOf(e, pass);
        const key = keyOf(e, pass, half);
        if (seen.has(key) || bindings.length > caps.maxStorageBuffers) continue;
        const { enable, label } = kernelOf(e, pass, half);
        if (!enable.every(knows)) continue;
        seen.add(key);
        if (labels && !labels.includes(label)) continue;
        pipelines.pipeline({ e, pass, half, key: kernelKey(e, pass, half), bindings });
      }
}
// Of the other cases one for each text: their constants are many.
for (const op of MODEL_CASES) compile(op, kernelKey);
for (const op of [...all, ...variants]) compile(op, (e, pass, half) => kernelKey(e, { ...pass, constants: {} }, half));
await pipelines.compiled();
await device.queue.onSubmittedWorkDone();

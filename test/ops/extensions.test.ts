/**
 * Kernels of WGSL extensions that the adapter of the tests may lack (f16, subgroup matrices) are valid: Dawn compiles them, as far as WGSL
 * goes, on its null backend, which has every feature and computes nothing.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { create } from 'webgpu';
import { assemble } from '../../src/backend/wgsl/assemble.js';
import { kernelKey, kernelOf } from '../../src/backend/wgsl/kernel.js';
import { all, entries, variants } from './all_cases.js';
import { DEVICES, excess, halvesOf, passesOf, planOf } from './launches.js';

const CAPS = DEVICES['all of an H100']!;

// The instance must outlive the device.
let gpu: GPU | undefined;
let device: GPUDevice | undefined;
beforeAll(async () => {
  gpu = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
  const adapter = await gpu.requestAdapter();
  const features = [...CAPS.features] as GPUFeatureName[];
  device = await adapter?.requestDevice({ requiredFeatures: features });
});
afterAll(() => device?.destroy());

it('there are kernels that write f16, and kernels for matrix units', () => {
  const enabled = new Set(
    [...all, ...variants].flatMap(({ entry, cases }) =>
      cases.flatMap((c) =>
        passesOf(planOf(entry, c, CAPS)).flatMap((pass) => kernelOf(entry, pass, halvesOf(entry, c, CAPS)).enable),
      ),
    ),
  );
  expect([...enabled]).toEqual(expect.arrayContaining(['f16', 'chromium_experimental_subgroup_matrix']));
});

it.for(entries.map((e) => e.key))('%s', async (key) => {
  const seen = new Set<string>();
  const wrong: string[] = [];
  for (const { entry, cases } of [...all, ...variants].filter((op) => op.entry.key === key))
    for (const c of cases)
      for (const pass of excess(entry, c, CAPS).length ? [] : passesOf(planOf(entry, c, CAPS))) {
        const half = halvesOf(entry, c, CAPS);
        // Constants are many and change no type.
        const text = kernelKey(entry, { ...pass, constants: {} }, half);
        const kernel = kernelOf(entry, pass, half);
        if (!kernel.enable.some((e) => e !== 'subgroups') || seen.has(text)) continue;
        seen.add(text);
        const { messages } = await device!.createShaderModule({ code: assemble(kernel).code }).getCompilationInfo();
        wrong.push(...messages.filter(({ type }) => type === 'error').map(({ message }) => `${kernel.label}: ${message}`));
      }
  expect(wrong).toEqual([]);
});

/** The backends under test. WebGPU runs on any adapter, software ones included; without one its tests say so and skip. */
import { existsSync } from 'node:fs';
import { create } from 'webgpu';
import type { Backend } from '../src/backend/backend.js';
import { createBackend, type DeviceOptions } from '../src/backend/create.js';
import { ReferenceBackend } from '../src/backend/reference.js';
import { WasmBackend } from '../src/backend/wasm.js';
import { dawnToggles } from '../src/platform/runtime.js';
import { bringKernels } from '../src/train/kernels.js';
import { GuardedWasm } from './guarded_wasm.js';

/** WASM with all kernels, those of training included. */
export async function wasmBackend(options: Parameters<typeof WasmBackend.create>[0] = {}): Promise<WasmBackend> {
  const be = await WasmBackend.create(options);
  bringKernels(be);
  return be;
}

/** WebGPU, or undefined where there is no adapter. */
export async function webgpuBackend(options: DeviceOptions = {}): Promise<Backend | undefined> {
  return (await findAdapter()) ? createBackend({ ...options, device: 'webgpu' }) : undefined;
}

/**
 * What a device is asked for: nothing, so that it has WebGPU's default limits (8 storage buffers, bindings of 128 MiB, 256
 * invocations, 16 KiB of workgroup memory) and no features; 10 storage buffers; all that the adapter has.
 */
export const GRADES: Record<'default' | 'ten buffers' | 'all', (adapter: GPUAdapter) => GPUDeviceDescriptor> = {
  default: () => ({}),
  'ten buffers': () => ({ requiredLimits: { maxStorageBuffersPerShaderStage: 10 } }),
  all: ({ features, limits }) => {
    const requiredLimits: Record<string, number> = {};
    // They are accessors of the prototype.
    for (const name in limits) requiredLimits[name] = limits[name as keyof GPUSupportedLimits] as number;
    return { requiredLimits, requiredFeatures: [...features] as GPUFeatureName[] };
  },
};

/** A device of that grade, to be injected; undefined where there is no adapter. */
export async function gpuDevice(grade: keyof typeof GRADES): Promise<GPUDevice | undefined> {
  const adapter = await findAdapter();
  return adapter ? adapter.requestDevice(GRADES[grade](adapter)) : undefined;
}

/** The options that make `device` compute: for 'reference', which the public options do not have, the float64 backend itself. */
export const deviceOptions = (device: 'reference' | 'wasm' | 'webgpu'): DeviceOptions =>
  device === 'reference' ? { backend: () => new ReferenceBackend() } : { device };

/** Of the tests of ops: each call on WASM has scratch memory of its own, with guard words behind it. */
export const makers: Record<string, () => Promise<Backend | undefined>> = {
  wasm: GuardedWasm.create,
  webgpu: webgpuBackend,
};

export const NO_ADAPTER = 'no WebGPU adapter (install a Vulkan driver, e.g. Debian chromium + libvulkan1 for SwiftShader)';

const driver = process.env.VK_ICD_FILENAMES ?? process.env.VK_DRIVER_FILES ?? '';
/** The Vulkan driver installed, if any: where there is one, to find no adapter is a failure. */
export const DRIVER = existsSync(driver) ? driver : '';

let gpu: GPU | undefined;
/** Dawn's adapter, past the library: where that fails to make a device of one, no test may pass it for a reason to skip. */
export async function findAdapter(): Promise<GPUAdapter | null> {
  gpu ??= create(dawnToggles());
  const adapter = await gpu.requestAdapter();
  if (!adapter && DRIVER) throw new Error(`${DRIVER} is installed but gives no adapter; install the Vulkan loader (libvulkan1).`);
  return adapter;
}

export const hasAdapter = async () => (await findAdapter()) !== null;

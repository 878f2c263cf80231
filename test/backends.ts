/** The backends under test. WebGPU runs on any adapter, software ones included; without one its tests say so and skip. */
import { existsSync } from 'node:fs';
import { create } from 'webgpu';
import type { Backend } from '../src/backend/backend.js';
import { WasmBackend } from '../src/backend/wasm.js';
import { createBackend, type DeviceOptions } from '../src/platform/device.js';
import { bringKernels } from '../src/train/kernels.js';

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

export const makers: Record<string, () => Promise<Backend | undefined>> = {
  wasm: wasmBackend,
  webgpu: webgpuBackend,
};

export const NO_ADAPTER = 'no WebGPU adapter (install a Vulkan driver, e.g. Debian chromium + libvulkan1 for SwiftShader)';

const driver = process.env.VK_ICD_FILENAMES ?? process.env.VK_DRIVER_FILES ?? '';
/** The Vulkan driver installed, if any: where there is one, to find no adapter is a failure. */
export const DRIVER = existsSync(driver) ? driver : '';

let gpu: GPU | undefined;
/** Dawn's adapter, past the library: where that fails to make a device of one, no test may pass it for a reason to skip. */
export async function findAdapter(): Promise<GPUAdapter | null> {
  gpu ??= create([]);
  const adapter = await gpu.requestAdapter();
  if (!adapter && DRIVER) throw new Error(`${DRIVER} is installed but gives no adapter; install the Vulkan loader (libvulkan1).`);
  return adapter;
}

export const hasAdapter = async () => (await findAdapter()) !== null;

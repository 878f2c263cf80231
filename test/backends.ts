/** The backends under test. WebGPU runs on any adapter, software ones included; without one its tests say so and skip. */
import type { Backend } from '../src/backend/backend.js';
import { WasmBackend } from '../src/backend/wasm.js';
import { DeviceError } from '../src/errors.js';
import { createBackend } from '../src/platform/device.js';
import { bringKernels } from '../src/train/kernels.js';

/** WASM with all kernels, those of training included. */
export async function wasmBackend(options: Parameters<typeof WasmBackend.create>[0] = {}): Promise<WasmBackend> {
  const be = await WasmBackend.create(options);
  bringKernels(be);
  return be;
}

/** WebGPU, or undefined where there is no adapter. */
export async function webgpuBackend(): Promise<Backend | undefined> {
  try {
    return await createBackend({ device: 'webgpu' });
  } catch (error) {
    if (error instanceof DeviceError) return undefined;
    throw error;
  }
}

export const makers: Record<string, () => Promise<Backend | undefined>> = {
  wasm: wasmBackend,
  webgpu: webgpuBackend,
};

export const NO_ADAPTER = 'no WebGPU adapter (install a Vulkan driver, e.g. Debian chromium + libvulkan1 for SwiftShader)';

let found: Promise<boolean> | undefined;
/** Whether `device: 'webgpu'` can be had here. */
export function hasAdapter(): Promise<boolean> {
  found ??= webgpuBackend().then((be) => {
    be?.dispose();
    return be !== undefined;
  });
  return found;
}

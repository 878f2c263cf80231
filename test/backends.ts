/** The backends under test. WebGPU runs on any adapter, software ones included; without one its tests say so and skip. */
import { existsSync } from 'node:fs';
import type { Backend } from '../src/backend/backend.js';
import { WasmBackend } from '../src/backend/wasm.js';
import { WebGpuBackend } from '../src/backend/webgpu.js';

const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';
if (!process.env.VK_ICD_FILENAMES && !process.env.VK_DRIVER_FILES && existsSync(SWIFTSHADER)) {
  process.env.VK_ICD_FILENAMES = SWIFTSHADER;
}
process.env.XDG_RUNTIME_DIR ??= '/tmp';

let gpu: GPU | undefined;

export async function webgpuBackend(): Promise<WebGpuBackend | undefined> {
  const { create } = await import('webgpu');
  gpu ??= create([]);
  const adapter = await gpu.requestAdapter();
  if (!adapter) return undefined;
  const { maxStorageBufferBindingSize, maxBufferSize, maxComputeWorkgroupStorageSize } = adapter.limits;
  const device = await adapter.requestDevice({
    requiredLimits: { maxStorageBufferBindingSize, maxBufferSize, maxComputeWorkgroupStorageSize },
  });
  return new WebGpuBackend(device, adapter.info);
}

export const makers: Record<string, () => Promise<Backend | undefined>> = {
  wasm: () => WasmBackend.create(),
  webgpu: webgpuBackend,
};

export const NO_ADAPTER = 'no WebGPU adapter (install a Vulkan driver, e.g. Debian chromium + libvulkan1 for SwiftShader)';

/** A GPU device that computes nothing: the backend plans and records as on a real one, and the memory is counted. */
import { WebGpuBackend } from '../src/backend/webgpu.js';

type UncapturedError = Pick<GPUUncapturedErrorEvent, 'preventDefault'> & { error: Error };

/** Limits of an NVIDIA GPU in Dawn. */
const LIMITS = {
  maxStorageBufferBindingSize: 2 ** 32 - 4,
  maxBufferSize: 2 ** 38,
  maxComputeWorkgroupStorageSize: 48 * 1024,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupSizeX: 1024,
  maxStorageBuffersPerShaderStage: 16,
};

const ADAPTER = {
  vendor: 'nvidia',
  architecture: '',
  device: '',
  description: 'counted memory',
  subgroupMinSize: 32,
  subgroupMaxSize: 32,
  isFallbackAdapter: false,
  subgroupMatrixConfigs: [{ componentType: 'f16', resultComponentType: 'f32', M: 16, N: 16, K: 16 }],
};

/** The features with which products in mixed precision take matrix units. */
const FEATURES = ['subgroups', 'shader-f16', 'chromium-experimental-subgroup-matrix'];

/**
 * A backend on such a device, of `memory` bytes: beyond them it reports an error as Dawn does. Its `bytes` are those on the GPU.
 */
export function planningBackend(precision: 'f32' | 'mixed', memory = Infinity): WebGpuBackend {
  let bytes = 0;
  const listeners = new Set<(event: UncapturedError) => void>();
  const exhausted = new Error('not enough memory left: Out of memory');
  const device = {
    limits: LIMITS,
    features: new Set(FEATURES),
    lost: new Promise(() => {}),
    queue: { writeBuffer() {}, submit() {}, onSubmittedWorkDone: async () => {} },
    createBuffer: ({ size }: { size: number }) => {
      bytes += size;
      if (bytes > memory)
        queueMicrotask(() => {
          for (const listener of listeners) listener({ error: exhausted, preventDefault() {} });
        });
      return { destroy: () => (bytes -= size) };
    },
    createCommandEncoder: () => ({ clearBuffer() {}, finish: () => ({}) }),
    createBindGroup: () => ({}),
    createBindGroupLayout: () => ({}),
    addEventListener: (_type: string, listener: (event: UncapturedError) => void) => listeners.add(listener),
    removeEventListener() {},
    destroy() {},
  };
  const adapterInfo = ADAPTER as unknown as GPUAdapterInfo;
  const products = precision === 'mixed' ? 'f16' : 'f32';
  return new WebGpuBackend(device as unknown as GPUDevice, { adapterInfo, products, series: true });
}

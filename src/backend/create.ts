/** Opens a device: WebGPU from the browser, Deno or Dawn in Node; otherwise WASM. */

import { DeviceError, OptionError } from '../core/errors.js';
import { checkOption, type OptionTable } from '../core/options.js';
import { dawnToggles, importOptional, processors, runtime } from '../platform/runtime.js';
import { describeAdapter, isSoftware } from './adapter.js';
import type { Backend } from './backend.js';
import { WasmBackend } from './wasm.js';
import { WebGpuBackend } from './webgpu.js';

/** 'auto' is WebGPU on real hardware, else WASM. */
export type DeviceName = 'auto' | 'webgpu' | 'wasm';

/**
 * A GPUDevice, by what tells it from other objects: the types of WebGPU in TypeScript 6, in Deno and in `@webgpu/types` differ, and
 * a project need not have any.
 */
export interface GpuDevice {
  /** Where commands are submitted. */
  readonly queue: object;
  /** What the device can do. */
  readonly limits: object;
  /** Resolves when the device is lost. */
  readonly lost: Promise<object>;
  /** Compiles a shader. */
  createComputePipeline(descriptor: never): object;
}

/** How to open the device that a model computes on. */
export interface DeviceOptions {
  /** A device by name, default 'auto', or your own GPUDevice, which the library never destroys. */
  device?: DeviceName | GpuDevice;
  /**
   * Node only: Dawn toggles, e.g. `['disable-dawn-features=...']`, as create() of the npm package `webgpu` takes them.
   * Default: the environment variable AIM_DAWN, split at blanks.
   */
  dawn?: string[];
  /**
   * 'mixed' lets matrix products on WebGPU round their factors to float16 where the device computes faster that way, and
   * training store activations as float16 where its shaders can write that. Sums, weights and states stay float32. Default 'f32'.
   */
  precision?: 'f32' | 'mixed';
  /** URL to fetch the WASM module from. Default: the copy inside the bundle. */
  wasmUrl?: string | URL;
  /**
   * Number of threads for WASM, 1 to 64. Default: the number of processors, at most 8. Only one thread is used where threads
   * cannot share memory: on a page that is not cross-origin isolated, or whose Content-Security-Policy forbids
   * `worker-src blob:`. Results are bit-identical for any number of threads.
   */
  threads?: number;
  /** Aborts the opening of the device. */
  signal?: AbortSignal | undefined;
  /** @internal Creates the backend, whatever `device` is. The `aim` command and tests use the float64 reference this way. */
  backend?: (() => Backend) | undefined;
}

export const DEVICE = {
  device: { type: 'other', about: "'auto', 'webgpu' or 'wasm', or a GPUDevice" },
  dawn: { type: 'strings', about: 'Dawn toggles (Node); by default those in AIM_DAWN' },
  precision: {
    type: 'choice',
    choices: ['f32', 'mixed'],
    default: 'f32',
    about: 'precision of matrix products on WebGPU; mixed rounds their factors to float16',
  },
  wasmUrl: { type: 'url', about: 'where to fetch the WASM module from instead of the bundle' },
  threads: { type: 'integer', min: 1, max: 64, about: 'threads of WASM; by default one for each processor, at most 8' },
  signal: { type: 'signal', about: 'stops the opening of the device' },
  backend: { type: 'function', about: 'makes the backend, whatever `device` is (for tests and the `aim` command)' },
} as const satisfies OptionTable<DeviceOptions>;

/** More threads than this seldom help, because memory bandwidth becomes the limit. */
const MOST_THREADS = 8;

/** Dawn instances by their toggles, created on first use. An instance must outlive its devices. */
const dawn = new Map<string, GPU>();

const NO_ADAPTER = 'no WebGPU adapter was found (is a Vulkan, Metal or D3D12 driver installed?)';

/** The runtime's WebGPU entry point, or why there is none. */
export async function findGpu(given?: readonly string[]): Promise<{ gpu: GPU } | { reason: string }> {
  // Before npm's package: an Electron page is also Node, and programs may put a GPU of their own there.
  const gpu = (globalThis.navigator as Navigator | undefined)?.gpu;
  if (gpu) return { gpu };
  const { name } = runtime();
  if (name === 'deno') return { reason: 'this Deno has no WebGPU (version 2 or later has)' };
  if (name !== 'node' && name !== 'bun') return { reason: 'this browser has no WebGPU' };
  const toggles = dawnToggles(given);
  const key = toggles.join(' ');
  const known = dawn.get(key);
  if (known) return { gpu: known };
  if (await (await import('../platform/vulkan.js')).lacksVulkan()) return { reason: NO_ADAPTER };
  try {
    const { create } = await importOptional<{ create(flags: string[]): GPU }>('webgpu');
    const gpu = create(toggles);
    dawn.set(key, gpu);
    return { gpu };
  } catch (error) {
    const missing = (error as { code?: string }).code === 'ERR_MODULE_NOT_FOUND';
    return { reason: missing ? 'the npm package `webgpu` is not installed' : `Dawn did not start: ${(error as Error).message}` };
  }
}

async function requestAdapter(toggles: string[] | undefined): Promise<{ adapter: GPUAdapter } | { reason: string }> {
  const found = await findGpu(toggles);
  if ('reason' in found) return found;
  const adapter = await found.gpu.requestAdapter({ powerPreference: 'high-performance' }).catch(() => null);
  return adapter ? { adapter } : { reason: NO_ADAPTER };
}

/** The description of the GPU that `aim info` prints. */
export async function adapterSummary(toggles?: string[]) {
  const found = await requestAdapter(toggles);
  if ('reason' in found) return { reason: found.reason };
  const { info, features, limits } = found.adapter;
  return {
    name: describeAdapter(info),
    software: isSoftware(info),
    features: [...features].sort(),
    limits: {
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxBufferSize: limits.maxBufferSize,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
    },
  };
}

/** Limits that are worth raising above WebGPU's defaults. */
const LIMITS = [
  'maxStorageBufferBindingSize',
  'maxBufferSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxStorageBuffersPerShaderStage',
] as const;
/** Optional features that kernels use where available. */
const FEATURES = ['subgroups', 'shader-f16', 'timestamp-query', 'chromium-experimental-subgroup-matrix'] as const;

type Precision = NonNullable<DeviceOptions['precision']>;
const products = (precision: Precision) => (precision === 'mixed' ? 'f16' : 'f32');

async function openDevice(adapter: GPUAdapter, precision: Precision): Promise<WebGpuBackend> {
  const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
  const requiredFeatures = FEATURES.filter((name) => adapter.features.has(name)) as GPUFeatureName[];
  const device = await adapter.requestDevice({ requiredLimits, requiredFeatures });
  return WebGpuBackend.create(device, { adapterInfo: adapter.info, products: products(precision) });
}

/**
 * Opens the backend for a device choice. 'auto' falls back to WASM; 'webgpu' takes any adapter, also a software one.
 * Throws DeviceError if the requested device is not available, OptionError for an unknown name.
 */
export async function createBackend(options: DeviceOptions = {}): Promise<Backend> {
  const { device = 'auto', precision = 'f32', dawn, wasmUrl, threads, signal } = options;
  signal?.throwIfAborted();
  if (options.backend) return options.backend();
  // Only values are checked here, not names: callers may pass further options.
  checkOption('precision', precision, DEVICE.precision);
  if (threads !== undefined) checkOption('threads', threads, DEVICE.threads);
  const wasm = async () => {
    const module = { ...(wasmUrl && { wasmUrl }), ...(signal && { signal }) };
    return WasmBackend.create({ ...module, threads: threads ?? Math.min(MOST_THREADS, await processors()) });
  };
  if (typeof device === 'object')
    return WebGpuBackend.create(device as GPUDevice, { owned: false, products: products(precision) });
  switch (device) {
    case 'wasm':
      return wasm();
    case 'webgpu': {
      const found = await requestAdapter(dawn);
      if ('reason' in found)
        throw new DeviceError(`WebGPU was asked for but ${found.reason}; install what is missing or use device 'wasm'.`);
      return openDevice(found.adapter, precision).catch((error: Error) => {
        throw new DeviceError(`the WebGPU adapter did not open a device: ${error.message}; use device 'wasm'.`, { cause: error });
      });
    }
    case 'auto': {
      const found = await requestAdapter(dawn);
      if ('reason' in found || isSoftware(found.adapter.info)) return wasm();
      // Fall back to WASM also if the adapter gives no device (lost, out of memory, blocked).
      return openDevice(found.adapter, precision).catch(wasm);
    }
    default:
      throw new OptionError(`device is ${JSON.stringify(device)}; it must be 'auto', 'webgpu', 'wasm' or a GPUDevice.`);
  }
}

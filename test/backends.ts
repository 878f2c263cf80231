/** The backends under test. WebGPU runs on any adapter, software ones included; without one its tests say so and skip. */
import { existsSync } from 'node:fs';
import { create } from 'webgpu';
import type { Backend } from '../src/backend/backend.js';
import { createBackend, type DeviceOptions } from '../src/backend/create.js';
import { ReferenceBackend } from '../src/backend/reference.js';
import { WasmBackend } from '../src/backend/wasm.js';
import type { WebGpuBackend } from '../src/backend/webgpu.js';
import { dawnToggles } from '../src/platform/runtime.js';
import { bringKernels } from '../src/train/kernels.js';
import { GuardedWasm } from './guarded_wasm.js';
import { poisoned } from './poisoned_kernels.js';

/** WASM with all kernels, those of training included. */
export async function wasmBackend(options: Parameters<typeof WasmBackend.create>[0] = {}): Promise<WasmBackend> {
  const be = await WasmBackend.create(options);
  bringKernels(be);
  return be;
}

/** Names of the ops that `npm run check` wants on WebGPU; undefined: the run is not by it, and WebGPU is tested whole. */
const OPS = process.env.AIM_GPU_OPS?.split(' ').filter(Boolean);

/** The reason why an op is not tested on WebGPU although there is an adapter; '' if it is tested. */
export const leftOut = (op: string) =>
  OPS && !OPS.includes(op) ? 'npm run check leaves out WebGPU for ops that did not change; npm test has them' : '';

/**
 * WebGPU on a device that all tests of the process share, so that a kernel is compiled once; `dispose` leaves the device alone.
 * Undefined where there is no adapter, and in `npm run check`.
 */
export async function webgpuBackend(options: DeviceOptions = {}): Promise<Backend | undefined> {
  if (!(await hasAdapter())) return undefined;
  return createBackend({ ...options, device: await sharedDevice(options.dawn) });
}

/**
 * The backend of the ops that `npm run check` tests on WebGPU, or of all ops. It takes the kernels for real GPUs or, with
 * `software`, those for software GPUs, whatever the adapter is. Kernels start with garbage in workgroup memory.
 */
export async function opsBackend({ software = false } = {}): Promise<Backend | undefined> {
  if (OPS?.length === 0 || !(await findAdapter())) return undefined;
  const backend = (await createBackend({ device: await sharedDevice() })) as WebGpuBackend;
  takeKernels(backend, software);
  poisonedKernels.set(backend, poisoned(backend));
  return backend;
}

/** Has a backend take the kernels for software GPUs or those for real ones, if it is WebGPU. */
export function takeKernels(backend: Backend, software: boolean): void {
  if ('caps' in backend) Object.assign((backend as WebGpuBackend).caps, { software });
}

/** Number of kernels of an `opsBackend` that started with garbage in their workgroup memory. */
export const poisonedKernels = new WeakMap<Backend, { kernels: number }>();

/** The device that a test of whole models loads onto by name: for 'webgpu' the one that tests of the process share. */
export async function onDevice<Name extends string>(name: Name): Promise<Name | GPUDevice> {
  return name === 'webgpu' ? sharedDevice() : name;
}

const shared = new Map<string, Promise<GPUDevice>>();

/**
 * A device for all tests of this process that do not lose it, count on it or change it: as the library makes it (with these Dawn
 * toggles), or one of a grade.
 */
export function sharedDevice(kind: keyof typeof GRADES | string[] = []): Promise<GPUDevice> {
  const key = String(kind);
  let device = shared.get(key);
  if (!device) {
    device = make(kind).then(keepPipelines);
    shared.set(key, device);
  }
  return device;

  async function make(of: typeof kind): Promise<GPUDevice> {
    if (typeof of === 'string') return (await gpuDevice(of))!;
    const backend = await createBackend({ device: 'webgpu', ...(of.length && { dawn: of }) });
    return (backend as WebGpuBackend).device;
  }
}

/** Holds references to pipelines: Dawn does not compile an equal pipeline again while one is referenced. */
function keepPipelines(device: GPUDevice): GPUDevice {
  const references: unknown[] = [];
  const { createComputePipeline, createShaderModule } = device;
  device.createShaderModule = (descriptor) => {
    const module = createShaderModule.call(device, descriptor);
    references.push(module);
    return module;
  };
  device.createComputePipeline = (descriptor) => {
    const pipeline = createComputePipeline.call(device, descriptor);
    references.push(pipeline);
    return pipeline;
  };
  return device;
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

/** A new device of that grade, for the caller to destroy; undefined where there is no adapter, and in `npm run check`. */
export async function gpuDevice(grade: keyof typeof GRADES): Promise<GPUDevice | undefined> {
  const adapter = (await hasAdapter()) ? await findAdapter() : null;
  return adapter ? adapter.requestDevice(GRADES[grade](adapter)) : undefined;
}

/** The options that make `name` compute: for 'reference', which the public options do not have, the float64 backend itself. */
export const deviceOptions = async (name: 'reference' | 'wasm' | 'webgpu'): Promise<DeviceOptions> =>
  name === 'reference' ? { backend: () => new ReferenceBackend() } : { device: await onDevice(name) };

/** The backends of the op tests. Each call on WASM gets its own scratch memory with guard words behind it. */
export const makers: Record<string, () => Promise<Backend | undefined>> = {
  wasm: GuardedWasm.create,
  webgpu: () => opsBackend(),
};

export const NO_ADAPTER = OPS
  ? 'npm run check leaves WebGPU to npm test, but for the contract of ops that changed'
  : 'no WebGPU adapter (install a Vulkan driver, e.g. Debian chromium + libvulkan1 for SwiftShader)';

const driver = process.env.VK_ICD_FILENAMES ?? process.env.VK_DRIVER_FILES ?? '';
/** The Vulkan driver installed, if any: where there is one, to find no adapter is a failure. */
export const DRIVER = existsSync(driver) ? driver : '';

let gpu: GPU | undefined;
/** Dawn's adapter, requested without the library: if the library fails to create a device, tests must fail instead of skip. */
export async function findAdapter(): Promise<GPUAdapter | null> {
  gpu ??= create(dawnToggles());
  const adapter = await gpu.requestAdapter();
  if (!adapter && DRIVER) throw new Error(`${DRIVER} is installed but gives no adapter; install the Vulkan loader (libvulkan1).`);
  return adapter;
}

/** Whether tests run on WebGPU: there is an adapter, and this is not `npm run check`. */
export const hasAdapter = async () => !OPS && (await findAdapter()) !== null;

/** WebGPU: each op entry is a compute pipeline; commands are encoded in order into shared passes. */
import { AimError, DeviceError, DisposedError, OutOfMemoryError } from '../errors.js';
import type { AnyEntry, GpuCaps, GpuPlan, TensorSpec } from '../ops/spec.js';
import { pause } from '../platform/runtime.js';
import { Backend, type Command, type NumArray, type Storage, type Tensor } from './backend.js';

interface GpuStorage extends Storage {
  buffer: GPUBuffer;
}

interface Dispatch extends Command {
  pipeline: GPUComputePipeline;
  bindings: GPUBindGroup;
  x: number;
  y: number;
  z: number;
}
interface Clear extends Command {
  clear: GPUBuffer;
  offset: number;
  length: number;
}
type GpuCommand = Dispatch | Clear;

/** Commands per submit: enough to amortise it, few enough that the GPU starts early. */
const BATCH = 256;

/** Bytes of buffers kept for reuse, unless more than that is in use. */
const SPARE = 256 * 2 ** 20;

/** Uniform buffers kept; the sampling options of a call are among their values, so there is no end of different ones. */
const PARAMS = 4096;

export class WebGpuBackend extends Backend<GpuStorage, GpuCommand> {
  readonly name = 'webgpu';
  readonly description: string;
  readonly caps: GpuCaps;
  /** Dispatches encoded so far. */
  dispatches = 0;
  private readonly pipelines = new Map<string, GPUComputePipeline>();
  private readonly layouts = new Map<string, GPUBindGroupLayout>();
  private readonly params = new Map<string, GPUBuffer>();
  private readonly dummies: GPUBuffer[] = [];
  private readonly spare = new Map<number, GPUBuffer[]>();
  private spareBytes = 0;
  private pending: GpuCommand[] = [];
  /** Ends the waits for the device; a lost one need not answer. */
  private readonly waiting = new Set<(error: AimError) => void>();

  /** @param owned whether `dispose` destroys the device; an injected one stays the caller's. */
  constructor(
    readonly device: GPUDevice,
    adapterInfo: GPUAdapterInfo | undefined = device.adapterInfo,
    private readonly owned = true,
  ) {
    super();
    this.description = `webgpu (${describeAdapter(adapterInfo)})`;
    this.caps = {
      features: device.features as ReadonlySet<string>,
      maxWorkgroupStorage: device.limits.maxComputeWorkgroupStorageSize,
      maxInvocations: Math.min(device.limits.maxComputeInvocationsPerWorkgroup, device.limits.maxComputeWorkgroupSizeX),
      subgroupMinSize: adapterInfo?.subgroupMinSize ?? 0,
    };
    device.addEventListener('uncapturederror', this.onError);
    void device.lost.then((info) => {
      if (this.disposed) return;
      this.lost = true;
      this.failure = new DeviceError(`the WebGPU device was lost (${info.message || info.reason}); create the model again.`);
      this.giveUp(this.failure);
    });
  }

  private readonly onError = (event: GPUUncapturedErrorEvent) => {
    event.preventDefault?.();
    const { error } = event;
    this.failure ??=
      typeof GPUOutOfMemoryError !== 'undefined' && error instanceof GPUOutOfMemoryError
        ? new OutOfMemoryError(`the GPU is out of memory (${error.message}); draw fewer images at once or use a smaller model.`)
        : /out of memory/i.test(error.message)
          ? new OutOfMemoryError(`the GPU is out of memory; draw fewer images at once or use a smaller model.`)
          : new DeviceError(`WebGPU refused a command: ${error.message}`);
  };

  execute(commands: readonly GpuCommand[]): void {
    for (const c of commands) this.pending.push(c);
    if (this.pending.length >= BATCH) this.flush();
  }

  /** Submits what is encoded so far, so that the GPU starts on it. */
  flush(): void {
    if (this.pending.length === 0) return;
    const encoder = this.device.createCommandEncoder();
    let pass: GPUComputePassEncoder | undefined;
    for (const c of this.pending) {
      if ('clear' in c) {
        pass?.end();
        pass = undefined;
        encoder.clearBuffer(c.clear, c.offset, c.length);
        continue;
      }
      pass ??= encoder.beginComputePass();
      pass.setPipeline(c.pipeline);
      pass.setBindGroup(0, c.bindings);
      pass.dispatchWorkgroups(c.x, c.y, c.z);
    }
    pass?.end();
    this.dispatches += this.pending.length;
    this.pending = [];
    this.device.queue.submit([encoder.finish()]);
  }

  async settle(): Promise<void> {
    this.assertLive();
    this.flush();
    await this.guard(this.device.queue.onSubmittedWorkDone());
  }

  protected allocate(bytes: number, shape: readonly number[]): GpuStorage {
    const { maxStorageBufferBindingSize, maxBufferSize } = this.device.limits;
    if (bytes > maxStorageBufferBindingSize || bytes > maxBufferSize)
      throw new OutOfMemoryError(
        `a tensor of [${shape.join(', ')}] needs ${mib(bytes)} but this GPU device binds at most ` +
          `${mib(Math.min(maxStorageBufferBindingSize, maxBufferSize))}; draw fewer images at once or use device 'wasm'.`,
      );
    let buffer = this.spare.get(bytes)?.pop();
    if (buffer) this.spareBytes -= bytes;
    else buffer = this.device.createBuffer({ size: bytes, usage: GPU_STORAGE | GPU_COPY_SRC | GPU_COPY_DST });
    return { bytes, released: false, buffer };
  }

  protected release(s: GpuStorage): void {
    const list = this.spare.get(s.bytes);
    if (list) list.push(s.buffer);
    else this.spare.set(s.bytes, [s.buffer]);
    this.spareBytes += s.bytes;
    // Those of shapes long gone are among them, so none is worth more than another.
    if (this.spareBytes > Math.max(SPARE, this.bytes)) this.trim();
  }

  /** Destroys buffers kept for reuse. */
  trim(): void {
    this.flush();
    for (const list of this.spare.values()) for (const b of list) b.destroy();
    this.spare.clear();
    this.spareBytes = 0;
  }

  protected prepare(
    e: AnyEntry,
    tensors: Record<string, Tensor | undefined>,
    dims: Record<string, number>,
    flops: number,
  ): Dispatch {
    const plan = e.webgpu(dims, this.caps);
    const layout = this.layout(e);
    const entries: GPUBindGroupEntry[] = [{ binding: 0, resource: { buffer: this.paramsBuffer(e, tensors, dims) } }];
    e.names.forEach((name, i) => {
      const t = tensors[name];
      const resource = t
        ? { buffer: (t.storage as GpuStorage).buffer, offset: t.offset * 4, size: bound(t) }
        : { buffer: this.dummy(i) };
      entries.push({ binding: i + 1, resource });
    });
    const [x, y = 1, z = 1] = plan.workgroups;
    return {
      key: e.key,
      flops,
      pipeline: this.pipeline(e, plan, layout),
      bindings: this.device.createBindGroup({ layout, entries }),
      x,
      y,
      z,
    };
  }

  protected prepareZero(t: Tensor): Clear {
    return { key: 'zero', flops: 0, clear: (t.storage as GpuStorage).buffer, offset: t.offset * 4, length: t.size * 4 };
  }

  protected upload(t: Tensor, data: NumArray, offset: number): void {
    this.flush();
    const values = data instanceof Float64Array ? Float32Array.from(data) : data;
    this.device.queue.writeBuffer(
      (t.storage as GpuStorage).buffer,
      (t.offset + offset) * 4,
      values.buffer as ArrayBuffer,
      values.byteOffset,
      values.byteLength,
    );
  }

  protected async download(t: Tensor): Promise<NumArray> {
    this.flush();
    const bytes = t.size * 4;
    const staging = this.device.createBuffer({ size: bytes, usage: GPU_MAP_READ | GPU_COPY_DST });
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer((t.storage as GpuStorage).buffer, t.offset * 4, staging, 0, bytes);
    this.device.queue.submit([encoder.finish()]);
    try {
      await this.guard(staging.mapAsync(GPU_MAP_MODE_READ));
      const copy = staging.getMappedRange().slice(0);
      return t.dtype === 'u32' ? new Uint32Array(copy) : new Float32Array(copy);
    } finally {
      staging.destroy();
    }
  }

  protected destroy(): void {
    this.pending = [];
    this.giveUp(new DisposedError(`the ${this.name} backend`));
    this.device.removeEventListener('uncapturederror', this.onError);
    if (this.owned) {
      this.device.destroy();
      return;
    }
    this.trim();
    for (const b of [...this.params.values(), ...this.dummies]) b?.destroy();
  }

  /** Awaits GPU work; a lost device, a refused command and disposal end the wait with a typed error, whatever the work does. */
  private async guard(work: Promise<unknown>): Promise<void> {
    let end: ((error: AimError) => void) | undefined;
    try {
      await new Promise((resolve, reject) => {
        end = reject;
        this.waiting.add(reject);
        work.then(resolve, reject);
      });
    } catch (error) {
      if (error instanceof AimError) throw error;
      // Work may fail before the device tells that it was lost.
      await pause();
      throw this.failure ?? new DeviceError(`WebGPU work failed: ${(error as Error).message}`, { cause: error });
    } finally {
      this.waiting.delete(end!);
    }
    if (this.failure) throw this.failure;
  }

  private giveUp(error: AimError): void {
    for (const end of this.waiting) end(error);
  }

  private layout(e: AnyEntry): GPUBindGroupLayout {
    let layout = this.layouts.get(e.key);
    if (!layout) {
      const entries: GPUBindGroupLayoutEntry[] = [{ binding: 0, visibility: GPU_COMPUTE, buffer: { type: 'uniform' } }];
      e.names.forEach((name, i) => {
        const type = e.tensors[name].io === 'in' ? 'read-only-storage' : 'storage';
        entries.push({ binding: i + 1, visibility: GPU_COMPUTE, buffer: { type } });
      });
      layout = this.device.createBindGroupLayout({ label: e.key, entries });
      this.layouts.set(e.key, layout);
    }
    return layout;
  }

  private pipeline(e: AnyEntry, plan: GpuPlan, layout: GPUBindGroupLayout): GPUComputePipeline {
    const name = plan.entry ?? e.entry;
    const key = `${e.op}.${name} ${JSON.stringify([plan.constants, plan.vec4])}`;
    let pipeline = this.pipelines.get(key);
    if (!pipeline) {
      const module = this.device.createShaderModule({ label: key, code: shaderCode(e, name, plan) });
      pipeline = this.device.createComputePipeline({
        label: key,
        layout: this.device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: name },
      });
      this.pipelines.set(key, pipeline);
    }
    return pipeline;
  }

  /** Uniforms never change once written, so equal ones are shared. */
  private paramsBuffer(e: AnyEntry, tensors: Record<string, Tensor | undefined>, dims: Record<string, number>): GPUBuffer {
    const names = [...e.dimNames, ...e.attrNames];
    const optional = e.names.filter((n) => e.tensors[n].optional);
    const data = new DataView(new ArrayBuffer(Math.max(16, Math.ceil((names.length + optional.length) / 4) * 16)));
    names.forEach((n, i) => {
      if (e.attrs?.[n] === 'f32') data.setFloat32(i * 4, dims[n]!, true);
      else data.setUint32(i * 4, dims[n]!, true);
    });
    optional.forEach((n, i) => {
      data.setUint32((names.length + i) * 4, tensors[n] ? 1 : 0, true);
    });
    const key = String.fromCharCode(...new Uint16Array(data.buffer));
    let buffer = this.params.get(key);
    if (!buffer) {
      buffer = this.device.createBuffer({ size: data.byteLength, usage: GPU_UNIFORM | GPU_COPY_DST });
      this.device.queue.writeBuffer(buffer, 0, data.buffer);
      // Recordings may still bind the one that goes, so it is left to the garbage collector.
      if (this.params.size === PARAMS) this.params.delete(this.params.keys().next().value!);
      this.params.set(key, buffer);
    }
    return buffer;
  }

  /** A buffer to bind where an optional tensor is left out; one per slot, since a buffer may be writable only once a dispatch. */
  private dummy(slot: number): GPUBuffer {
    this.dummies[slot] ??= this.device.createBuffer({ size: 16, usage: GPU_STORAGE });
    return this.dummies[slot];
  }
}

/** The shader text of one entry: constants, parameters and bindings from the spec, then the file's shared part and section. */
export function shaderCode(e: AnyEntry, name: string, plan: GpuPlan): string {
  const sections = e.shader.split(/^\/\/ @entry (\w+)\s*$/m);
  const at = sections.indexOf(name, 1);
  if (at < 0 || at % 2 === 0) throw new Error(`shaders/${e.op}.wgsl has no section "// @entry ${name}"`);
  const constants = Object.entries(plan.constants ?? {}).map(([k, v]) => (v === undefined ? '' : `const ${k}: u32 = ${v}u;`));
  const fields = [
    ...e.dimNames.map((n) => `${n}: u32,`),
    ...e.attrNames.map((n) => `${n}: ${e.attrs[n]},`),
    ...e.names.filter((n) => e.tensors[n].optional).map((n) => `has_${n}: u32,`),
  ];
  const bindings = e.names.map((n, i) => {
    const t = e.tensors[n] as TensorSpec;
    const element = plan.vec4?.includes(n) ? `vec4<${t.dtype ?? 'f32'}>` : (t.dtype ?? 'f32');
    return `@group(0) @binding(${i + 1}) var<storage, ${t.io === 'in' ? 'read' : 'read_write'}> ${n}: array<${element}>;`;
  });
  return [
    ...constants,
    `struct Params { ${fields.join(' ')} }`,
    '@group(0) @binding(0) var<uniform> params: Params;',
    ...bindings,
    'fn flat(at: vec3u, n: vec3u) -> u32 { return at.x + n.x * (at.y + n.y * at.z); }',
    sections[0],
    sections[at + 1],
  ].join('\n');
}

export function describeAdapter(info: GPUAdapterInfo | undefined): string {
  if (!info) return 'unknown adapter';
  return info.description || [info.vendor, info.architecture, info.device].filter(Boolean).join(' ') || 'unnamed adapter';
}

/** Bytes to bind: whole vectors of four, which allocations are rounded to. */
const bound = (t: Tensor) => Math.ceil(t.size / 4) * 16;

const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

// The WebGPU flag namespaces are globals in browsers and Deno only; their values are fixed by the specification.
const GPU_MAP_READ = 0x1;
const GPU_COPY_SRC = 0x4;
const GPU_COPY_DST = 0x8;
const GPU_UNIFORM = 0x40;
const GPU_STORAGE = 0x80;
const GPU_MAP_MODE_READ = 0x1;
const GPU_COMPUTE = 0x4;

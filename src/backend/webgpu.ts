/** WebGPU: each op entry is a compute pipeline; commands are encoded in order into shared passes. */
import { AimError, DeviceError, DisposedError, OutOfMemoryError } from '../core/errors.js';
import { floatsToHalves, halvesToFloats } from '../core/half.js';
import { BYTES, type NumArray, type Storage, type Tensor } from '../core/tensor.js';
import type { AnyEntry, GpuCaps, GpuPass, GpuPlan, TensorSpec } from '../ops/spec.js';
import { hasHalfTiles } from '../ops/tile.js';
import { Backend, type Command, type Cost, type Profile } from './backend.js';
import {
  GPU_COMPUTE,
  GPU_COPY_DST,
  GPU_COPY_SRC,
  GPU_MAP_MODE_READ,
  GPU_MAP_READ,
  GPU_STORAGE,
  GPU_UNIFORM,
} from './gpu_flags.js';
import { GpuProfiler } from './gpu_profile.js';
import { findSeries, type Place, type Placed, reach, seriesCode } from './gpu_series.js';
import { Tuning } from './tuning.js';

interface GpuStorage extends Storage {
  buffer: GPUBuffer;
}

interface Dispatch extends Command, Placed {
  readonly e: AnyEntry;
  readonly half: ReadonlySet<string>;
  readonly bindings: readonly Binding[];
  readonly params: GPUBuffer;
  /** Workgroups. */
  x: number;
  readonly y: number;
  readonly z: number;
  made?: Made;
}
/** What a launch sets before it. */
interface Made {
  pipeline: GPUComputePipeline;
  slot: number;
  group: GPUBindGroup;
}
interface Clear extends Command {
  clear: GPUBuffer;
  offset: number;
  length: number;
}
type GpuCommand = Dispatch | Clear;

/** Of the passes of an entry after the first, which stands for all. */
const NO_COST: Cost = { flops: 0, bytes: 0 };

/** Commands per submit: after a read, when the GPU has nothing to do, few, so that it starts early; then enough to amortise it. */
const FIRST_BATCH = 16;
const BATCH = 256;

/** Bytes of buffers kept for reuse, unless more than that is in use. */
const SPARE = 256 * 2 ** 20;

/** How long after its work failed a device may take to tell that it was lost, ms. */
const LOSS_MS = 500;

/** Bytes of a buffer that stands for a tensor left out. */
const DUMMY = 16;

/** Uniform buffers kept; the sampling options of a call are among their values, so there is no end of different ones. */
const PARAMS = 1024;

export class WebGpuBackend extends Backend<GpuStorage, GpuCommand> {
  readonly name = 'webgpu';
  override readonly halves = true;
  override readonly asynchronous = true;
  override readonly defaultBatch = 64;
  override get replaceable(): boolean {
    return this.owned;
  }
  readonly description: string;
  readonly caps: GpuCaps;
  /** The launches measured to be the fastest here, and those that could be measured. */
  readonly tuning = new Tuning();
  /** Dispatches encoded so far. */
  dispatches = 0;
  private readonly pipelines = new Map<string, GPUComputePipeline>();
  private readonly layouts = new Map<string, GPUBindGroupLayout>();
  private readonly params = new Map<string, GPUBuffer>();
  private readonly dummies: GPUBuffer[] = [];
  /** Of tensors, in use or spare. */
  private readonly buffers = new Set<GPUBuffer>();
  private readonly spare = new Map<number, GPUBuffer[]>();
  private spareBytes = 0;
  private pending: GpuCommand[] = [];
  private batch = FIRST_BATCH;
  /** Ends the waits for the device; a lost one need not answer. */
  private readonly waiting = new Set<(error: AimError) => void>();
  private profiler: GpuProfiler | undefined;
  /** Whether pipelines may leave the bind groups of lower slots alone, as series want. */
  private slots = false;

  /**
   * @param owned whether `dispose` destroys the device; an injected one stays the caller's.
   * @param products 'f16' lets matrix products round their factors to f16, where the device is faster at it.
   */
  constructor(
    readonly device: GPUDevice,
    adapterInfo: GPUAdapterInfo | undefined = device.adapterInfo,
    private readonly owned = true,
    products: GpuCaps['products'] = 'f32',
  ) {
    super();
    this.description = `webgpu (${describeAdapter(adapterInfo)})`;
    this.caps = {
      features: device.features as ReadonlySet<string>,
      maxWorkgroupStorage: device.limits.maxComputeWorkgroupStorageSize,
      maxStorageBuffers: device.limits.maxStorageBuffersPerShaderStage,
      maxInvocations: Math.min(device.limits.maxComputeInvocationsPerWorkgroup, device.limits.maxComputeWorkgroupSizeX),
      subgroupMinSize: adapterInfo?.subgroupMinSize ?? 0,
      subgroupMaxSize: adapterInfo?.subgroupMaxSize ?? 0,
      matrices: hasMatrices(device, adapterInfo),
      products,
      choose: (_name, _candidates, usual) => usual,
    };
    device.addEventListener('uncapturederror', this.onError);
    this.trySlots();
    // A device of the caller's may outlive many backends: its promise must not keep them.
    const self = new WeakRef(this);
    void device.lost.then((info) => self.deref()?.onLost(info));
  }

  /** Not all implementations have pipeline layouts with a gap yet. */
  private trySlots(): void {
    const { device } = this;
    device.pushErrorScope('validation');
    let taken = true;
    try {
      device.createPipelineLayout({ bindGroupLayouts: [null, this.layout([])] });
    } catch {
      taken = false;
    }
    void device.popErrorScope().then(
      (error) => {
        this.slots = taken && !error;
      },
      () => {},
    );
  }

  private onLost({ message, reason }: GPUDeviceLostInfo): void {
    if (this.disposed) return;
    this.lost = true;
    this.failure = new DeviceError(`the WebGPU device was lost (${message || reason}); create the model again.`);
    this.giveUp(this.failure);
  }

  private readonly onError = (event: GPUUncapturedErrorEvent) => {
    event.preventDefault?.();
    const { error } = event;
    // Node has no such global class to compare with, and drivers word it their own way.
    const exhausted = error.constructor.name === 'GPUOutOfMemoryError' || /out[ _]of[ _](\w+[ _])?memory/i.test(error.message);
    const [reason] = error.message.split('\n');
    this.failure ??= exhausted
      ? new OutOfMemoryError(`the GPU is out of memory (${reason}); draw fewer images at once or use a smaller model.`)
      : new DeviceError(`WebGPU refused a command: ${error.message}`);
  };

  override get rounds(): boolean {
    return this.caps.products === 'f16';
  }
  override get halfProducts(): boolean {
    return hasHalfTiles(this.caps);
  }
  /** A large GPU wants 192 tiles of 128 × 128 at once, which AiM-B's head has of 4096 rows. */
  override get portion(): number {
    return Math.min(2 ** 28, this.largest);
  }
  /** Bytes that a tensor may have. */
  private get largest(): number {
    const { maxStorageBufferBindingSize, maxBufferSize } = this.device.limits;
    return Math.min(maxStorageBufferBindingSize, maxBufferSize);
  }

  execute(commands: readonly GpuCommand[]): void {
    for (const c of commands) this.pending.push(c);
    if (this.pending.length < this.batch) return;
    this.flush();
    this.batch = Math.min(BATCH, 2 * this.batch);
  }

  /** Submits what is encoded so far, so that the GPU starts on it. */
  flush(): void {
    if (this.pending.length === 0) return;
    this.dispatches += this.pending.length;
    if (this.profiler) {
      this.flushTimed(this.profiler);
      return;
    }
    const commands = this.encode(this.pending);
    this.pending = [];
    this.device.queue.submit([commands]);
  }

  /** @internal */
  encode(commands: Iterable<GpuCommand>): GPUCommandBuffer {
    const encoder = this.device.createCommandEncoder();
    let pass: GPUComputePassEncoder | undefined;
    let launch: ReturnType<typeof launcher> | undefined;
    for (const c of commands) {
      if ('clear' in c) {
        pass?.end();
        pass = launch = undefined;
        encoder.clearBuffer(c.clear, c.offset, c.length);
        continue;
      }
      pass ??= encoder.beginComputePass();
      launch ??= launcher(pass);
      launch(c);
    }
    pass?.end();
    return encoder.finish();
  }

  async profile(fn: () => Promise<unknown>): Promise<Profile> {
    this.flush();
    const profiler = new GpuProfiler(this.device);
    this.profiler = profiler;
    try {
      await fn();
      await this.settle();
    } finally {
      this.profiler = undefined;
    }
    return profiler.done();
  }

  private flushTimed(profiler: GpuProfiler): void {
    const { pending } = this;
    this.pending = [];
    for (let i = 0; i < pending.length; ) {
      const encoder = this.device.createCommandEncoder();
      for (; i < pending.length && !profiler.full; i++) {
        const c = pending[i]!;
        if ('clear' in c) {
          encoder.clearBuffer(c.clear, c.offset, c.length);
          continue;
        }
        const pass = profiler.pass(encoder, c);
        launcher(pass)(c);
        pass.end();
      }
      const collect = profiler.resolve(encoder);
      this.device.queue.submit([encoder.finish()]);
      collect();
    }
  }

  async settle(): Promise<void> {
    this.assertLive();
    this.flush();
    this.trim();
    await this.guard(this.device.queue.onSubmittedWorkDone());
  }

  protected allocate(bytes: number, shape: readonly number[]): GpuStorage {
    const { largest } = this;
    if (bytes > largest)
      throw new OutOfMemoryError(
        `a tensor of [${shape.join(', ')}] needs ${mib(bytes)} but this GPU device binds at most ` +
          `${mib(largest)}; draw fewer images at once or use device 'wasm'.`,
      );
    let buffer = this.spare.get(bytes)?.pop();
    if (buffer) this.spareBytes -= bytes;
    else {
      buffer = this.device.createBuffer({ size: bytes, usage: GPU_STORAGE | GPU_COPY_SRC | GPU_COPY_DST });
      this.buffers.add(buffer);
    }
    return { bytes, released: false, buffer };
  }

  protected release(s: GpuStorage): void {
    const list = this.spare.get(s.bytes);
    if (list) list.push(s.buffer);
    else this.spare.set(s.bytes, [s.buffer]);
    this.spareBytes += s.bytes;
  }

  /** Destroys buffers kept for reuse when they are too many; those of shapes long gone are among them. All work is submitted. */
  private trim(): void {
    if (this.spareBytes <= Math.max(SPARE, this.bytes)) return;
    for (const b of [...this.spare.values()].flat()) {
      b.destroy();
      this.buffers.delete(b);
    }
    this.spare.clear();
    this.spareBytes = 0;
  }

  protected prepare(
    e: AnyEntry,
    tensors: Record<string, Tensor | undefined>,
    dims: Record<string, number>,
    cost: Cost,
  ): Dispatch[] {
    const half = halvesOf(e, tensors);
    const plan = this.plan(e, tensors, dims, half)!;
    if (!('passes' in plan)) return [this.dispatch(e, plan, e.key, tensors, dims, half, cost)];
    const workspaces = Object.fromEntries(Object.entries(plan.workspaces).map(([name, size]) => [name, this.tensor([size])]));
    const all = { ...tensors, ...workspaces };
    const dispatches = plan.passes.map((pass, i) =>
      this.dispatch(e, pass, `${e.key}/${pass.entry}`, all, dims, half, i === 0 ? cost : NO_COST),
    );
    // Work is done in order, so what comes after may have the memory.
    this.free(...Object.values(workspaces));
    return dispatches;
  }

  private plan(
    e: AnyEntry,
    tensors: Record<string, Tensor | undefined>,
    dims: Record<string, number>,
    half: ReadonlySet<string>,
  ): GpuPlan | undefined {
    return e.webgpu(dims, { ...this.caps, choose: this.tuning.chooser(e, tensors, dims) }, half);
  }

  private dispatch(
    e: AnyEntry,
    pass: GpuPass,
    key: string,
    tensors: Record<string, Tensor | undefined>,
    dims: Record<string, number>,
    half: ReadonlySet<string>,
    cost: Cost,
  ): Dispatch {
    const bindings = bindingsOf(e, pass);
    const places = bindings.map(({ name }, i) => {
      const t = tensors[name];
      return t
        ? { buffer: (t.storage as GpuStorage).buffer, offset: t.offset * BYTES[t.dtype], size: bound(t) }
        : { buffer: this.dummy(i), offset: 0, size: DUMMY };
    });
    const params = this.paramsBuffer(e, tensors, dims);
    const [x, y = 1, z = 1] = pass.workgroups;
    const kind = pass.spaced ? `${kernel(e, pass, half)} ${Object.values(dims)} ${[x, y, z]}` : '';
    return { key, ...cost, e, pass, half, kind, bindings, places, params, x, y, z };
  }

  protected override finish(commands: readonly GpuCommand[]): void {
    const launches = commands.map((c) => ('clear' in c ? undefined : c));
    const { maxStorageBufferBindingSize } = this.device.limits;
    const all = this.slots && commands.length > 1 ? findSeries(launches, maxStorageBufferBindingSize) : [];
    for (const { members, steps, slot } of all) {
      const [first, last] = [launches[members[0]!]!, launches[members.at(-1)!]!];
      const made = this.make(first, reach(first, last), { slot, steps: steps! });
      members.forEach((at, i) => {
        launches[at]!.x += i;
        launches[at]!.made = made;
      });
    }
    for (const launch of launches) if (launch) launch.made ??= this.make(launch, launch.places);
  }

  private make(launch: Dispatch, places: readonly Place[], series?: { slot: number; steps: readonly number[] }): Made {
    const { bindings, params } = launch;
    const layout = this.layout(bindings);
    const entries = [{ buffer: params }, ...places].map((resource, binding) => ({ binding, resource }));
    return {
      pipeline: this.pipeline(launch, layout, series),
      slot: series?.slot ?? 0,
      group: this.device.createBindGroup({ layout, entries }),
    };
  }

  protected override fuses(e: AnyEntry, tensors: Record<string, Tensor | undefined>, dims: Record<string, number>): boolean {
    if (e.names.some((n) => e.tensors[n].between && tensors[n])) return false;
    const plan = this.plan(e, tensors, dims, halvesOf(e, tensors));
    if (!plan) return false;
    const passes = 'passes' in plan ? plan.passes : [plan];
    return passes.every((pass) => bindingsOf(e, pass).length <= this.caps.maxStorageBuffers);
  }

  protected prepareZero(t: Tensor): Clear {
    return {
      key: 'zero',
      flops: 0,
      bytes: t.size * BYTES[t.dtype],
      clear: (t.storage as GpuStorage).buffer,
      offset: t.offset * BYTES[t.dtype],
      length: Math.ceil((t.size * BYTES[t.dtype]) / 4) * 4,
    };
  }

  protected upload(t: Tensor, data: NumArray, offset: number): void {
    this.flush();
    const values = t.dtype === 'f16' ? halves(data) : data instanceof Float64Array ? Float32Array.from(data) : data;
    this.device.queue.writeBuffer(
      (t.storage as GpuStorage).buffer,
      (t.offset + offset) * BYTES[t.dtype],
      values.buffer as ArrayBuffer,
      values.byteOffset,
      values.byteLength,
    );
  }

  protected async download(t: Tensor): Promise<NumArray> {
    this.flush();
    this.trim();
    this.batch = FIRST_BATCH;
    const bytes = bound(t);
    const staging = this.device.createBuffer({ size: bytes, usage: GPU_MAP_READ | GPU_COPY_DST });
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer((t.storage as GpuStorage).buffer, t.offset * BYTES[t.dtype], staging, 0, bytes);
    this.device.queue.submit([encoder.finish()]);
    try {
      await this.guard(staging.mapAsync(GPU_MAP_MODE_READ));
      const copy = staging.getMappedRange().slice(0, t.size * BYTES[t.dtype]);
      if (t.dtype === 'f16') return halvesToFloats(new Uint16Array(copy));
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
    for (const b of [...this.buffers, ...this.params.values(), ...this.dummies]) b?.destroy();
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
      await Promise.race([this.device.lost, new Promise((resolve) => setTimeout(resolve, LOSS_MS))]);
      throw this.failure ?? new DeviceError(`WebGPU work failed: ${(error as Error).message}`, { cause: error });
    } finally {
      this.waiting.delete(end!);
    }
    if (this.failure) throw this.failure;
  }

  private giveUp(error: AimError): void {
    for (const end of this.waiting) end(error);
  }

  private layout(bindings: readonly Binding[]): GPUBindGroupLayout {
    const key = bindings.map((b) => (b.writable ? 'w' : 'r')).join('');
    let layout = this.layouts.get(key);
    if (!layout) {
      const entries: GPUBindGroupLayoutEntry[] = [{ binding: 0, visibility: GPU_COMPUTE, buffer: { type: 'uniform' } }];
      bindings.forEach(({ writable }, i) => {
        entries.push({ binding: i + 1, visibility: GPU_COMPUTE, buffer: { type: writable ? 'storage' : 'read-only-storage' } });
      });
      layout = this.device.createBindGroupLayout({ label: key, entries });
      this.layouts.set(key, layout);
    }
    return layout;
  }

  private pipeline(
    { e, pass, half, bindings, x }: Dispatch,
    layout: GPUBindGroupLayout,
    series?: { slot: number; steps: readonly number[] },
  ): GPUComputePipeline {
    const key = kernel(e, pass, half) + (series ? ` series ${[series.slot, x, ...series.steps]}` : '');
    let pipeline = this.pipelines.get(key);
    if (!pipeline) {
      const name = pass.entry ?? e.entry;
      let code = shaderCode(e, name, pass, half);
      if (series) {
        const steps = bindings.map(({ name: n }, i) => [n, series.steps[i]! / bytesOf(elementOf(e, pass, half, n))] as const);
        code = seriesCode(code, series.slot, x, Object.fromEntries(steps));
      }
      const bindGroupLayouts = [...Array(series?.slot ?? 0).fill(null), layout];
      pipeline = this.device.createComputePipeline({
        label: key,
        layout: this.device.createPipelineLayout({ bindGroupLayouts }),
        compute: { module: this.device.createShaderModule({ label: key, code }), entryPoint: series ? 'series' : name },
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
    this.dummies[slot] ??= this.device.createBuffer({ size: DUMMY, usage: GPU_STORAGE });
    return this.dummies[slot];
  }
}

/** Launches into a pass, which keeps what is set until it is set anew. */
function launcher(pass: GPUComputePassEncoder): (launch: Dispatch) => void {
  const groups: GPUBindGroup[] = [];
  let set: GPUComputePipeline | undefined;
  return ({ made, x, y, z }) => {
    const { pipeline, slot, group } = made!;
    if (set !== pipeline) pass.setPipeline(pipeline);
    if (groups[slot] !== group) pass.setBindGroup(slot, group);
    pass.dispatchWorkgroups(x, y, z);
    set = pipeline;
    groups[slot] = group;
  };
}

interface Binding {
  name: string;
  writable: boolean;
}

/** Names a pass's shader. */
function kernel(
  e: AnyEntry,
  { entry, include, sections, constants, vec4, elements, reads, writes }: GpuPass,
  half: ReadonlySet<string>,
) {
  return `${e.op}.${entry ?? e.entry} ${JSON.stringify([constants, vec4, elements, reads, writes, sections, [...half], include])}`;
}

/** WGSL type of a binding's elements. */
function elementOf(e: AnyEntry, { elements, vec4 }: GpuPass, half: ReadonlySet<string>, name: string): string {
  const scalar = half.has(name) ? 'u32' : ((e.tensors[name] as TensorSpec | undefined)?.dtype ?? 'f32');
  const vector = half.has(name) ? 'vec2<u32>' : `vec4<${scalar}>`;
  return elements?.[name] ?? (vec4?.includes(name) ? vector : scalar);
}

const bytesOf = (element: string) => 4 * Number(/^vec(\d)/.exec(element)?.[1] ?? 1);

/** What a pass binds, in order: the tensors and workspaces it names, else all of the entry's tensors that kernels bind. */
function bindingsOf(e: AnyEntry, { reads, writes }: GpuPass): Binding[] {
  if (!reads && !writes)
    return e.names.filter((n) => !e.tensors[n].between).map((name) => ({ name, writable: e.tensors[name].io !== 'in' }));
  const of = (names: string[] | undefined, writable: boolean) => (names ?? []).map((name) => ({ name, writable }));
  return [...of(reads, false), ...of(writes, true)];
}

/**
 * The shader text of one pass: constants, parameters and bindings from the spec, then the file's shared part, what the plan
 * includes, and its sections.
 * A tensor `w` that may be f16 is read through `w_at(i)`, which knows which it is; it gives element i, or vector i where it is
 * bound in vectors.
 */
export function shaderCode(e: AnyEntry, name: string, plan: GpuPass, half: ReadonlySet<string> = new Set()): string {
  const sections = e.shader.split(/^\/\/ @entry (\w+)\s*$/m);
  const section = (wanted: string) => {
    const at = sections.indexOf(wanted, 1);
    if (at < 0 || at % 2 === 0) throw new Error(`shaders/${e.op}.wgsl has no section "// @entry ${wanted}"`);
    return sections[at + 1];
  };
  const constants = Object.entries(plan.constants ?? {}).map(([k, v]) => (v === undefined ? '' : `const ${k}: u32 = ${v}u;`));
  const fields = [
    ...e.dimNames.map((n) => `${n}: u32,`),
    ...e.attrNames.map((n) => `${n}: ${e.attrs[n]},`),
    ...e.names.filter((n) => e.tensors[n].optional).map((n) => `has_${n}: u32,`),
  ];
  const all = bindingsOf(e, plan);
  const bindings = all.map(({ name: n, writable }, i) => {
    const access = writable ? 'read_write' : 'read';
    return `@group(0) @binding(${i + 1}) var<storage, ${access}> ${n}: array<${elementOf(e, plan, half, n)}>;`;
  });
  const readers = all
    .filter(({ name: n }) => (e.tensors[n] as TensorSpec | undefined)?.half && !plan.elements?.[n])
    .map(({ name: n }) => {
      const vec4 = plan.vec4?.includes(n);
      const value = !half.has(n)
        ? `${n}[i]`
        : vec4
          ? `vec4f(unpack2x16float(${n}[i].x), unpack2x16float(${n}[i].y))`
          : `unpack2x16float(${n}[i / 2u])[i % 2u]`;
      return `fn ${n}_at(i: u32) -> ${vec4 ? 'vec4f' : 'f32'} { return ${value}; }`;
    });
  return [
    ...(plan.enable ?? []).map((extension) => `enable ${extension};`),
    ...constants,
    `struct Params { ${fields.join(' ')} }`,
    '@group(0) @binding(0) var<uniform> params: Params;',
    ...bindings,
    ...readers,
    'fn flat(at: vec3u, n: vec3u) -> u32 { return at.x + n.x * (at.y + n.y * at.z); }',
    sections[0],
    ...(plan.include ?? []),
    ...[...(plan.sections ?? []), name].map(section),
  ].join('\n');
}

export function describeAdapter(info: GPUAdapterInfo | undefined): string {
  if (!info) return 'unknown adapter';
  return info.description || [info.vendor, info.architecture, info.device].filter(Boolean).join(' ') || 'unnamed adapter';
}

/** Bytes to bind: whole vectors of four, which allocations are rounded to. */
const bound = (t: Tensor) => Math.ceil((t.size * BYTES[t.dtype]) / 16) * 16;

/** The tensors of a call that are f16. */
const halvesOf = (e: AnyEntry, tensors: Record<string, Tensor | undefined>): ReadonlySet<string> =>
  new Set(e.names.filter((name) => tensors[name]?.dtype === 'f16'));

/** As halves, with one more where a copy of whole words wants it. */
function halves(data: NumArray): Uint16Array {
  const padded = new Float32Array(data.length + (data.length % 2));
  padded.set(data);
  return floatsToHalves(padded);
}

/** Dawn's experimental subgroup matrices; no other implementation has them yet. */
function hasMatrices(device: GPUDevice, info: GPUAdapterInfo | undefined): boolean {
  type Config = { componentType: string; resultComponentType: string; M: number; N: number; K: number };
  const configs = (info as { subgroupMatrixConfigs?: Config[] } | undefined)?.subgroupMatrixConfigs ?? [];
  return (
    device.features.has('chromium-experimental-subgroup-matrix' as GPUFeatureName) &&
    device.features.has('shader-f16') &&
    configs.some((c) => c.componentType === 'f16' && c.resultComponentType === 'f32' && c.M === 16 && c.N === 16 && c.K === 16)
  );
}

const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

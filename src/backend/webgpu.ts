/** WebGPU: every pass of an op entry is a compute pipeline. Commands are encoded in order into shared passes. */
import { AimError, DeviceError, DisposedError, OutOfMemoryError } from '../core/errors.js';
import { floatsToHalves, halvesToFloats } from '../core/half.js';
import { BYTES, type NumArray, type Tensor } from '../core/tensor.js';
import type { AnyEntry, GpuCaps } from '../ops/spec.js';
import { hasHalfTiles } from '../ops/tile.js';
import { describeAdapter, isSoftware } from './adapter.js';
import { Backend, type Command, type Cost, type Profile, type Traits } from './backend.js';
import { Buffers, DUMMY, type GpuStorage } from './buffers.js';
import { GPU_COPY_DST, GPU_MAP_MODE_READ, GPU_MAP_READ } from './gpu_flags.js';
import type { GpuProfiler } from './gpu_profile.js';
import { allowsGaps, type KernelSource, Pipelines } from './pipelines.js';
import { findSeries, type LaunchPlaces, type Place, reach } from './series.js';
import { Tuning } from './tuning.js';
import type { SeriesLayout } from './wgsl/assemble.js';
import { bindingsOf, bytesOf, kernelKey, kernelOf } from './wgsl/kernel.js';

/** One launch of a kernel. */
interface Dispatch extends Command, LaunchPlaces {
  readonly kernel: KernelSource;
  readonly uniforms: GPUBuffer;
  /** Workgroups along each dimension; x tells the kernel which member of a series it is. */
  x: number;
  readonly y: number;
  readonly z: number;
  setup?: Setup;
}
/** The state to set before a launch. `pipeline` is compiled when first needed, or before by `compile`. */
interface Setup {
  readonly kernel: KernelSource;
  readonly series: SeriesLayout | undefined;
  pipeline?: GPUComputePipeline;
  slot: number;
  group: GPUBindGroup;
}
/** Clears part of a buffer. `offset` and `length` are in bytes. */
interface Clear extends Command {
  clear: GPUBuffer;
  offset: number;
  length: number;
}
type GpuCommand = Dispatch | Clear;

/** Cost of every pass of an entry but the first, which carries the entry's whole cost. */
const NO_COST: Cost = { flops: 0, bytes: 0 };

/** Commands in the first submit after a read: few, because the GPU is idle and should start early. */
const FIRST_BATCH = 16;
/** Commands per submit later: enough to make the cost of a submit negligible. */
const BATCH = 256;

/** Milliseconds that a device may take to report its loss after its work has failed. */
const LOSS_MS = 500;

/** How to use a device. */
export interface WebGpuOptions {
  adapterInfo?: GPUAdapterInfo | undefined;
  /** True if `dispose` destroys the device; the default. A device that the user passes in remains the user's. */
  owned?: boolean;
  /** 'f16' lets matrix products round their factors to f16 where the device computes faster that way. Default 'f32'. */
  products?: GpuCaps['products'];
  /** True if launches may form series (series.ts). They need pipeline layouts with gaps (allowsGaps). Default false. */
  series?: boolean;
}

/** Runs ops as compute passes on a GPUDevice. Created by `create`. */
export class WebGpuBackend extends Backend<GpuStorage, GpuCommand> {
  readonly name = 'webgpu';
  readonly description: string;
  readonly caps: GpuCaps;
  readonly traits: Traits;
  /** The launches that were measured to be fastest on this device, and those that could be measured. */
  readonly tuning = new Tuning();
  /** The number of dispatches encoded so far. */
  dispatches = 0;
  /** @internal */
  readonly pipelines: Pipelines;
  private readonly buffers: Buffers;
  private readonly owned: boolean;
  private readonly series: boolean;
  private pending: GpuCommand[] = [];
  private batch = FIRST_BATCH;
  /** Functions that end a wait with an error; needed because a lost device may never answer. */
  private readonly waiting = new Set<(error: AimError) => void>();
  private profiler: GpuProfiler | undefined;

  constructor(
    readonly device: GPUDevice,
    { adapterInfo = device.adapterInfo, owned = true, products = 'f32', series = false }: WebGpuOptions = {},
  ) {
    super();
    this.owned = owned;
    this.series = series;
    this.buffers = new Buffers(device);
    // Bound, not an arrow function: see reportLoss.
    this.pipelines = new Pipelines(device, this.fail.bind(this));
    this.description = `webgpu (${describeAdapter(adapterInfo)})`;
    this.caps = {
      features: device.features as ReadonlySet<string>,
      maxWorkgroupStorage: device.limits.maxComputeWorkgroupStorageSize,
      maxStorageBuffers: device.limits.maxStorageBuffersPerShaderStage,
      maxInvocations: Math.min(device.limits.maxComputeInvocationsPerWorkgroup, device.limits.maxComputeWorkgroupSizeX),
      subgroupMinSize: adapterInfo?.subgroupMinSize ?? 0,
      subgroupMaxSize: adapterInfo?.subgroupMaxSize ?? 0,
      software: adapterInfo ? isSoftware(adapterInfo) : false,
      matrices: hasMatrices(device, adapterInfo),
      products,
    };
    this.traits = {
      asynchronous: true,
      replaceable: owned,
      defaultBatch: 64,
      halves: true,
      roundsProducts: products === 'f16',
      matrixUnits: hasHalfTiles(this.caps),
      halfActivations: products === 'f16' && this.caps.features.has('shader-f16'),
      // A large GPU needs 192 tiles of 128 × 128 to be busy: 4096 rows of the head of AiM-B.
      chunkBytes: Math.min(2 ** 28, this.buffers.largest),
    };
    device.addEventListener('uncapturederror', this.onError);
    reportLoss(device, new WeakRef(this));
  }

  /** Opens a backend that uses series if the device allows them. */
  static async create(device: GPUDevice, options: WebGpuOptions = {}): Promise<WebGpuBackend> {
    return new WebGpuBackend(device, { ...options, series: await allowsGaps(device) });
  }

  /** @internal */
  onLost({ message, reason }: GPUDeviceLostInfo): void {
    if (this.disposed) return;
    this.lost = true;
    this.failure = new DeviceError(`the WebGPU device was lost (${message || reason}); create the model again.`);
    this.giveUp(this.failure);
  }

  private readonly onError = (event: GPUUncapturedErrorEvent) => {
    event.preventDefault?.();
    const { error } = event;
    // Compare by name: Node has no such global class. Drivers word the message differently.
    const exhausted = error.constructor.name === 'GPUOutOfMemoryError' || /out[ _]of[ _](\w+[ _])?memory/i.test(error.message);
    const [reason] = error.message.split('\n');
    const failure = exhausted
      ? new OutOfMemoryError(`the GPU is out of memory (${reason}); draw fewer images at once or use a smaller model.`)
      : new DeviceError(`WebGPU refused a command: ${error.message}`);
    // A kernel that does not compile causes errors of this kind too, before the compiler reports where its mistake is.
    if (this.pipelines.compiling) void this.pipelines.compiled().then(() => this.fail(failure));
    else this.fail(failure);
  };

  private fail(error: AimError): void {
    this.failure ??= error;
  }

  execute(commands: readonly GpuCommand[]): void {
    for (const c of commands) this.pending.push(c);
    if (this.pending.length < this.batch) return;
    this.flush();
    this.batch = Math.min(BATCH, 2 * this.batch);
  }

  /** Submits the pending commands, so that the GPU starts on them. */
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

  /** @internal Encodes commands without submitting them. */
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
      launch ??= launcher(pass, this.pipelines);
      launch(c);
    }
    pass?.end();
    return encoder.finish();
  }

  async profile(fn: () => Promise<unknown>): Promise<Profile> {
    const { GpuProfiler } = await import('./gpu_profile.js');
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
        launcher(pass, this.pipelines)(c);
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
    this.buffers.trim(this.bytes);
    await this.guard(this.device.queue.onSubmittedWorkDone());
  }

  protected allocate(bytes: number, shape: readonly number[]): GpuStorage {
    return this.buffers.allocate(bytes, shape);
  }

  protected release(s: GpuStorage): void {
    this.buffers.release(s);
  }

  protected prepare(
    e: AnyEntry,
    tensors: Record<string, Tensor | undefined>,
    dims: Record<string, number>,
    cost: Cost,
  ): Dispatch[] | undefined {
    if (e.names.some((n) => e.tensors[n].between && tensors[n])) return undefined;
    const half: ReadonlySet<string> = new Set(e.names.filter((name) => tensors[name]?.dtype === 'f16'));
    const plan = e.webgpu(dims, this.caps, half);
    if (!plan) return undefined;
    const launch = this.tuning.launch(plan, e, tensors, dims);
    const passes = 'passes' in launch ? launch.passes : [launch];
    const kernels = passes.map((pass) => ({ e, pass, half, key: kernelKey(e, pass, half), bindings: bindingsOf(e, pass) }));
    if (e.parts && kernels.some(({ bindings }) => bindings.length > this.caps.maxStorageBuffers)) return undefined;
    const uniforms = this.buffers.uniforms(e, (name) => tensors[name] !== undefined, dims);
    if (!('passes' in launch)) return [this.dispatch(kernels[0]!, e.key, tensors, dims, uniforms, cost)];
    const workspaces = Object.fromEntries(Object.entries(launch.workspaces).map(([name, size]) => [name, this.tensor([size])]));
    const all = { ...tensors, ...workspaces };
    const dispatches = kernels.map((kernel, i) =>
      this.dispatch(kernel, `${e.key}/${kernel.pass.entry}`, all, dims, uniforms, i === 0 ? cost : NO_COST),
    );
    // Commands run in order, so later ones may reuse this memory.
    this.free(...Object.values(workspaces));
    return dispatches;
  }

  private dispatch(
    kernel: KernelSource,
    key: string,
    tensors: Record<string, Tensor | undefined>,
    dims: Record<string, number>,
    uniforms: GPUBuffer,
    cost: Cost,
  ): Dispatch {
    const { pass, bindings } = kernel;
    const places = bindings.map(({ name }, i) => {
      const t = tensors[name];
      return t
        ? { buffer: (t.storage as GpuStorage).buffer, offset: t.offset * BYTES[t.dtype], size: bound(t) }
        : { buffer: this.buffers.dummy(i), offset: 0, size: DUMMY };
    });
    const [x, y = 1, z = 1] = pass.workgroups;
    const kind = pass.series ? `${kernel.key} ${Object.values(dims)} ${[x, y, z]}` : '';
    return { key, ...cost, kernel, pass, kind, places, uniforms, x, y, z };
  }

  protected override finish(commands: readonly GpuCommand[]): void {
    const launches = commands.map((c) => ('clear' in c ? undefined : c));
    const { maxStorageBufferBindingSize } = this.device.limits;
    const all = this.series && commands.length > 1 ? findSeries(launches, maxStorageBufferBindingSize) : [];
    for (const { members, steps, slot } of all) {
      const [first, last] = [launches[members[0]!]!, launches[members.at(-1)!]!];
      const setup = this.setup(first, reach(first, last), { slot, steps: steps! });
      members.forEach((at, i) => {
        launches[at]!.x += i;
        launches[at]!.setup = setup;
      });
    }
    for (const launch of launches) if (launch) launch.setup ??= this.setup(launch, launch.places);
  }

  /**
   * Prepares the state for a launch or, with `series`, for all launches of a series of which this is the first. `steps`: bytes.
   */
  private setup(
    { kernel, uniforms, x }: Dispatch,
    places: readonly Place[],
    series?: { slot: number; steps: readonly number[] },
  ): Setup {
    const entries = [{ buffer: uniforms }, ...places].map((resource, binding) => ({ binding, resource }));
    const elements = ({ slot, steps }: NonNullable<typeof series>) => {
      const { bindings } = kernelOf(kernel.e, kernel.pass, kernel.half);
      return { slot, x, steps: bindings.map(({ element }, i) => steps[i]! / bytesOf(element)) };
    };
    return {
      kernel,
      series: series && elements(series),
      slot: series?.slot ?? 0,
      group: this.device.createBindGroup({ layout: this.pipelines.layout(kernel.bindings), entries }),
    };
  }

  override async compile(commands: readonly GpuCommand[]): Promise<void> {
    const setups = commands.flatMap((c) => ('clear' in c || c.setup!.pipeline ? [] : [c.setup!]));
    if (setups.length) await this.guard(Promise.all(setups.map((s) => this.pipelines.prepare(s.kernel, s.series))));
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
    this.buffers.trim(this.bytes);
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
    if (this.owned) this.device.destroy();
    else this.buffers.destroy();
  }

  /** Awaits GPU work. A lost device, a refused command and disposal end the wait with a typed error, whatever the work does. */
  private async guard(work: Promise<unknown>): Promise<void> {
    let end: ((error: AimError) => void) | undefined;
    try {
      await new Promise((resolve, reject) => {
        end = reject;
        this.waiting.add(reject);
        work.then(() => this.pipelines.compiled()).then(resolve, reject);
      });
    } catch (error) {
      if (error instanceof AimError) throw error;
      // Work may fail before the device reports its loss: wait a moment for the report.
      await Promise.race([this.device.lost, new Promise((resolve) => setTimeout(resolve, LOSS_MS))]);
      throw this.failure ?? new DeviceError(`WebGPU work failed: ${(error as Error).message}`, { cause: error });
    } finally {
      this.waiting.delete(end!);
    }
    if (this.failure) throw this.failure;
  }

  /** Ends all waits with an error. */
  private giveUp(error: AimError): void {
    for (const end of this.waiting) end(error);
  }
}

/** Returns a function that encodes launches into `pass` and skips redundant setPipeline and setBindGroup calls. */
function launcher(pass: GPUComputePassEncoder, pipelines: Pipelines): (launch: Dispatch) => void {
  const groups: GPUBindGroup[] = [];
  let set: GPUComputePipeline | undefined;
  return ({ setup, x, y, z }) => {
    const { slot, group, kernel, series } = setup!;
    const pipeline = (setup!.pipeline ??= pipelines.pipeline(kernel, series));
    if (set !== pipeline) pass.setPipeline(pipeline);
    if (groups[slot] !== group) pass.setBindGroup(slot, group);
    pass.dispatchWorkgroups(x, y, z);
    set = pipeline;
    groups[slot] = group;
  };
}

/** Bytes to bind for a tensor: rounded up to vectors of four numbers, as allocations are. */
const bound = (t: Tensor) => Math.ceil((t.size * BYTES[t.dtype]) / 16) * 16;

/** The data rounded to f16, padded to an even length, because copies to the GPU are multiples of 4 bytes. */
function halves(data: NumArray): Uint16Array {
  const padded = new Float32Array(data.length + (data.length % 2));
  padded.set(data);
  return floatsToHalves(padded);
}

/** True if the device has Dawn's experimental subgroup matrices of the size that kernels use. Only Dawn has them so far. */
function hasMatrices(device: GPUDevice, info: GPUAdapterInfo | undefined): boolean {
  type Config = { componentType: string; resultComponentType: string; M: number; N: number; K: number };
  const configs = (info as { subgroupMatrixConfigs?: Config[] } | undefined)?.subgroupMatrixConfigs ?? [];
  return (
    device.features.has('chromium-experimental-subgroup-matrix' as GPUFeatureName) &&
    device.features.has('shader-f16') &&
    configs.some((c) => c.componentType === 'f16' && c.resultComponentType === 'f32' && c.M === 16 && c.N === 16 && c.K === 16)
  );
}

/**
 * Calls a backend when its device is lost. A user's device may outlive many backends, which the handler must not keep alive. Closures of one
 * scope share what they capture, and the minifier may move this function into the constructor: no arrow function there may capture `this`.
 */
function reportLoss(device: GPUDevice, backend: WeakRef<WebGpuBackend>): void {
  void device.lost.then((info) => backend.deref()?.onLost(info));
}

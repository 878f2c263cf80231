/** The compute pipelines and bind group layouts of a device, each created once. */
import { DeviceError } from '../core/errors.js';
import type { AnyEntry, GpuPass } from '../ops/spec.js';
import { debugging } from '../platform/runtime.js';
import { GPU_COMPUTE } from './gpu_flags.js';
import { type Assembled, assemble, MAIN, type SeriesLayout } from './wgsl/assemble.js';
import { type Binding, type Kernel, kernelOf } from './wgsl/kernel.js';

/** The inputs from which a pipeline is made. */
export interface KernelSource {
  readonly e: AnyEntry;
  readonly pass: GpuPass;
  /** Names of the tensors given as f16. */
  readonly half: ReadonlySet<string>;
  /** The key of the kernel (kernelKey); equal keys mean equal kernels. */
  readonly key: string;
  readonly bindings: readonly Binding[];
}

/** Makes the layout of a bind group: the uniforms, then the given bindings. */
function makeLayout(device: GPUDevice, bindings: readonly Binding[], label: string): GPUBindGroupLayout {
  const entries: GPUBindGroupLayoutEntry[] = [{ binding: 0, visibility: GPU_COMPUTE, buffer: { type: 'uniform' } }];
  bindings.forEach(({ writable }, i) => {
    entries.push({ binding: i + 1, visibility: GPU_COMPUTE, buffer: { type: writable ? 'storage' : 'read-only-storage' } });
  });
  return device.createBindGroupLayout({ label, entries });
}

/**
 * True if a pipeline layout may leave bind groups empty before its last one. Series need this; not every implementation has it.
 */
export async function allowsGaps(device: GPUDevice): Promise<boolean> {
  device.pushErrorScope('validation');
  let made = true;
  try {
    device.createPipelineLayout({ bindGroupLayouts: [null, makeLayout(device, [], 'gap')] });
  } catch {
    made = false;
  }
  const error = await device.popErrorScope().catch(() => true);
  return made && !error;
}

const keyOf = ({ key }: KernelSource, series: SeriesLayout | undefined) =>
  series ? `${key} series ${[series.slot, series.x, ...series.steps]}` : key;

/** Caches pipelines and layouts by key. */
export class Pipelines {
  /** Statements that tests insert at the start of each kernel. */
  prologue: ((kernel: Kernel) => readonly string[] | undefined) | undefined;
  private readonly pipelines = new Map<string, GPUComputePipeline>();
  /** Pipelines that are being compiled beside others. */
  private readonly prepared = new Map<string, Promise<void>>();
  private readonly layouts = new Map<string, GPUBindGroupLayout>();
  /** Compilations that have not reported their result yet. */
  private readonly pending = new Set<Promise<void>>();

  /** @param fail called with the error of a kernel that does not compile. */
  constructor(
    private readonly device: GPUDevice,
    private readonly fail: (error: DeviceError) => void,
  ) {}

  /** The layout of a bind group with these bindings. */
  layout(bindings: readonly Binding[]): GPUBindGroupLayout {
    const key = bindings.map((b) => (b.writable ? 'w' : 'r')).join('');
    let layout = this.layouts.get(key);
    if (!layout) {
      layout = makeLayout(this.device, bindings, key);
      this.layouts.set(key, layout);
    }
    return layout;
  }

  /** The pipeline of a kernel or, with `series`, of a series of its launches. Compiles it unless `prepare` did. */
  pipeline(source: KernelSource, series?: SeriesLayout): GPUComputePipeline {
    const key = keyOf(source, series);
    let pipeline = this.pipelines.get(key);
    if (!pipeline) {
      pipeline = this.device.createComputePipeline(this.describe(source, series));
      this.pipelines.set(key, pipeline);
    }
    return pipeline;
  }

  /** Compiles a pipeline beside others, on the threads of the implementation. One that fails is left to `pipeline`, which says why. */
  prepare(source: KernelSource, series?: SeriesLayout): Promise<void> {
    const key = keyOf(source, series);
    const known = this.pipelines.has(key) ? Promise.resolve() : this.prepared.get(key);
    if (known) return known;
    const work = this.device.createComputePipelineAsync(this.describe(source, series)).then(
      (pipeline) => void this.pipelines.set(key, pipeline),
      () => {},
    );
    this.prepared.set(key, work);
    return work;
  }

  private describe({ e, pass, half, bindings }: KernelSource, series: SeriesLayout | undefined): GPUComputePipelineDescriptor {
    const { device } = this;
    const kernel = kernelOf(e, pass, half);
    const text = assemble(kernel, { series, prologue: this.prologue?.(kernel) });
    const label = series ? `${text.label} series` : text.label;
    if (debugging('shaders')) console.log(`// ${label}\n${text.code}\n`);
    const module = this.compile(label, text);
    const bindGroupLayouts = [...Array(series?.slot ?? 0).fill(null), this.layout(bindings)];
    return {
      label,
      layout: device.createPipelineLayout({ bindGroupLayouts }),
      compute: { module, entryPoint: MAIN },
    };
  }

  /** True while a compilation has not reported its result. */
  get compiling(): boolean {
    return this.pending.size > 0;
  }

  /** Waits until every compilation started so far has reported its result. */
  async compiled(): Promise<void> {
    if (this.compiling) await Promise.all(this.pending);
  }

  /** Compiles a shader module. Errors are reported by file and line in shaders/. */
  private compile(label: string, text: Assembled): GPUShaderModule {
    let answered = () => {};
    const answer = new Promise<void>((resolve) => {
      answered = resolve;
    });
    // Register before creating the module: some implementations raise the device's error event at once.
    this.pending.add(answer);
    const module = this.device.createShaderModule({ label, code: text.code });
    module
      .getCompilationInfo()
      .then(async ({ messages }) => {
        if (![...messages].some(({ type }) => type === 'error')) return;
        // A chunk of its own, because only a kernel that does not compile needs it.
        const { mistakes } = await import('./wgsl/mistakes.js');
        this.fail(new DeviceError(mistakes(text, messages)));
      })
      // A lost device may never answer. Its loss is reported elsewhere, and so is a kernel whose mistakes could not be read.
      .catch(() => {})
      .then(() => {
        this.pending.delete(answer);
        answered();
      });
    return module;
  }
}

/** Compute pipelines and bind group layouts of a device, each made once. */
import { DeviceError } from '../core/errors.js';
import type { AnyEntry, GpuPass } from '../ops/spec.js';
import { debugging } from '../platform/runtime.js';
import { GPU_COMPUTE } from './gpu_flags.js';
import { type Assembled, assemble, MAIN, type SeriesLayout } from './wgsl/assemble.js';
import { type Binding, type Kernel, kernelOf } from './wgsl/kernel.js';
import { mistakes } from './wgsl/mistakes.js';

/** What a pipeline is made from. */
export interface KernelSource {
  readonly e: AnyEntry;
  readonly pass: GpuPass;
  /** Names of the tensors given as f16. */
  readonly half: ReadonlySet<string>;
  /** Equal for equal kernels (kernelKey). */
  readonly key: string;
  readonly bindings: readonly Binding[];
}

/** The layout of a bind group: the uniforms, then these bindings. */
function makeLayout(device: GPUDevice, bindings: readonly Binding[], label: string): GPUBindGroupLayout {
  const entries: GPUBindGroupLayoutEntry[] = [{ binding: 0, visibility: GPU_COMPUTE, buffer: { type: 'uniform' } }];
  bindings.forEach(({ writable }, i) => {
    entries.push({ binding: i + 1, visibility: GPU_COMPUTE, buffer: { type: writable ? 'storage' : 'read-only-storage' } });
  });
  return device.createBindGroupLayout({ label, entries });
}

/** Whether pipeline layouts may leave out bind groups before the last, which series need; not all implementations allow it yet. */
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

export class Pipelines {
  /** Statements that tests put before each kernel's entry. */
  prologue: ((kernel: Kernel) => readonly string[] | undefined) | undefined;
  private readonly pipelines = new Map<string, GPUComputePipeline>();
  private readonly layouts = new Map<string, GPUBindGroupLayout>();
  /** Compilers' answers that are still to come. */
  private readonly pending = new Set<Promise<void>>();

  /** @param fail is called with the error of a kernel that does not compile. */
  constructor(
    private readonly device: GPUDevice,
    private readonly fail: (error: DeviceError) => void,
  ) {}

  layout(bindings: readonly Binding[]): GPUBindGroupLayout {
    const key = bindings.map((b) => (b.writable ? 'w' : 'r')).join('');
    let layout = this.layouts.get(key);
    if (!layout) {
      layout = makeLayout(this.device, bindings, key);
      this.layouts.set(key, layout);
    }
    return layout;
  }

  /** The pipeline of a kernel, or of a series of its launches. */
  pipeline(source: KernelSource, series?: SeriesLayout): GPUComputePipeline {
    const key = series ? `${source.key} series ${[series.slot, series.x, ...series.steps]}` : source.key;
    let pipeline = this.pipelines.get(key);
    if (!pipeline) {
      pipeline = this.make(source, series);
      this.pipelines.set(key, pipeline);
    }
    return pipeline;
  }

  private make({ e, pass, half, bindings }: KernelSource, series: SeriesLayout | undefined): GPUComputePipeline {
    const { device } = this;
    const kernel = kernelOf(e, pass, half);
    const text = assemble(kernel, { series, prologue: this.prologue?.(kernel) });
    const label = series ? `${text.label} series` : text.label;
    if (debugging('shaders')) console.log(`// ${label}\n${text.code}\n`);
    const module = this.compile(label, text);
    const bindGroupLayouts = [...Array(series?.slot ?? 0).fill(null), this.layout(bindings)];
    return device.createComputePipeline({
      label,
      layout: device.createPipelineLayout({ bindGroupLayouts }),
      compute: { module, entryPoint: MAIN },
    });
  }

  /** Whether answers of the compiler are still to come. */
  get compiling(): boolean {
    return this.pending.size > 0;
  }

  /** Waits until the compiler has answered for every kernel made so far. */
  async compiled(): Promise<void> {
    if (this.compiling) await Promise.all(this.pending);
  }

  /** A shader module; its mistakes are reported by their places in shaders/. */
  private compile(label: string, text: Assembled): GPUShaderModule {
    let answered = () => {};
    const answer = new Promise<void>((resolve) => {
      answered = resolve;
    });
    // Before the module is made: some implementations raise the device's error event at once.
    this.pending.add(answer);
    const module = this.device.createShaderModule({ label, code: text.code });
    module
      .getCompilationInfo()
      .then(
        ({ messages }) => {
          const wrong = mistakes(text, messages);
          if (wrong) this.fail(new DeviceError(wrong));
        },
        // A lost device need not answer; its loss is reported elsewhere.
        () => {},
      )
      .then(() => {
        this.pending.delete(answer);
        answered();
      });
    return module;
  }
}

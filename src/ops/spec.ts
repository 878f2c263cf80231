/**
 * Types of op specs, and checks of calls against them. A spec is the single source of binding order, shape checks, error text, launch
 * sizes and tolerance; every backend derives its calls of kernels from it. An op has several entries: `forward`, `backward` and, if
 * one launch is not enough (a limit of bindings, a reduction in stages), `backward_<part>`; `step` is forward for one position of
 * several sequences. Gradients of activations are overwritten; those of parameters and adaLN vectors are added to. A composite is an
 * entry that is defined by other entries, its parts, and that a backend may compute by one launch.
 */
import { ShapeError } from '../core/errors.js';
import type { DType, HasShape, Tensor } from '../core/tensor.js';
import type { ShaderFile } from './shader_file.js';

/** Reference arithmetic uses float64. Integers stay u32. */
export type RefArray = Float64Array | Uint32Array;

export interface TensorSpec {
  /**
   * Dimension names or literal sizes, separated by blanks, e.g. `'b l d'`. `''` is a scalar. A name has one size in each call.
   */
  shape: string;
  /** `in` is read, `out` overwritten, `inout` both. */
  io: 'in' | 'out' | 'inout';
  /** The default is f32. */
  dtype?: 'f32' | 'u32';
  /**
   * The tensor may be given as f16 instead, on WebGPU: a weight, or an activation of training in mixed precision. A kernel that writes f16
   * needs the feature shader-f16.
   */
  half?: boolean;
  /**
   * The tensor may be left out of a call. The shader then has `has_<name> == 0`, assembly a null pointer, the reference
   * undefined.
   */
  optional?: boolean;
  /**
   * An intermediate result of a composite, which one part writes and the next reads. It is optional. If the caller passes a
   * tensor for it, the parts run and fill the tensor. A fused kernel neither binds nor computes it.
   */
  between?: boolean;
}

/** Facts about a WebGPU device that a launch plan may depend on. */
export interface GpuCaps {
  /** Device features, e.g. `subgroups`, `shader-f16`. */
  features: ReadonlySet<string>;
  maxWorkgroupStorage: number;
  maxInvocations: number;
  /** Storage buffers that a kernel may bind. */
  maxStorageBuffers: number;
  /** The smallest subgroup size, or 0 if there are no subgroups or their sizes are unknown. */
  subgroupMinSize: number;
  subgroupMaxSize: number;
  /** True if the device is no GPU but a processor that runs the threads of a workgroup one after the other. */
  software: boolean;
  /** True if 16×16×16 subgroup matrices of f16 with f32 sums can be used. */
  matrices: boolean;
  /** Type to which matrix products may round their factors. Sums are always f32. */
  products: 'f32' | 'f16';
}

/** How to launch an entry on WebGPU. */
export type GpuPlan = GpuLaunch | GpuChoice;

/** One dispatch, or several in order with scratch memory that they share. */
export type GpuLaunch = GpuPass | GpuPasses;

/**
 * Launches that differ in speed only and compute the same bits. The backend takes the fastest candidate on this device if it was
 * measured for a call of these sizes (src/backend/tune.ts), else the usual one.
 */
export interface GpuChoice<L extends GpuLaunch = GpuLaunch> {
  /** Name of the number that is chosen, e.g. `rows`. It is part of the key under which measurements are stored. */
  choice: string;
  candidates: readonly number[];
  usual: number;
  plan(candidate: number): L;
}

export interface GpuPasses {
  passes: GpuPass[];
  /** Scratch tensors of f32 by name, with their sizes in elements. Their contents are unspecified before a pass writes them. */
  workspaces: Record<string, number>;
}

/** One dispatch. */
export interface GpuPass {
  /** The `// @entry NAME` section and function of the shader. The default is the entry's own name. */
  entry?: string;
  /** Names of `// @section` sections to put before the entry's own section, e.g. one of several tiles. */
  sections?: string[];
  /** Library files that the kernel takes from the shader's `#optional` directives, e.g. `gemv/sums` for lib/gemv/sums.wgsl. */
  include?: string[];
  /** Constants that the shader gets as `const NAME`, so that array sizes and loop counts are known when it is compiled. */
  constants?: Record<string, number | undefined>;
  /** Tensors bound as array<vec4f> instead of array<f32>. Their innermost size must be divisible by 4. */
  vec4?: string[];
  /** WGSL element types of bindings that are neither f32 nor vec4f, e.g. `{ w: 'vec4<u32>' }` for loads of eight f16 values. */
  elements?: Record<string, string>;
  /** Language extensions, e.g. `f16`. */
  enable?: string[];
  /** Tensors and workspaces that this pass binds, if these are not all of the entry's tensors. A shader stage may bind 8. */
  reads?: string[];
  writes?: string[];
  /**
   * Launches of this kind may share a pipeline and a bind group if only the offsets of their tensors differ (backend/series.ts).
   * No barrier of such a kernel may depend on values that it reads.
   */
  series?: boolean;
  /** Workgroup counts. Use `grid` for a flat count above 65535. */
  workgroups: [number, number?, number?];
}

type Words<S extends string> = S extends `${infer A} ${infer B}` ? A | Words<B> : S;
type DimNames<T extends Record<string, TensorSpec>> = { [K in keyof T]: Words<T[K]['shape']> }[keyof T];
export type Dims<T extends Record<string, TensorSpec>, A extends Record<string, AttrSpec>> = {
  [K in DimNames<T> | keyof A]: number;
};
export type AttrSpec = 'u32' | 'f32';

/** The functions of a backend that the parts of a composite need. */
export interface Runner {
  run<T extends Record<string, TensorSpec>, A extends Record<string, AttrSpec>>(
    e: Entry<T, A>,
    tensors: TensorArgs<Entry<T, A>, Tensor>,
    attrs?: AttrArgs<Entry<T, A>>,
  ): void;
  tensor(shape: readonly number[], dtype?: DType): Tensor;
  reshape(t: Tensor, shape: readonly number[]): Tensor;
  free(...tensors: (Tensor | undefined)[]): void;
}

interface CommonSpec<T extends Record<string, TensorSpec>, A extends Record<string, AttrSpec>> {
  tensors: T;
  /** Scalars that kernels get after the dims, in this order. A call may omit one, which is then 0. */
  attrs?: A;
  /**
   * Dims that count sequences or images, e.g. `'m'`. On every backend the result of one has the same bits in any batch
   * (test/ops/batch.test.ts), so that an image does not depend on how many are drawn at once. With two dims, the first may also
   * be twice the second, for a conditional and an unconditional row for each image.
   */
  batch?: string;
  /** Checks constraints other than shapes. Returns what is wrong and how to correct it, or undefined. */
  check?(d: Dims<T, A>): string | undefined;
  /** Floating-point operations of a call. They give the rates in benchmarks and decide if threads share the call. */
  flops?(d: Dims<T, A>): number;
  /** Bytes that a call reads and writes, if that is less than all of its tensors. */
  bytes?(d: Dims<T, A>): number;
  /**
   * Largest allowed |got − reference| over the largest magnitude of the reference, and the reason. f16 applies if matrix products
   * round their factors to f16 (`GpuCaps.products`).
   */
  tolerance: { f32: number; f16?: number; reason: string };
}

export interface EntrySpec<
  T extends Record<string, TensorSpec> = Record<string, TensorSpec>,
  A extends Record<string, AttrSpec> = Record<string, AttrSpec>,
> extends CommonSpec<T, A> {
  /** `half` contains the names of the tensors given as f16. */
  webgpu(d: Dims<T, A>, caps: GpuCaps, half: ReadonlySet<string>): GpuPlan;
  /**
   * The assembly kernel has the last parameters `part` and `parts` (assembly/lib/split.ts), so that threads share a call of many
   * flops.
   */
  wasmParts?: true;
  /** Returns the binary that has the assembly kernel, if that is not the one for drawing or for training. */
  wasmBinary?(): Uint8Array<ArrayBuffer>;
}

export interface CompositeSpec<
  T extends Record<string, TensorSpec> = Record<string, TensorSpec>,
  A extends Record<string, AttrSpec> = Record<string, AttrSpec>,
> extends CommonSpec<T, A> {
  /** Runs the entries that define this one. Backends without a fused kernel for it call this. */
  parts(be: Runner, t: PartTensors<T>, d: Dims<T, A>): void;
  /** The fused kernel, or undefined if the sizes or the device do not allow it. In that case the parts run. */
  webgpu(d: Dims<T, A>, caps: GpuCaps, half: ReadonlySet<string>): GpuPlan | undefined;
}
type PartTensors<T extends Record<string, TensorSpec>> = {
  [K in keyof T]: T[K] extends { optional: true } | { between: true } ? Tensor | undefined : Tensor;
};

export interface Entry<
  T extends Record<string, TensorSpec> = Record<string, TensorSpec>,
  A extends Record<string, AttrSpec> = Record<string, AttrSpec>,
> extends CommonSpec<T, A>,
    Partial<Pick<EntrySpec<T, A>, 'wasmParts' | 'wasmBinary'>>,
    Partial<Pick<CompositeSpec<T, A>, 'parts'>>,
    Pick<CompositeSpec<T, A>, 'webgpu'> {
  readonly op: string;
  readonly entry: string;
  readonly shader: ShaderFile;
  readonly names: readonly string[];
  readonly dimNames: readonly string[];
  readonly attrNames: readonly string[];
  readonly key: string;
}

/** The float64 reference of an entry. It must overwrite every element of each `out`. */
export type Reference<E> =
  E extends Entry<infer T, infer A>
    ? (t: { [K in keyof T]: T[K] extends { optional: true } ? RefArray | undefined : RefArray }, d: Dims<T, A>) => void
    : never;

/**
 * Values that default test cases give to dims and attributes, by name. A file of references may export them as `sizes`. Other
 * dims take the sizes of test/ops/all_cases.ts, and other attributes are 0.
 */
export type CaseSizes = Readonly<Record<string, readonly number[]>>;

/** The references of an op, one for each entry. Composites have none, since their parts define them. */
export type References<Op> = { [E in keyof Op as Op[E] extends { parts: unknown } ? never : E]: Reference<Op[E]> };

type EntryName = 'forward' | 'step' | 'backward' | `backward_${string}`;

/** Names one entry of an op: `entry('linear', 'forward', shader, spec)`. In assembly it is the export `linear_forward`. */
/* @__NO_SIDE_EFFECTS__ */
export function entry<
  const T extends Record<string, TensorSpec>,
  const A extends Record<string, AttrSpec> = Record<string, never>,
>(op: string, name: EntryName, shader: ShaderFile, spec: EntrySpec<T, A>): Entry<T, A> {
  return named(op, name, shader, spec);
}

/** Names a composite: `composite('norm_head', 'forward', shader, spec)`. */
/* @__NO_SIDE_EFFECTS__ */
export function composite<
  const T extends Record<string, TensorSpec>,
  const A extends Record<string, AttrSpec> = Record<string, never>,
>(op: string, name: EntryName, shader: ShaderFile, spec: CompositeSpec<T, A>): Entry<T, A> & Pick<CompositeSpec<T, A>, 'parts'> {
  return { ...named(op, name, shader, spec), parts: spec.parts };
}

/* @__NO_SIDE_EFFECTS__ */
function named<T extends Record<string, TensorSpec>, A extends Record<string, AttrSpec>>(
  op: string,
  name: EntryName,
  shader: ShaderFile,
  spec: EntrySpec<T, A> | CompositeSpec<T, A>,
): Entry<T, A> {
  const dimNames = new Set<string>();
  for (const t of Object.values(spec.tensors)) for (const w of words(t.shape)) if (!isLiteral(w)) dimNames.add(w);
  return {
    ...spec,
    op,
    entry: name,
    shader,
    names: Object.keys(spec.tensors),
    dimNames: [...dimNames],
    attrNames: Object.keys(spec.attrs ?? {}),
    key: `${op}.${name}`,
  };
}

// biome-ignore lint/suspicious/noExplicitAny: an entry of any tensors and attributes; the calls themselves are typed.
export type AnyEntry = Entry<any, any>;

/** Arguments of a call: required tensors, optional ones, and attributes. */
export type TensorArgs<E, V> =
  E extends Entry<infer T, infer _A>
    ? { [K in keyof T as T[K] extends { optional: true } | { between: true } ? never : K]: V } & {
        [K in keyof T as T[K] extends { optional: true } | { between: true } ? K : never]?: V | undefined;
      }
    : never;
export type AttrArgs<E> = E extends Entry<infer _T, infer A> ? { [K in keyof A]?: number } : never;

const words = (shape: string) => (shape === '' ? [] : shape.split(' '));
const isLiteral = (w: string) => w.charCodeAt(0) >= 48 && w.charCodeAt(0) <= 57;

/** Checks a call's tensors against the spec and returns every dim and attribute by name. Throws ShapeError. */
export function resolveDims(
  e: AnyEntry,
  tensors: Record<string, HasShape | undefined>,
  attrs: Record<string, number | undefined>,
) {
  const dims: Record<string, number> = {};
  const from: Record<string, string> = {};
  for (const name of e.names) {
    const spec = e.tensors[name] as TensorSpec;
    const t = tensors[name];
    if (!t) {
      if (spec.optional || spec.between) continue;
      throw new ShapeError(`${e.key}: ${name} is missing; pass a tensor of shape [${words(spec.shape).join(', ')}].`);
    }
    const dtype = spec.dtype ?? 'f32';
    if (t.dtype !== dtype && !(spec.half && t.dtype === 'f16'))
      throw new ShapeError(`${e.key}: ${name} is ${t.dtype}, expected ${dtype}; pass a ${dtype} tensor.`);
    const want = words(spec.shape);
    const fits =
      want.length === t.shape.length &&
      want.every((w, i) => {
        const got = t.shape[i]!;
        if (isLiteral(w)) return got === Number(w);
        if (dims[w] === undefined) {
          dims[w] = got;
          from[w] = name;
        }
        return dims[w] === got;
      });
    if (!fits) {
      const known = want.filter((w) => dims[w] !== undefined && from[w] !== name).map((w) => `${w} = ${dims[w]} from ${from[w]}`);
      throw new ShapeError(
        `${e.key}: ${name} has shape [${t.shape.join(', ')}], expected [${want.join(', ')}]` +
          `${known.length ? ` with ${known.join(', ')}` : ''}; reshape ${name} or fix the tensor it must match.`,
      );
    }
  }
  for (const a of Object.keys(attrs)) {
    if (!e.attrNames.includes(a))
      throw new ShapeError(`${e.key}: there is no attribute ${a}; it takes ${e.attrNames.join(', ') || 'none'}.`);
  }
  for (const n of e.dimNames) dims[n] ??= 0;
  for (const n of e.attrNames) dims[n] = attrs[n] ?? 0;
  const wrong = e.check?.(dims);
  if (wrong) throw new ShapeError(`${e.key}: ${wrong}`);
  return dims;
}

/** Workgroup counts for `n` workgroups. They are divided over x and y if x would exceed the limit of 65535. */
export function grid(n: number): [number, number] {
  if (n <= 65535) return [n, 1];
  const y = Math.ceil(n / 65535);
  return [Math.ceil(n / y), y];
}

export const ceilDiv = (a: number, b: number) => Math.ceil(a / b);

/**
 * WG is the threads of a workgroup that computes rows of n elements, with about three elements for each thread. PER is the most
 * elements of a thread.
 */
export function rowThreads(n: number): { WG: number; PER: number } {
  let wg = 32;
  while (wg < 256 && wg * 3 < n) wg *= 2;
  return { WG: wg, PER: ceilDiv(n, wg) };
}

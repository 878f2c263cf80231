/**
 * Parameters are plain nested objects whose paths are the checkpoint's tensor names. A model part declares a tree of
 * ParamSpec; the same tree of tensors is what its forward reads.
 */
import type { Backend } from '../backend/backend.js';
import { type DType, type NumArray, sizeOf, type Tensor } from '../core/tensor.js';
import { packed } from './arena.js';

export interface ParamSpec {
  /** As in the checkpoint. */
  readonly shape: readonly number[];
  /**
   * Its order on the device: as in the checkpoint; `ohwi`: a convolution's weight [o,i,h,w] as [o,h,w,i], since activations
   * are NHWC; `matrix`: that of a 1×1 convolution as [o,i].
   */
  readonly layout: 'same' | 'ohwi' | 'matrix';
  readonly init: Init;
  /** The device may hold it as f16, because only matrix products and look-ups read it. */
  readonly half?: boolean;
}

/** Fills a parameter for training from scratch. Random numbers come one by one from `random` in [0, 1). */
export type Init = (shape: readonly number[], random: () => number, out: Float32Array) => void;

export interface ParamTree {
  readonly [name: string]: ParamSpec | ParamTree;
}

/** The tree with a V in place of every ParamSpec. */
export type Values<T, V> = { readonly [K in keyof T]: T[K] extends ParamSpec ? V : Values<T[K], V> };
export type Tensors<T> = Values<T, Tensor>;

const isSpec = (node: ParamSpec | ParamTree): node is ParamSpec => Array.isArray(node.shape);

/** Every parameter with its checkpoint name, in declaration order. */
export function* walk(tree: ParamTree, prefix = ''): Generator<[string, ParamSpec]> {
  for (const [key, node] of Object.entries(tree)) {
    const name = prefix ? `${prefix}.${key}` : key;
    if (isSpec(node)) yield [name, node];
    else yield* walk(node, name);
  }
}

/** `walk` with the tensor at the same place of `tensors`, a tree of tensors like `tree`: parameters, gradients, moments. */
export function* zip(tree: ParamTree, tensors: object, prefix = ''): Generator<[string, ParamSpec, Tensor]> {
  for (const [key, node] of Object.entries(tree)) {
    const name = prefix ? `${prefix}.${key}` : key;
    const at = (tensors as Record<string, object>)[key]!;
    if (isSpec(node)) yield [name, node, at as Tensor];
    else yield* zip(node, at, name);
  }
}

/** Replaces each tensor by what `fn` makes of it. */
export function replace(tree: ParamTree, tensors: object, fn: (tensor: Tensor) => Tensor): void {
  const at = tensors as Record<string, object>;
  for (const [key, node] of Object.entries(tree)) {
    if (isSpec(node)) at[key] = fn(at[key] as Tensor);
    else replace(node, at[key]!, fn);
  }
}

/** Builds the same tree with `fn` applied to each parameter. */
export function mapParams<T extends ParamTree, V>(tree: T, fn: (spec: ParamSpec, name: string) => V, prefix = ''): Values<T, V> {
  const out: Record<string, unknown> = {};
  for (const [key, node] of Object.entries(tree)) {
    const name = prefix ? `${prefix}.${key}` : key;
    out[key] = isSpec(node) ? fn(node, name) : mapParams(node, fn, name);
  }
  return out as Values<T, V>;
}

export const countParams = (tree: ParamTree) => [...walk(tree)].reduce((sum, [, spec]) => sum + sizeOf(spec.shape), 0);

export function deviceShape({ shape, layout }: ParamSpec): number[] {
  if (layout === 'same') return [...shape];
  const [o, i, h, w] = shape as [number, number, number, number];
  return layout === 'matrix' ? [o, i * h * w] : [o, h, w, i];
}

/** Checkpoint order → device order. */
export function toDevice<A extends NumArray>({ shape, layout }: ParamSpec, data: A): A {
  if (layout !== 'ohwi') return data;
  const [o, i, h, w] = shape as [number, number, number, number];
  return permute(data, o, i, h * w);
}

/** Device order → checkpoint order. */
export function toCheckpoint<A extends NumArray>({ shape, layout }: ParamSpec, data: A): A {
  if (layout !== 'ohwi') return data;
  const [o, i, h, w] = shape as [number, number, number, number];
  return permute(data, o, h * w, i);
}

/** [o, a, b] → [o, b, a] */
function permute<A extends NumArray>(data: A, o: number, a: number, b: number): A {
  const out = data.slice() as A;
  for (let n = 0; n < o; n++) {
    const base = n * a * b;
    for (let i = 0; i < a; i++) for (let j = 0; j < b; j++) out[base + j * a + i] = data[base + i * b + j]!;
  }
  return out;
}

/** Whether weight decay applies to a parameter: it does to those of two or more dimensions. */
export const decays = ({ shape }: ParamSpec) => shape.length >= 2;

/**
 * Allocates every parameter; those that may be f16 and for whose name `half` returns true are f16. The backend's dispose frees
 * them. Parameters that an optimizer treats alike are neighbours in memory.
 */
export function allocate<T extends ParamTree>(be: Backend, tree: T, half: (name: string) => boolean = () => false): Tensors<T> {
  const kinds = new Map<string, { dtype: DType; names: string[]; shapes: number[][] }>();
  for (const [name, spec] of walk(tree)) {
    const dtype = spec.half && half(name) ? 'f16' : 'f32';
    const kind = `${dtype} ${decays(spec)}`;
    if (!kinds.has(kind)) kinds.set(kind, { dtype, names: [], shapes: [] });
    const { names, shapes } = kinds.get(kind)!;
    names.push(name);
    shapes.push(deviceShape(spec));
  }
  const tensors = new Map<string, Tensor>();
  for (const { dtype, names, shapes } of kinds.values())
    packed(be, shapes, dtype).tensors.forEach((tensor, i) => {
      tensors.set(names[i]!, tensor);
    });
  return mapParams(tree, (_spec, name) => tensors.get(name)!);
}

// Initialisers.
const uniform =
  (bound: (shape: readonly number[]) => number): Init =>
  (shape, random, out) => {
    const b = bound(shape);
    for (let i = 0; i < out.length; i++) out[i] = (2 * random() - 1) * b;
  };
const fanIn = (shape: readonly number[]) => sizeOf(shape.slice(1));

export const init = {
  zeros: ((_s, _r, out) => void out.fill(0)) as Init,
  ones: ((_s, _r, out) => void out.fill(1)) as Init,
  /** U(±scale/√fan_in), PyTorch's default for Linear and conv weights. */
  fanIn: (scale = 1) => uniform((shape) => scale / Math.sqrt(fanIn(shape))),
  uniform: (bound: number) => uniform(() => bound),
  normal:
    (std: number): Init =>
    (_shape, random, out) => {
      for (let i = 0; i < out.length; i += 2) {
        const r = std * Math.sqrt(-2 * Math.log(1 - random()));
        const a = 2 * Math.PI * random();
        out[i] = r * Math.cos(a);
        if (i + 1 < out.length) out[i + 1] = r * Math.sin(a);
      }
    },
  /** Biases of a Mamba mixer's time step: softplus⁻¹ of a step drawn log-uniformly from [1e-3, 1e-1], at least 1e-4. */
  timeStep: ((_shape, random, out) => {
    for (let i = 0; i < out.length; i++) {
      const dt = Math.max(Math.exp(Math.log(1e-3) + random() * (Math.log(1e-1) - Math.log(1e-3))), 1e-4);
      out[i] = dt + Math.log(-Math.expm1(-dt));
    }
  }) as Init,
};

// Declarations.
/** A list as a checkpoint names it: 0, 1, 2, … */
export const numbered = <T>(items: readonly T[]): Record<string, T> => Object.fromEntries(items.map((item, i) => [i, item]));
export const param = (shape: readonly number[], i: Init): ParamSpec => ({ shape, layout: 'same', init: i });
export const matrix = (n: number, k: number, i: Init = init.fanIn()): ParamSpec => ({ ...param([n, k], i), half: true });
export const linearParams = (n: number, k: number, scale = 1) => ({ weight: matrix(n, k, init.fanIn(scale)) });
export const linearBiasParams = (n: number, k: number, weight: Init = init.fanIn()) => ({
  weight: matrix(n, k, weight),
  bias: param([n], init.zeros),
});
export const normParams = (n: number) => ({ weight: param([n], init.ones) });
/** A conv2d of the tokenizer; PyTorch's default initialisation. */
export const convParams = (co: number, ci: number, k: number) => ({
  weight: {
    shape: [co, ci, k, k],
    layout: k === 1 ? 'matrix' : 'ohwi',
    init: init.fanIn(),
    half: true,
  } satisfies ParamSpec as ParamSpec,
  bias: param([co], init.uniform(1 / Math.sqrt(ci * k * k))),
});

/**
 * Parameters are plain nested objects whose paths are the tensor names of the checkpoint. A part of the model declares a tree of
 * ParamSpec, and its forward reads a tree of tensors of the same structure.
 */
import type { Backend } from '../backend/backend.js';
import { type DType, type NumArray, sizeOf, type Tensor } from '../core/tensor.js';
import { packed } from './arena.js';

/** The declaration of a parameter. */
export interface ParamSpec {
  /** Shape in the checkpoint. */
  readonly shape: readonly number[];
  /**
   * Order of the elements on the device. `same`: as in the checkpoint. `ohwi`: the weight [o, i, h, w] of a convolution as
   * [o, h, w, i], because activations are NHWC. `matrix`: the weight of a 1×1 convolution as [o, i].
   */
  readonly layout: 'same' | 'ohwi' | 'matrix';
  readonly init: Init;
  /** True if it may be f16 on the device, because only matrix products and look-ups read it. */
  readonly half?: boolean;
}

/** Initialises a parameter for training from scratch. `random` returns the next random number in [0, 1). */
export type Init = (shape: readonly number[], random: () => number, out: Float32Array) => void;

/** A tree of specs, whose paths are checkpoint names. */
export interface ParamTree {
  readonly [name: string]: ParamSpec | ParamTree;
}

/** The tree with values of type V instead of specs. */
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

/** `walk` over a tree of tensors with the structure of `tree` (parameters, gradients, moments). Also yields the tensors. */
export function* zip(tree: ParamTree, tensors: object, prefix = ''): Generator<[string, ParamSpec, Tensor]> {
  for (const [key, node] of Object.entries(tree)) {
    const name = prefix ? `${prefix}.${key}` : key;
    const at = (tensors as Record<string, object>)[key]!;
    if (isSpec(node)) yield [name, node, at as Tensor];
    else yield* zip(node, at, name);
  }
}

/** Replaces each tensor of a tree by the result of `fn`. */
export function replace(tree: ParamTree, tensors: object, fn: (tensor: Tensor) => Tensor): void {
  const at = tensors as Record<string, object>;
  for (const [key, node] of Object.entries(tree)) {
    if (isSpec(node)) at[key] = fn(at[key] as Tensor);
    else replace(node, at[key]!, fn);
  }
}

/** A tree of the same structure with the results of `fn`. */
export function mapParams<T extends ParamTree, V>(tree: T, fn: (spec: ParamSpec, name: string) => V, prefix = ''): Values<T, V> {
  const out: Record<string, unknown> = {};
  for (const [key, node] of Object.entries(tree)) {
    const name = prefix ? `${prefix}.${key}` : key;
    out[key] = isSpec(node) ? fn(node, name) : mapParams(node, fn, name);
  }
  return out as Values<T, V>;
}

/** Number of scalar parameters in a tree. */
export const countParams = (tree: ParamTree) => [...walk(tree)].reduce((sum, [, spec]) => sum + sizeOf(spec.shape), 0);

/** Shape of a parameter on the device. */
export function deviceShape({ shape, layout }: ParamSpec): number[] {
  if (layout === 'same') return [...shape];
  const [o, i, h, w] = shape as [number, number, number, number];
  return layout === 'matrix' ? [o, i * h * w] : [o, h, w, i];
}

/** Reorders values from the checkpoint's order to the device's. */
export function toDevice<A extends NumArray>({ shape, layout }: ParamSpec, data: A): A {
  if (layout !== 'ohwi') return data;
  const [o, i, h, w] = shape as [number, number, number, number];
  return permute(data, o, i, h * w);
}

/** Reorders values from the device's order to the checkpoint's. */
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

/** True if weight decay applies to a parameter: if it has two or more dimensions. */
export const decays = ({ shape }: ParamSpec) => shape.length >= 2;

/**
 * Allocates all parameters. Those with `half` in their spec are f16 if `half(name)` returns true. Parameters with the same number
 * format and weight decay are adjacent in memory. Disposing the backend frees them.
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

/** How parameters are initialised. */
export const init = {
  zeros: ((_s, _r, out) => void out.fill(0)) as Init,
  ones: ((_s, _r, out) => void out.fill(1)) as Init,
  /** U(±scale/√fan_in). With scale 1 this is PyTorch's default for the weights of Linear and convolutions. */
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
  /** Bias of a Mamba mixer's time step: softplus⁻¹ of a step that is drawn log-uniformly from [1e-3, 1e-1]. */
  timeStep: ((_shape, random, out) => {
    for (let i = 0; i < out.length; i++) {
      const dt = Math.max(Math.exp(Math.log(1e-3) + random() * (Math.log(1e-1) - Math.log(1e-3))), 1e-4);
      out[i] = dt + Math.log(-Math.expm1(-dt));
    }
  }) as Init,
};

// Declarations of common parameters.
/** A list in a checkpoint: its items are named 0, 1, 2, … */
export const numbered = <T>(items: readonly T[]): Record<string, T> => Object.fromEntries(items.map((item, i) => [i, item]));
export const param = (shape: readonly number[], i: Init): ParamSpec => ({ shape, layout: 'same', init: i });
export const matrix = (n: number, k: number, i: Init = init.fanIn()): ParamSpec => ({ ...param([n, k], i), half: true });
export const linearParams = (n: number, k: number, scale = 1) => ({ weight: matrix(n, k, init.fanIn(scale)) });
export const linearBiasParams = (n: number, k: number, weight: Init = init.fanIn()) => ({
  weight: matrix(n, k, weight),
  bias: param([n], init.zeros),
});
export const normParams = (n: number) => ({ weight: param([n], init.ones) });
/** A 2D convolution of the tokenizer with c_o × c_i channels and k × k taps, initialised like PyTorch's. */
export const convParams = (co: number, ci: number, k: number) => ({
  weight: {
    shape: [co, ci, k, k],
    layout: k === 1 ? 'matrix' : 'ohwi',
    init: init.fanIn(),
    half: true,
  } satisfies ParamSpec as ParamSpec,
  bias: param([co], init.uniform(1 / Math.sqrt(ci * k * k))),
});

/**
 * Activations of a forward pass. Each part of a model (a mixer, a block, a convolution) declares its activations once, with their
 * shapes. Its forward allocates tensors from the declaration, and its backward gets the same tensors by name.
 */
import type { Backend } from '../backend/backend.js';
import { BYTES, type DType, sizeOf, type Tensor } from '../core/tensor.js';
import { TRAINING } from './training_only.js';

/** The names of the dimensions in a declared shape such as `'m l d'`, where they are separated by blanks. */
type Words<S extends string> = S extends `${infer First} ${infer Rest}`
  ? Words<First> | Words<Rest>
  : S extends `${number}`
    ? never
    : S;
type ShapeOf<A> = A extends string ? A : A extends { shape: infer S extends string } ? S : never;

/** A shape of float32 values, or a shape with its number format; f16 is f32 unless the backend has `halfActivations`. */
type Declared = string | { readonly shape: string; readonly dtype: DType };

/** Declares an activation that mixed precision stores as float16, and its gradient too. Bundles that only draw know nothing of it. */
export const half = <const S extends string>(shape: S) =>
  (TRAINING ? { shape, dtype: 'f16' } : shape) as { readonly shape: S; readonly dtype: 'f16' };

/** A declaration made by `activations`: names `N` of tensors that forward makes, names `I` of its inputs, dimensions `D`. */
export interface ActivationSpec<N extends string = string, I extends string = string, D extends string = string> {
  readonly made: Readonly<Record<N, Declared>>;
  readonly inputs: readonly I[];
  /** Never set; it only carries the type. */
  readonly dims?: D;
}

/**
 * Declares the activations of a part.
 * @param made Shapes of the tensors that forward makes.
 * @param inputs Names of tensors that backward reads but this part does not make, such as an image or another part's output.
 */
/* @__NO_SIDE_EFFECTS__ */
export const activations = <const A extends Record<string, Declared>, const I extends string = never>(
  made: A,
  inputs: readonly I[] = [],
): ActivationSpec<keyof A & string, I, Words<ShapeOf<A[keyof A]>>> => ({ made, inputs });

const dtypeOf = (declared: Declared, halves: boolean): DType =>
  typeof declared === 'string' || (TRAINING && declared.dtype === 'f16' && !halves) ? 'f32' : declared.dtype;

function shapeOf(declared: Declared, dims: Readonly<Record<string, number>>): number[] {
  return (typeof declared === 'string' ? declared : declared.shape).split(' ').map((word) => {
    const size = dims[word] ?? Number(word);
    if (!Number.isInteger(size)) throw new Error(`activations: the dimension ${word} has no size.`);
    return size;
  });
}

/** Bytes of the tensors that a part's forward makes and saves for backward; `halves`: on a backend with `halfActivations`. */
export const activationBytes = <D extends string>(
  spec: ActivationSpec<string, string, D>,
  dims: Readonly<Record<D, number>>,
  halves = false,
) =>
  Object.values(spec.made).reduce((sum, declared) => sum + sizeOf(shapeOf(declared, dims)) * BYTES[dtypeOf(declared, halves)], 0);

/** The activations of one part in one forward pass. */
export class PartActs<N extends string, I extends string> {
  constructor(
    private readonly acts: Acts,
    private readonly spec: ActivationSpec<N, I>,
    private readonly dims: Readonly<Record<string, number>>,
  ) {}

  /** The tensor of an activation. Its contents are unspecified. */
  tensor(name: N): Tensor {
    const declared = this.spec.made[name];
    const { be, keep } = this.acts;
    const halves = TRAINING && keep && be.traits.halfActivations;
    return this.acts.tensor(name, shapeOf(declared, this.dims), dtypeOf(declared, halves));
  }

  /** `tensor` for an activation that only backward reads. Returns undefined if there is no backward pass. */
  forBackward(name: N): Tensor | undefined {
    return this.acts.keep ? this.tensor(name) : undefined;
  }

  /** An activation that the first forward pass has saved, when a second one makes the others again. */
  known(name: N): Tensor | undefined {
    return this.acts.known(name);
  }

  /** Registers a tensor that this part reads but does not make, so that backward can find it. */
  input(name: I, tensor: Tensor): void {
    this.acts.refer(name, tensor);
  }
}

/**
 * The activations of a forward pass. Generation and training run the same model code and differ only here: generation frees each
 * activation as soon as it is `done`, so that the backend reuses the memory; training saves them by name for the backward pass. With
 * `recompute` it saves the residual sum and the output of each branch alone, and backward computes the others again, branch by branch.
 */
export class Acts {
  private readonly made = new Map<string, Tensor>();
  private readonly references = new Map<string, Tensor>();

  /**
   * @param keep True to save activations for a backward pass, until `free` is called.
   * @param recompute True, with `keep`, to save only what parts do not compute `briefly`.
   */
  constructor(
    readonly be: Backend,
    readonly keep = false,
    readonly recompute = false,
    private readonly path = '',
    private readonly root: Acts | undefined = undefined,
  ) {}

  /** The activations of a part in its forward pass, for the given sizes of the dimensions. */
  part<N extends string, I extends string, D extends string>(
    spec: ActivationSpec<N, I, D>,
    dims: Readonly<Record<D, number>>,
  ): PartActs<N, I> {
    return new PartActs(this, spec, dims);
  }

  /**
   * All activations of a part, for its backward pass. Throws an Error with the name of an activation that forward did not save.
   */
  saved<N extends string, I extends string>(spec: ActivationSpec<N, I>): Record<N | I, Tensor> {
    const { made, references } = this.root ?? this;
    const names = [...spec.inputs, ...(Object.keys(spec.made) as N[])];
    return Object.fromEntries(
      names.map((name) => {
        const key = `${this.path}${name}`;
        const tensor = made.get(key) ?? references.get(key);
        if (!tensor || tensor.storage.released)
          throw new Error(`backward needs the activation ${key}, which forward did not save; run forward on new Acts(be, true).`);
        return [name, tensor];
      }),
    ) as Record<N | I, Tensor>;
  }

  /** A tensor with a name that no part declares. If activations are saved, every forward pass gets the same tensor. */
  tensor(name: string, shape: readonly number[], dtype: DType = 'f32'): Tensor {
    if (!this.keep) return this.be.tensor(shape, dtype);
    const { made } = this.root ?? this;
    const key = `${this.path}${name}`;
    const before = made.get(key);
    if (before && before.shape.length === shape.length && before.shape.every((n, i) => n === shape[i])) return before;
    this.be.free(before);
    const t = this.be.tensor(shape, dtype);
    made.set(key, t);
    return t;
  }

  /** @internal See PartActs.known. */
  known(name: string): Tensor | undefined {
    return (this.root ?? this).references.get(`${this.path}${name}`);
  }

  /** @internal See PartActs.input. */
  refer(name: string, t: Tensor): void {
    if (this.keep) (this.root ?? this).references.set(`${this.path}${name}`, t);
  }

  /** The activations of a part inside this one, in a namespace of its own. */
  child(name: string | number): Acts {
    return this.keep ? new Acts(this.be, true, this.recompute, `${this.path}${name}.`, this.root ?? this) : this;
  }

  /**
   * Runs `work` on these activations or, with `recompute`, on others, which are freed after it; the tensor that it returns is not. With
   * `as` that is saved by this name.
   */
  briefly<T extends Tensor | undefined>(work: (a: Acts) => T, as?: string): T {
    if (!this.recompute) {
      const result = work(this);
      if (as) this.refer(as, result!);
      return result;
    }
    const own = new Acts(this.be, true);
    const result = work(own);
    this.be.free(...[...own.made.values()].filter((t) => t !== result));
    if (as) (this.root ?? this).made.set(`${this.path}${as}`, result!);
    return result;
  }

  /** Frees tensors that are not read again in this pass, unless they are saved. */
  done(...tensors: (Tensor | undefined)[]): void {
    if (!this.keep) this.be.free(...tensors);
  }

  /** Bytes of the saved activations. */
  get bytes(): number {
    const { made } = this.root ?? this;
    return [...made.values()].reduce((sum, t) => sum + t.size * BYTES[t.dtype], 0);
  }

  /** Frees all saved activations. */
  free(): void {
    this.be.free(...this.made.values());
    this.made.clear();
    this.references.clear();
  }
}

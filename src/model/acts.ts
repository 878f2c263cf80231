/**
 * Activations of a forward pass. A part of a model (a mixer, a block, a convolution) declares its activations once, with their
 * shapes; its forward takes tensors from the declaration, its backward gets the same ones back by name.
 */
import type { Backend } from '../backend/backend.js';
import { BYTES, type DType, sizeOf, type Tensor } from '../core/tensor.js';

/** Dimensions by name; in a declared shape, `'m l d'`, they are separated by blanks. */
type Words<S extends string> = S extends `${infer First} ${infer Rest}`
  ? Words<First> | Words<Rest>
  : S extends `${number}`
    ? never
    : S;
type ShapeOf<A> = A extends string ? A : A extends { shape: infer S extends string } ? S : never;

/** A shape of float32 values, or a shape with its number format. */
type Declared = string | { readonly shape: string; readonly dtype: DType };

/** What `activations` declares: names `N` of tensors that forward makes, `I` of those it only reads, dimensions `D` of the shapes. */
export interface ActivationSpec<N extends string = string, I extends string = string, D extends string = string> {
  readonly made: Readonly<Record<N, Declared>>;
  readonly inputs: readonly I[];
  /** Exists for its type only. */
  readonly dims?: D;
}

/**
 * Declares the activations of a part.
 * @param made shapes of the tensors that forward makes
 * @param inputs names of tensors that another part makes (or the caller, like an image) and backward reads
 */
/* @__NO_SIDE_EFFECTS__ */
export const activations = <const A extends Record<string, Declared>, const I extends string = never>(
  made: A,
  inputs: readonly I[] = [],
): ActivationSpec<keyof A & string, I, Words<ShapeOf<A[keyof A]>>> => ({ made, inputs });

const dtypeOf = (declared: Declared): DType => (typeof declared === 'string' ? 'f32' : declared.dtype);

function shapeOf(declared: Declared, dims: Readonly<Record<string, number>>): number[] {
  return (typeof declared === 'string' ? declared : declared.shape).split(' ').map((word) => {
    const size = dims[word] ?? Number(word);
    if (!Number.isInteger(size)) throw new Error(`activations: the dimension ${word} has no size.`);
    return size;
  });
}

/** Bytes of the tensors that forward of a part makes and saves for backward. */
export const activationBytes = <D extends string>(spec: ActivationSpec<string, string, D>, dims: Readonly<Record<D, number>>) =>
  Object.values(spec.made).reduce((sum, declared) => sum + sizeOf(shapeOf(declared, dims)) * BYTES[dtypeOf(declared)], 0);

/** The activations of one part in one forward pass. */
export class PartActs<N extends string, I extends string> {
  constructor(
    private readonly acts: Acts,
    private readonly spec: ActivationSpec<N, I>,
    private readonly dims: Readonly<Record<string, number>>,
  ) {}

  /** The tensor of an activation; its contents are unspecified. */
  tensor(name: N): Tensor {
    const declared = this.spec.made[name];
    return this.acts.tensor(name, shapeOf(declared, this.dims), dtypeOf(declared));
  }

  /** The same, for an activation that backward alone reads; undefined where there is no backward pass. */
  forBackward(name: N): Tensor | undefined {
    return this.acts.keep ? this.tensor(name) : undefined;
  }

  /** Lets backward find a tensor that this part reads and another makes. */
  input(name: I, tensor: Tensor): void {
    this.acts.refer(name, tensor);
  }
}

/**
 * Generation and training run one model definition and differ here: generation frees each activation as soon as it is `done`
 * (the backend reuses the memory), training saves them under their names for the backward pass.
 */
export class Acts {
  private readonly made = new Map<string, Tensor>();
  private readonly references = new Map<string, Tensor>();

  /** @param keep whether activations are saved for a backward pass; `free` frees them. */
  constructor(
    readonly be: Backend,
    readonly keep = false,
    private readonly path = '',
    private readonly root: Acts | undefined = undefined,
  ) {}

  /** The activations that forward of a part makes, of these dimensions. */
  part<N extends string, I extends string, D extends string>(
    spec: ActivationSpec<N, I, D>,
    dims: Readonly<Record<D, number>>,
  ): PartActs<N, I> {
    return new PartActs(this, spec, dims);
  }

  /** All activations of a part, for its backward. Throws an error with the name of one that forward did not save. */
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

  /** A tensor under a name that no part declares. When activations are saved, every pass gets the same one. */
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

  /** @internal See PartActs.input. */
  refer(name: string, t: Tensor): void {
    if (this.keep) (this.root ?? this).references.set(`${this.path}${name}`, t);
  }

  /** Activations of a part within this one, under names of their own. */
  child(name: string | number): Acts {
    return this.keep ? new Acts(this.be, true, `${this.path}${name}.`, this.root ?? this) : this;
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

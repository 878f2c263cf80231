/** Activations of a forward pass. */
import type { Backend } from '../backend/backend.js';
import type { DType, Tensor } from '../core/tensor.js';

/**
 * Generation and training run one model definition and differ here: generation gives each activation back as soon as it is
 * `done` (the backend reuses the memory), training keeps them under their names for the backward pass.
 */
export class Acts {
  private readonly kept = new Map<string, Tensor>();
  private readonly aliases = new Map<string, Tensor>();

  constructor(
    readonly be: Backend,
    readonly keep = false,
    private readonly path = '',
    private readonly root: Acts | undefined = undefined,
  ) {}

  /** A tensor for activation `name`; when kept, the same one every pass. */
  tensor(name: string, shape: readonly number[], dtype: DType = 'f32'): Tensor {
    if (!this.keep) return this.be.tensor(shape, dtype);
    const { kept } = this.root ?? this;
    const key = `${this.path}${name}`;
    const have = kept.get(key);
    if (have && have.shape.length === shape.length && have.shape.every((n, i) => n === shape[i])) return have;
    this.be.free(have);
    const t = this.be.tensor(shape, dtype);
    kept.set(key, t);
    return t;
  }

  /** Lets backward find a tensor that something else keeps (a block's input, the image) under `name`. */
  alias(name: string, t: Tensor): void {
    if (this.keep) (this.root ?? this).aliases.set(`${this.path}${name}`, t);
  }

  /** What forward kept under `name`. */
  get(name: string): Tensor {
    const { kept, aliases } = this.root ?? this;
    const key = `${this.path}${name}`;
    const t = kept.get(key) ?? aliases.get(key);
    if (!t) throw new Error(`backward: no activation ${key} was kept; run forward on new Acts(be, true) first.`);
    return t;
  }

  /** Activations of a part, under its own names. */
  child(name: string | number): Acts {
    return this.keep ? new Acts(this.be, true, `${this.path}${name}.`, this.root ?? this) : this;
  }

  /** These are not read again in this pass. */
  done(...tensors: (Tensor | undefined)[]): void {
    if (!this.keep) this.be.free(...tensors);
  }

  /** Frees all kept activations. */
  free(): void {
    this.be.free(...this.kept.values());
    this.kept.clear();
    this.aliases.clear();
  }
}

/**
 * The interface between models and devices: tensors and `run(entry, tensors, attrs)`. Nothing here is specific to one device.
 * Commands run in order: at once or, when called inside `record`, each time the recording is replayed. Only `read` and `settle`
 * wait for the device.
 */
import { type AimError, DeviceError, DisposedError, ShapeError } from '../core/errors.js';
import { BYTES, type DType, type NumArray, SLICE_BYTES, type Storage, sizeOf, type Tensor } from '../core/tensor.js';
import {
  type AnyEntry,
  type AttrArgs,
  type AttrSpec,
  type Dims,
  type Entry,
  type Runner,
  resolveDims,
  type TensorArgs,
  type TensorSpec,
} from '../ops/spec.js';

export type BackendName = 'reference' | 'wasm' | 'webgpu';

/** One prepared step of work, with the figures that a profiler needs. */
export interface Command extends Cost {
  readonly key: string;
}

/** The cost of a command: floating-point operations, and the bytes moved if each tensor is moved once. */
export interface Cost {
  readonly flops: number;
  readonly bytes: number;
}

/** Time and work, summed by op. */
export type Profile = Map<string, { ms: number; calls: number; flops: number; bytes: number }>;

/** Adds a command that took `ms` milliseconds to a profile. */
export function tally(rows: Profile, { key, flops, bytes }: Command, ms: number): void {
  const row = rows.get(key) ?? { ms: 0, calls: 0, flops: 0, bytes: 0 };
  row.ms += ms;
  row.calls++;
  row.flops += flops;
  row.bytes += bytes;
  rows.set(key, row);
}

/** Facts about a device that callers need to schedule their work. */
export interface Traits {
  /** True if work runs on the device while the caller continues. Otherwise `run` returns when the work is done. */
  readonly asynchronous: boolean;
  /** True if another device may replace this one when it is lost. */
  readonly replaceable: boolean;
  /** Images that `generate` draws at once by default. */
  readonly defaultBatch: number;
  /** True if tensors may be f16. */
  readonly halves: boolean;
  /** True if matrix products may round their factors to f16 (`precision: 'mixed'` on WebGPU). */
  readonly roundsProducts: boolean;
  /** True if large products do round them, because the device has matrix units for f16. */
  readonly matrixUnits: boolean;
  /** True if training stores activations and their gradients as f16: in mixed precision, where kernels can write f16. */
  readonly halfActivations: boolean;
  /** Bytes of a large product's result to compute at a time: enough to keep the device busy. */
  readonly chunkBytes: number;
}

/** Traits of a backend whose `run` returns only when the work is done. */
export const SYNCHRONOUS: Traits = {
  asynchronous: false,
  replaceable: false,
  defaultBatch: 10,
  halves: false,
  roundsProducts: false,
  matrixUnits: false,
  halfActivations: false,
  chunkBytes: 2 ** 26,
};

export abstract class Backend<S extends Storage = Storage, C extends Command = Command> implements Runner {
  abstract readonly name: BackendName;
  /** The device as shown to the user, e.g. `webgpu (NVIDIA H100)`. */
  abstract readonly description: string;
  abstract readonly traits: Traits;
  /** Bytes held by live tensors and recordings. */
  bytes = 0;
  /** The error that made the device unusable: it was lost, ran out of memory or refused a command. Every later use throws it. */
  failure: AimError | undefined;
  /** True if the device itself is gone. The same work may succeed on another device (recovery.ts). */
  lost = false;
  protected disposed = false;
  private recording: Recording<S, C> | undefined;

  /**
   * A tensor of unspecified contents. Throws OutOfMemoryError if the device cannot hold it, DeviceError for f16 without support.
   */
  tensor(shape: readonly number[], dtype: DType = 'f32'): Tensor {
    this.assertLive();
    if (dtype === 'f16' && !this.traits.halves) throw new DeviceError(`${this.name} holds no f16 tensors; use dtype 'f32'.`);
    const size = sizeOf(shape);
    const bytes = Math.max(16, Math.ceil((size * BYTES[dtype]) / 16) * 16);
    let storage = this.recording?.reuse(bytes);
    if (!storage) {
      storage = this.allocate(bytes, shape);
      this.bytes += bytes;
      this.recording?.own(storage);
    }
    storage.released = false;
    return { shape, dtype, size, storage, offset: 0 };
  }

  /** A new tensor filled with `data`, row by row. */
  from(data: ArrayLike<number>, shape: readonly number[] = [data.length], dtype: DType = 'f32'): Tensor {
    const t = this.tensor(shape, dtype);
    this.write(t, dtype === 'u32' ? Uint32Array.from(data) : data instanceof Float32Array ? data : Float64Array.from(data));
    return t;
  }

  /** The same memory with another shape of equal size. Throws ShapeError if the sizes differ. */
  reshape(t: Tensor, shape: readonly number[]): Tensor {
    if (sizeOf(shape) !== t.size)
      throw new ShapeError(`reshape: [${t.shape.join(', ')}] does not hold [${shape.join(', ')}]; keep the number of elements.`);
    return { ...t, shape };
  }

  /** Rows first, …, first + count − 1 of a tensor's leading dimension. The result shares its memory. Throws ShapeError. */
  slice(t: Tensor, first: number, count: number): Tensor {
    const row = t.size / t.shape[0]!;
    const offset = t.offset + first * row;
    if (first < 0 || count < 1 || first + count > t.shape[0]! || (offset * BYTES[t.dtype]) % SLICE_BYTES)
      throw new ShapeError(
        `slice: rows ${first} to ${first + count} of [${t.shape.join(', ')}]; they must lie inside and begin at a multiple of ` +
          `${SLICE_BYTES / BYTES[t.dtype]} elements.`,
      );
    return { ...t, shape: [count, ...t.shape.slice(1)], size: count * row, offset };
  }

  /**
   * Frees the memory of tensors, and so of all tensors that share it. Inside `record` the memory is reserved for later tensors of
   * the same recording.
   */
  free(...tensors: (Tensor | undefined)[]): void {
    for (const t of tensors) {
      if (!t || t.storage.released || this.disposed) continue;
      if (t.storage.recorded) {
        this.recording?.release(t.storage as S);
        continue;
      }
      t.storage.released = true;
      this.bytes -= t.storage.bytes;
      this.release(t.storage as S);
    }
  }

  /** Runs an entry of an op, or records it. Throws ShapeError if the tensors do not match its spec. */
  run<T extends Record<string, TensorSpec>, A extends Record<string, AttrSpec>>(
    e: Entry<T, A>,
    tensors: TensorArgs<Entry<T, A>, Tensor>,
    attrs: AttrArgs<Entry<T, A>> = {} as AttrArgs<Entry<T, A>>,
  ): void {
    this.assertLive();
    const args = tensors as Record<string, Tensor | undefined>;
    const dims = resolveDims(e as unknown as AnyEntry, args, attrs as Record<string, number>);
    for (const name of e.names) {
      if (args[name]?.storage.released) throw new DisposedError(`${e.key}: tensor ${name}`);
    }
    const d = dims as Dims<T, A>;
    const cost = { flops: e.flops?.(d) ?? 0, bytes: e.bytes?.(d) ?? bytesMoved(e as unknown as AnyEntry, args) };
    const commands = this.prepare(e as unknown as AnyEntry, args, dims, cost);
    if (commands) for (const command of commands) this.submit(command);
    else e.parts!(this, args as Parameters<NonNullable<typeof e.parts>>[1], d);
  }

  /** Fills a tensor with zeros. Runs in order with the other commands. */
  zero(t: Tensor): void {
    this.assertLive();
    this.submit(this.prepareZero(t));
  }

  /**
   * Records the commands that `fn` issues without running them. Tensors made inside belong to the recording and live until it is
   * disposed. `write`, `read` and nested recordings are not allowed inside.
   */
  record<R>(fn: () => R): { recording: Recording<S, C>; result: R } {
    this.assertLive();
    if (this.recording) throw new Error('record: already recording');
    const recording = new Recording<S, C>(this);
    this.recording = recording;
    try {
      const result = fn();
      this.finish(recording.commands);
      return { result, recording };
    } catch (error) {
      this.recording = undefined;
      recording.dispose();
      throw error;
    } finally {
      this.recording = undefined;
    }
  }

  /**
   * Copies `data` into a tensor, starting at element `offset`. Runs after all work submitted before. Values for an f16 tensor are
   * rounded to nearest, and its offset must be even. Throws ShapeError if the data does not fit.
   */
  write(t: Tensor, data: NumArray, offset = 0): void {
    this.assertLive();
    if (this.recording) throw new Error('write: not allowed while recording');
    if (offset + data.length > t.size) throw new ShapeError(`write: ${data.length} values at ${offset} do not fit in ${t.size}.`);
    this.upload(t, data, offset);
  }

  /** The tensor's values, after all work submitted so far. */
  async read(t: Tensor): Promise<NumArray> {
    this.assertLive();
    if (t.storage.released) throw new DisposedError('read: tensor');
    return this.download(t);
  }

  /** Frees everything. Further use throws DisposedError. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.bytes = 0;
    this.destroy();
  }

  /** @internal Called by a recording that is disposed. */
  releaseOwned(storages: Iterable<S>): void {
    if (this.disposed) return;
    for (const s of storages) {
      s.released = true;
      s.recorded = false;
      this.bytes -= s.bytes;
      this.release(s);
    }
  }

  /** @internal Runs prepared commands in order. */
  abstract execute(commands: readonly C[]): void;
  /** @internal Compiles what commands need, as much as possible at the same time; otherwise it is compiled when they run. */
  async compile(_commands: readonly C[]): Promise<void> {}
  /** Adds the kernels of another WASM binary, which is compiled at once. Does nothing on other backends. */
  extend(_binary: () => Uint8Array<ArrayBuffer>): void {}
  /** Measures the time of each op that `fn` runs. Waits for each command, so the total exceeds the usual time. */
  abstract profile(fn: () => Promise<unknown>): Promise<Profile>;
  /** Waits until all submitted work is done; throws DeviceError if any of it failed. */
  abstract settle(): Promise<void>;
  protected abstract allocate(bytes: number, shape: readonly number[]): S;
  protected abstract release(storage: S): void;
  /** The commands of a call; undefined for a composite that this backend runs as its parts. */
  protected abstract prepare(
    e: AnyEntry,
    tensors: Record<string, Tensor | undefined>,
    dims: Record<string, number>,
    cost: Cost,
  ): C[] | undefined;
  protected abstract prepareZero(t: Tensor): C;
  /** Makes prepared commands ready to run. Gets all commands of a recording together, since they may share resources. */
  protected finish(_commands: readonly C[]): void {}
  protected abstract upload(t: Tensor, data: NumArray, offset: number): void;
  protected abstract download(t: Tensor): Promise<NumArray>;
  protected abstract destroy(): void;

  /** @internal Throws the device's failure, or DisposedError after `dispose`. Returns if the backend can be used. */
  assertLive(): void {
    if (this.failure) throw this.failure;
    if (this.disposed) throw new DisposedError(`the ${this.name} backend`);
  }

  private submit(command: C): void {
    if (this.recording) {
      this.recording.commands.push(command);
      return;
    }
    this.finish([command]);
    this.execute([command]);
  }
}

function bytesMoved(e: AnyEntry, tensors: Record<string, Tensor | undefined>): number {
  return e.names.reduce((sum, name) => {
    const t = tensors[name];
    return sum + (t ? t.size * BYTES[t.dtype] * (e.tensors[name].io === 'inout' ? 2 : 1) : 0);
  }, 0);
}

/** Work that is prepared once and replayed any number of times. Owns the tensors that were made while recording. */
export class Recording<S extends Storage = Storage, C extends Command = Command> {
  readonly commands: C[] = [];
  private readonly owned = new Set<S>();
  private readonly spare = new Map<number, S[]>();
  private compiled: Promise<void> | undefined;
  private disposed = false;

  constructor(private readonly backend: Backend<S, C>) {}

  /** The cost of one replay. */
  get cost(): Cost & { commands: number } {
    const sum = (key: keyof Cost) => this.commands.reduce((total, c) => total + c[key], 0);
    return { flops: sum('flops'), bytes: sum('bytes'), commands: this.commands.length };
  }

  /** Compiles all kernels at the same time, where the backend compiles any. Without it, the first replay compiles one by one. */
  compile(): Promise<void> {
    this.compiled ??= this.backend.compile(this.commands);
    return this.compiled;
  }

  /** Runs the recorded commands once. */
  replay(): void {
    if (this.disposed) throw new DisposedError('a recording');
    this.backend.assertLive();
    this.backend.execute(this.commands);
  }

  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.backend.releaseOwned(this.owned);
    this.owned.clear();
  }

  /** @internal Makes the recording the owner of this memory. */
  own(s: S): void {
    s.recorded = true;
    this.owned.add(s);
  }
  /** @internal Memory that was freed earlier in this recording. It can be used again, because replay runs in order. */
  reuse(bytes: number): S | undefined {
    return this.spare.get(bytes)?.pop();
  }
  /** @internal Makes memory of this recording available to `reuse`. */
  release(s: S): void {
    if (!this.owned.has(s)) return;
    s.released = true;
    const list = this.spare.get(s.bytes);
    if (list) list.push(s);
    else this.spare.set(s.bytes, [s]);
  }
}

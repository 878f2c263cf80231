/** The GPU buffers of a device: those of tensors (with a pool of spare ones), uniforms, and placeholders for omitted tensors. */
import { OutOfMemoryError } from '../core/errors.js';
import type { Storage } from '../core/tensor.js';
import type { AnyEntry } from '../ops/spec.js';
import { GPU_COPY_DST, GPU_COPY_SRC, GPU_STORAGE, GPU_UNIFORM } from './gpu_flags.js';

/** The memory of a tensor: a whole GPU buffer. */
export interface GpuStorage extends Storage {
  buffer: GPUBuffer;
}

/** Bytes of spare buffers that are allowed, unless more than that is in use. */
const SPARE = 256 * 2 ** 20;

/** Bytes of a placeholder for an omitted tensor. */
export const DUMMY = 16;

/** The most uniform buffers to cache. Sampling options are uniforms, so the number of different contents is unbounded. */
const PARAMS = 1024;

/** Allocates and caches the buffers of one device. */
export class Buffers {
  /** Buffers of tensors, in use or spare. */
  private readonly all = new Set<GPUBuffer>();
  private readonly spare = new Map<number, GPUBuffer[]>();
  private spareBytes = 0;
  private readonly params = new Map<string, GPUBuffer>();
  private readonly dummies: GPUBuffer[] = [];

  constructor(private readonly device: GPUDevice) {}

  /** The largest size of a tensor, in bytes. */
  get largest(): number {
    const { maxStorageBufferBindingSize, maxBufferSize } = this.device.limits;
    return Math.min(maxStorageBufferBindingSize, maxBufferSize);
  }

  /** A buffer of unspecified contents. Throws OutOfMemoryError if the device cannot bind that many bytes. */
  allocate(bytes: number, shape: readonly number[]): GpuStorage {
    const { largest } = this;
    if (bytes > largest)
      throw new OutOfMemoryError(
        `a tensor of [${shape.join(', ')}] needs ${mib(bytes)} but this GPU device binds at most ` +
          `${mib(largest)}; draw fewer images at once or use device 'wasm'.`,
      );
    let buffer = this.spare.get(bytes)?.pop();
    if (buffer) this.spareBytes -= bytes;
    else {
      buffer = this.device.createBuffer({ size: bytes, usage: GPU_STORAGE | GPU_COPY_SRC | GPU_COPY_DST });
      this.all.add(buffer);
    }
    return { bytes, released: false, buffer };
  }

  /** Returns a buffer to the pool. */
  release(s: GpuStorage): void {
    const list = this.spare.get(s.bytes);
    if (list) list.push(s.buffer);
    else this.spare.set(s.bytes, [s.buffer]);
    this.spareBytes += s.bytes;
  }

  /** Destroys the spare buffers if they exceed both SPARE and the `inUse` bytes. All work must have been submitted before. */
  trim(inUse: number): void {
    if (this.spareBytes <= Math.max(SPARE, inUse)) return;
    for (const b of [...this.spare.values()].flat()) {
      b.destroy();
      this.all.delete(b);
    }
    this.spare.clear();
    this.spareBytes = 0;
  }

  /** The uniforms of a call: dims, attributes, and a flag for each optional tensor. Calls with equal contents share a buffer. */
  uniforms(e: AnyEntry, given: (name: string) => boolean, dims: Record<string, number>): GPUBuffer {
    const names = [...e.dimNames, ...e.attrNames];
    const optional = e.names.filter((n) => e.tensors[n].optional);
    const data = new DataView(new ArrayBuffer(Math.max(16, Math.ceil((names.length + optional.length) / 4) * 16)));
    names.forEach((n, i) => {
      if (e.attrs?.[n] === 'f32') data.setFloat32(i * 4, dims[n]!, true);
      else data.setUint32(i * 4, dims[n]!, true);
    });
    optional.forEach((n, i) => {
      data.setUint32((names.length + i) * 4, given(n) ? 1 : 0, true);
    });
    const key = String.fromCharCode(...new Uint16Array(data.buffer));
    let buffer = this.params.get(key);
    if (!buffer) {
      buffer = this.device.createBuffer({ size: data.byteLength, usage: GPU_UNIFORM | GPU_COPY_DST });
      this.device.queue.writeBuffer(buffer, 0, data.buffer);
      // Recordings may still bind the evicted buffer, so it is left to the garbage collector.
      if (this.params.size === PARAMS) this.params.delete(this.params.keys().next().value!);
      this.params.set(key, buffer);
    }
    return buffer;
  }

  /** The placeholder for binding `i`. Each binding has its own, because a dispatch may bind a writable buffer only once. */
  dummy(i: number): GPUBuffer {
    this.dummies[i] ??= this.device.createBuffer({ size: DUMMY, usage: GPU_STORAGE });
    return this.dummies[i];
  }

  destroy(): void {
    for (const b of [...this.all, ...this.params.values(), ...this.dummies]) b?.destroy();
  }
}

const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

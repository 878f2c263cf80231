/** The float64 truth: runs each spec's own reference. For tests and `aim verify`, not for users' images. */
import { DeviceError } from '../core/errors.js';
import type { NumArray, Storage, Tensor } from '../core/tensor.js';
import type { AnyEntry, RefArray } from '../ops/spec.js';
import { Backend, type Command, type Cost, type Profile } from './backend.js';

interface ReferenceStorage extends Storage {
  f32: Float64Array;
  u32: Uint32Array;
}

interface ReferenceCommand extends Command {
  run(): void;
}

export class ReferenceBackend extends Backend<ReferenceStorage, ReferenceCommand> {
  readonly name = 'reference';
  readonly description = 'reference (float64, single thread)';

  execute(commands: readonly ReferenceCommand[]): void {
    for (const c of commands) c.run();
  }
  async settle(): Promise<void> {
    this.assertLive();
  }
  async profile(): Promise<Profile> {
    throw new DeviceError("the reference is not made to be fast; profile 'wasm' or 'webgpu'.");
  }

  protected allocate(bytes: number): ReferenceStorage {
    const f32 = new Float64Array(bytes / 4);
    return { bytes, released: false, f32, u32: new Uint32Array(f32.buffer, 0, bytes / 4) };
  }
  protected release(): void {}

  protected prepare(e: AnyEntry, tensors: Record<string, Tensor | undefined>, dims: Record<string, number>, cost: Cost) {
    const { reference } = e;
    if (!reference)
      throw new DeviceError("the published library has no float64 references; use device 'wasm', or the `aim` command.");
    const args: Record<string, RefArray | undefined> = {};
    for (const name of e.names) {
      const t = tensors[name];
      args[name] = t && view(t);
    }
    return [{ key: e.key, ...cost, run: () => reference(args as Record<string, RefArray>, dims) }];
  }
  protected prepareZero(t: Tensor) {
    return { key: 'zero', flops: 0, bytes: t.size * 4, run: () => void view(t).fill(0) };
  }
  protected upload(t: Tensor, data: NumArray, offset: number): void {
    view(t).set(data, offset);
  }
  protected async download(t: Tensor): Promise<NumArray> {
    return view(t).slice();
  }
  protected destroy(): void {}
}

function view(t: Tensor): RefArray {
  return (t.storage as ReferenceStorage)[t.dtype === 'u32' ? 'u32' : 'f32'].subarray(t.offset, t.offset + t.size);
}

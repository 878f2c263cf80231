/**
 * Runs the float64 references of src/ops/<op>.reference.ts. Tests and `aim verify` check the other backends against them. The
 * published library does not contain this backend: the `aim` command and the tests pass it as `DeviceOptions.backend`.
 */
import { DeviceError } from '../core/errors.js';
import type { NumArray, Storage, Tensor } from '../core/tensor.js';
import * as references from '../ops/references.js';
import type { AnyEntry, RefArray } from '../ops/spec.js';
import { Backend, type Command, type Cost, type Profile, SYNCHRONOUS } from './backend.js';

interface ReferenceStorage extends Storage {
  f32: Float64Array;
  u32: Uint32Array;
}

interface ReferenceCommand extends Command {
  run(): void;
}

/** Runs every op by its float64 reference, one after the other. */
export class ReferenceBackend extends Backend<ReferenceStorage, ReferenceCommand> {
  readonly name = 'reference';
  readonly description = 'reference (float64, single thread)';
  readonly traits = SYNCHRONOUS;

  execute(commands: readonly ReferenceCommand[]): void {
    for (const c of commands) c.run();
  }
  async settle(): Promise<void> {
    this.assertLive();
  }
  async profile(): Promise<Profile> {
    throw new DeviceError("the reference backend is not built for speed; profile 'wasm' or 'webgpu'.");
  }

  protected allocate(bytes: number): ReferenceStorage {
    const f32 = new Float64Array(bytes / 4);
    return { bytes, released: false, f32, u32: new Uint32Array(f32.buffer, 0, bytes / 4) };
  }
  protected release(): void {}

  protected prepare(e: AnyEntry, tensors: Record<string, Tensor | undefined>, dims: Record<string, number>, cost: Cost) {
    if (e.parts) return undefined;
    const reference = referenceOf(e);
    const args: Record<string, RefArray | undefined> = {};
    for (const name of e.names) {
      const t = tensors[name];
      args[name] = t && view(t);
    }
    return [{ key: e.key, ...cost, run: () => reference(args, dims) }];
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

type AnyReference = (tensors: Record<string, RefArray | undefined>, dims: Record<string, number>) => void;

/** The reference of an entry. Throws DeviceError if it has none. */
export function referenceOf(e: AnyEntry): AnyReference {
  const ops = references as unknown as Record<string, Record<string, AnyReference> | undefined>;
  const reference = ops[e.op]?.[e.entry];
  if (!reference)
    throw new DeviceError(
      `${e.key} has no float64 reference; \`references\` of src/ops/${e.op}.reference.ts must have \`${e.entry}\`, and ` +
        'src/ops/references.ts must export them.',
    );
  return reference;
}

/** The values of a tensor as a view of its memory. */
function view(t: Tensor): RefArray {
  return (t.storage as ReferenceStorage)[t.dtype === 'u32' ? 'u32' : 'f32'].subarray(t.offset, t.offset + t.size);
}

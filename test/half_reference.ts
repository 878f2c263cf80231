/** The float64 reference of a device that trains in mixed precision with float16 activations: it rounds what is stored as f16. */
import { type Cost, SYNCHRONOUS } from '../src/backend/backend.js';
import { ReferenceBackend } from '../src/backend/reference.js';
import { floatsToHalves, halvesToFloats } from '../src/core/half.js';
import type { Tensor } from '../src/core/tensor.js';
import type { AnyEntry } from '../src/ops/spec.js';

export class HalfReference extends ReferenceBackend {
  override readonly traits = { ...SYNCHRONOUS, halves: true, halfActivations: true };

  // Memory for two bytes an element, whatever the format.
  protected override allocate(bytes: number) {
    return { ...super.allocate(2 * bytes), bytes };
  }

  protected override prepare(e: AnyEntry, tensors: Record<string, Tensor | undefined>, dims: Record<string, number>, cost: Cost) {
    const written = (e.names as string[]).flatMap((name) => {
      const t = tensors[name];
      return t?.dtype === 'f16' && e.tensors[name].io !== 'in' ? [t] : [];
    });
    return super.prepare(e, tensors, dims, cost)?.map((command) => ({
      ...command,
      run: () => {
        command.run();
        for (const t of written) this.round(t);
      },
    }));
  }

  private round(t: Tensor): void {
    const { f32 } = t.storage as unknown as { f32: Float64Array };
    const values = f32.subarray(t.offset, t.offset + t.size);
    values.set(halvesToFloats(floatsToHalves(Float32Array.from(values))));
  }
}

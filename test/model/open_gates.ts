/** Models whose gradients are all of the size that they have in training. */
import type { AiM } from '../../src/aim.js';

/** Gives parameters that start at zero, gates among them, values: behind a closed gate every gradient is zero. */
export async function openGates({ model }: AiM): Promise<void> {
  for (const [, { tensor }] of model.named({ be: model.be, params: model.params }, 'mamba.')) {
    const values = await model.be.read(tensor);
    if (values.every((v) => v === 0))
      model.be.write(
        tensor,
        values.map((_, i) => Math.sin(i * 12.9898) / 2),
      );
  }
}

/** Checks of the values in a training state: one that is not finite, or cannot come from training, must neither be saved nor used. */
import { CheckpointError, TrainingError } from '../core/errors.js';
import type { NumArray } from '../core/tensor.js';
import type { NamedTensor, SavedCheckpoint } from './saved.js';

/** The second moments of AdamW: averages of squares, which are never negative. */
const SQUARES = /^v\./;

/** Index of the first value that no sound training state has in the tensor `name`, or −1. */
function badIndex(name: string, values: NumArray): number {
  const least = SQUARES.test(name) ? 0 : -Number.MAX_VALUE;
  for (let i = 0; i < values.length; i++) {
    const v = values[i]!;
    // False for NaN as well.
    if (!(v >= least && v <= Number.MAX_VALUE)) return i;
  }
  return -1;
}

/** Throws CheckpointError for values of a saved state that cannot be continued from. */
export function checkSavedValues(path: string, part: string, name: string, values: NumArray): void {
  const i = badIndex(name, values);
  if (i >= 0)
    throw new CheckpointError(
      `${path}/${part}.safetensors: ${name} has ${values[i]} at index ${i}; the state is damaged: take another checkpoint.`,
    );
}

/** Reads every tensor of a checkpoint. Throws CheckpointError for damaged files and values. */
export async function checkContent(saved: SavedCheckpoint): Promise<void> {
  for (const part of ['model', 'optimizer', ...(saved.hasEma ? ['ema' as const] : [])] as const)
    for await (const _ of saved.tensors(part)) void _;
}

/** The same tensors; reading one with a value that is not finite throws TrainingError. */
export function soundTensors(tensors: Iterable<NamedTensor>, step: number, lr: unknown): NamedTensor[] {
  return Array.from(tensors, (tensor) => ({
    ...tensor,
    data: async () => {
      const values = typeof tensor.data === 'function' ? await tensor.data() : tensor.data;
      const i = badIndex(tensor.name, values);
      if (i >= 0)
        throw new TrainingError(
          `step ${step}: ${tensor.name} has ${values[i]} at index ${i}, so this state is not saved. ${divergenceRemedy(lr)}`,
        );
      return values;
    },
  }));
}

/** The error of step `step`, whose loss or gradients (`culprits`) are not finite. */
export function diverged(
  step: number,
  { culprits, loss, lr }: { culprits: readonly string[]; loss: number; lr: unknown },
): TrainingError {
  const more = culprits.length > 1 ? ` (and ${culprits.length - 1} more)` : '';
  const where = culprits.length ? `the gradient of ${culprits[0]}${more}` : 'the loss';
  return new TrainingError(
    `step ${step}: ${where} is not finite (loss ${loss}): training has diverged, and the steps before may have ruined the ` +
      `weights already. ${divergenceRemedy(lr)}`,
  );
}

/** Advice for a training that has diverged, as part of an error message. */
export function divergenceRemedy(lr: unknown): string {
  const lower = typeof lr === 'number' && lr > 0 ? Number((lr / 10).toPrecision(2)) : 'LR';
  return (
    `Continue from the last checkpoint with a lower learning rate (\`--resume --lr ${lower}\`; in code resume() of a Trainer with a ` +
    'lower lr), or begin a new run with a lower learning rate or a longer warm-up.'
  );
}

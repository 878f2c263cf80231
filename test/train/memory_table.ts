/** What training holds on a GPU, counted on one that computes nothing. */
import { aimActivationBytes } from '../../src/model/aim.js';
import { rowsAtOnce } from '../../src/model/head.js';
import { Model } from '../../src/model/model.js';
import { countParams } from '../../src/model/params.js';
import { PRESETS } from '../../src/model/presets.js';
import { trainingBytes } from '../../src/train/memory.js';
import type { TrainerOptions } from '../../src/train/options.js';
import { Trainer } from '../../src/train/trainer.js';
import { planningBackend } from '../planning_gpu.js';

export interface Subject {
  preset: 'aim-b' | 'aim-l' | 'aim-xl';
  layer: 'Mamba1' | 'Mamba2';
  precision: 'f32' | 'mixed';
}

/** Bytes of a run. */
export interface Memory {
  total: number;
  /** What `trainingBytes` foretells of `total`. */
  foretold: number;
  /** Of stage 2 and the tokenizer. */
  weights: number;
  gradients: number;
  /** The averages of the gradient and of its square. */
  moments: number;
  /** What forward saves for backward. */
  activations: number;
  /** A block of logits and its gradient. */
  logits: number;
  /** Temporary tensors, of which one layer's are the most. */
  temporary: number;
}

/** The memory of training a preset with each of the `runs`. */
export async function memoryOf({ preset, layer, precision }: Subject, runs: Partial<TrainerOptions>[]): Promise<Memory[]> {
  const be = planningBackend(precision);
  const model = await Model.filled({ ...PRESETS[preset], ssm_cfg: { layer } }, { backend: () => be }, () => {});
  const { config } = model;
  const weights = be.bytes;
  const gradients = 4 * countParams(model.tree.mamba.backbone);
  const results = runs.map((run) => {
    const trainer = new Trainer({ model, stage: 'model', ...run });
    const [total, foretold] = [be.bytes, trainingBytes(model, trainer.options)];
    const { batchSize, accumulate, recompute } = trainer.options;
    trainer.dispose();
    const b = batchSize / accumulate;
    const activations = aimActivationBytes(config, b, { recompute, ...be.traits });
    const logits = 8 * config.vocab_size * Math.min(b * config.num_tokens, rowsAtOnce(config, be.traits.chunkBytes));
    const rest = weights + 3 * gradients + activations + logits;
    return { total, foretold, weights, gradients, moments: 2 * gradients, activations, logits, temporary: total - rest };
  });
  model.dispose();
  return results;
}

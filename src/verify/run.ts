/** `aim verify`: compares what a backend computes with the golden values that belong to a checkpoint (expected.safetensors). */
import { checkOptions, type OptionTable } from '../core/options.js';
import type { ByteSource } from '../io/bytes.js';
import { parseHeader } from '../io/safetensors.js';
import { type ModelHandle, modelOf } from '../model/handle.js';
import { bringKernels } from '../train/kernels.js';
import type { VerifyRow } from './compare.js';
import { type Checked, Context, type VerifyOptions } from './context.js';
import { Stage2Checks } from './stage2.js';
import { TokenizerChecks } from './tokenizer.js';
import type { VerifyMode } from './tolerance.js';

export type { VerifyRow } from './compare.js';
export type { TestSet, VerifyOptions } from './context.js';

/** A golden that was not checked. */
export interface Skipped {
  name: string;
  reason: string;
}

/**
 * Checks every tensor of `source` whose name is known. Returns a row for each of them, and the others with the reason.
 *
 * The tolerance depends on how the model computes, which `mode` describes: `dtype: 'f16'` rounds weights that are not float16 in
 * the checkpoint, and `precision: 'mixed'` rounds the factors of products if the device has matrix units. A token or code may
 * then differ from the golden if the two candidates are within the tolerance; later positions are computed with the golden's
 * history. Rounded weights are also compared with the same weights in float32, to float32's tolerance. Training, which never uses
 * rounded weights, is skipped for them.
 *
 * Throws CheckpointError if the file does not have the form of goldens.
 *
 * @param handle The model, an AiM of `aim-js`.
 * @param source The file of goldens.
 */
export async function verify(
  handle: ModelHandle,
  source: ByteSource,
  options: VerifyOptions = {},
): Promise<{ mode: VerifyMode; rows: VerifyRow[]; skipped: Skipped[] }> {
  const model = modelOf(handle);
  checkOptions<VerifyOptions, typeof VERIFY>('verify', options, VERIFY);
  bringKernels(model.be);
  const header = await parseHeader(source, { signal: options.signal });
  const names = [...header.tensors.keys()];
  const rows: VerifyRow[] = [];
  const skipped: Skipped[] = [];
  const add = (row: VerifyRow) => {
    rows.push(row);
    options.onRow?.(row);
  };
  const context = new Context(model, source, header, options);
  const check = checker(context);
  try {
    for (const name of names) {
      options.signal?.throwIfAborted();
      if (name.startsWith('input.') || name === 'vq.image') continue;
      const checked = await check(name);
      if ('reason' in checked) skipped.push({ name, reason: checked.reason });
      else add(checked);
    }
  } finally {
    context.dispose();
  }
  return { mode: context.mode, rows, skipped };
}

const VERIFY = {
  testSet: { type: 'other', about: 'the data set whose images some goldens refer to by index' },
  slow: { type: 'boolean', about: 'run also the checks that take minutes on a slow device' },
  onRow: { type: 'function', about: 'called with each row' },
  signal: { type: 'signal', about: 'stops the checks' },
} as const satisfies OptionTable<VerifyOptions>;

const TRAINING = "training keeps float32 weights, so rounded ones are not what it is checked with; use dtype 'f32'";

/** Returns a function that checks the golden of a name, or returns the reason why it cannot. */
function checker(c: Context): (name: string) => Promise<Checked> {
  const stage2 = new Stage2Checks(c);
  const tokenizer = new TokenizerChecks(c);
  return async (name) => {
    const decode = /^decode\.(logits|greedy-tokens)\.positions-(trained|authors)\.cfg([\d.]+)$/.exec(name);
    if (decode) {
      const [, what, positions, w] = decode as unknown as [string, string, 'trained' | 'authors', string];
      const how = { positions, cfgScale: Number(w) };
      return what === 'logits' ? stage2.decodeLogits(name, how) : stage2.greedyTokens(name, how);
    }
    switch (name) {
      case 'forward.logits':
        return stage2.forwardLogits(name);
      case 'forward.loss':
        return stage2.forwardLoss(name);
      case 'vq.pre-quant':
        return tokenizer.features(name);
      case 'vq.codes':
        return tokenizer.codes(name);
      case 'vq.decoded-from-codes':
        return tokenizer.decoded(name);
    }
    const first = /^forward\.loss\.first-(\d+)-test-images$/.exec(name);
    if (first) return stage2.testLoss(name, Number(first[1]));
    if (c.model.rounded && /^(?:grad|adamw|vq\.loss)\./.test(name)) return { reason: TRAINING };
    const trained = /^(?:grad|adamw\.after5)\.(mamba\..+)$/.exec(name)?.[1];
    if (trained) return name.startsWith('grad.') ? stage2.gradient(name, trained) : stage2.afterSteps(name, trained);
    if (name === 'adamw.losses') return stage2.losses(name);
    const loss = /^vq\.loss\.(mse|codebook|commitment)$/.exec(name);
    if (loss) return tokenizer.loss(name, loss[1] as 'mse');
    if (name.startsWith('grad.vqvae.')) return tokenizer.gradient(name);
    return { reason: 'unknown name' };
  };
}

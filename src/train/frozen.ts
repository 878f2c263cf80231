/** Parameters that keep their values in training, chosen by name. */
import { OptionError } from '../core/errors.js';
import { nearest } from '../core/options.js';
import type { Model } from '../model/model.js';
import type { Part } from '../model/origin.js';
import { tokenizerOf } from '../model/tokenizers.js';

/** Only patterns with a star have several matches, such as `mamba.backbone.layers.*`. */
const matcher = (pattern: string) =>
  new RegExp(
    `^${pattern
      .split('*')
      .map((text) => text.replace(/[^\w]/g, '\\$&'))
      .join('.*')}$`,
  );

/**
 * Names of the parameters of `part` that the patterns name. Throws OptionError for a pattern that names none, for patterns that leave
 * nothing to train, and where the codebook would be frozen whose codes `restartCodes` moves.
 */
export function frozenNames(
  model: Model,
  part: Part,
  { freeze, restartCodes }: { freeze: readonly string[]; restartCodes: number },
): ReadonlySet<string> {
  const named = model.named(model.on, part);
  const names = [...named.keys()];
  const frozen = new Set<string>();
  for (const pattern of freeze) {
    const test = matcher(pattern);
    const found = names.filter((name) => test.test(name));
    if (found.length === 0) {
      const near = nearest(pattern, names) ?? names[0];
      throw new OptionError(
        `freeze: ${JSON.stringify(pattern)} names none of the ${names.length} parameters that are trained; give names of a checkpoint's ` +
          `tensors such as ${near}, in which * stands for any text.`,
      );
    }
    for (const name of found) frozen.add(name);
  }
  if (frozen.size === names.length)
    throw new OptionError(`freeze names all ${names.length} parameters, so that nothing is trained; name fewer.`);
  const codebook = restartCodes > 0 ? tokenizerOf(model.config.tokenizer).codebook(model.params.vqvae) : undefined;
  if ([...frozen].some((name) => named.get(name)!.tensor === codebook))
    throw new OptionError('restartCodes moves codes of the codebook, and freeze keeps them; leave one of them out.');
  return frozen;
}

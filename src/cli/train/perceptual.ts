/** The network of the tokenizer's perceptual loss: read from the user's files, or trained on the data and kept in the run folder. */
import { OptionError } from '../../core/errors.js';
import type { OptionSpec } from '../../core/options.js';
import type { ImageDataset } from '../../data/dataset.js';
import { ownFeaturesOf, trainOwnFeatures } from '../../evaluate/own_features.js';
import { bytesSource } from '../../io/bytes.js';
import { readBytes } from '../../io/file_source.js';
import { encodeSafetensors, parseHeader, readFloats } from '../../io/safetensors.js';
import { exists, writeAtomic } from '../../platform/files.js';
import type { FeatureNetwork } from '../../train/features.js';
import { openLpips } from '../../train/lpips.js';
import { choice, type Flags, flag, type Parsed, string } from '../command.js';
import { progress } from '../progress.js';

const KINDS = ['none', 'lpips', 'own'] as const;
const PERCEPTUAL: OptionSpec = { type: 'choice', choices: KINDS, about: 'perceptual loss' };
/** In the run folder. */
const FILE = 'own_features.safetensors';
const TENSOR = 'classifier';

export const perceptualFlags: Flags = {
  perceptual: flag(PERCEPTUAL, {
    help: 'perceptual loss: lpips needs --lpips; own is no LPIPS, but compares features of a small classifier that is first trained on DATA (default none)',
  }),
  lpips: {
    type: 'string',
    value: 'FILES',
    help: "the weights of LPIPS, one file or several separated by commas: vgg16-397923af.pth of torchvision with LPIPS's vgg.pth, or a .safetensors with the tensors of both",
  },
};

/** Returns undefined if no perceptual loss is asked for. */
export async function perceptualOf(
  flags: Parsed['flags'],
  { out, train, resumed, signal }: { out: string; train: ImageDataset; resumed: boolean; signal: AbortSignal },
): Promise<FeatureNetwork | undefined> {
  const files = string(flags, 'lpips');
  const kind = choice(flags, 'perceptual', KINDS) ?? (files === undefined ? 'none' : 'lpips');
  if (kind !== 'lpips' && files !== undefined)
    throw new OptionError(`--lpips gives the weights of LPIPS, and --perceptual is ${kind}; leave one of them out.`);
  if (kind === 'none') return undefined;
  if (kind === 'lpips') {
    if (files === undefined)
      throw new OptionError(
        '--perceptual lpips needs weights: give --lpips FILES, or take --perceptual own, which is trained on the data.',
      );
    return openLpips(files.split(','), { signal });
  }
  const path = `${out}/${FILE}`;
  const data = (await train.fingerprint?.()) ?? '';
  const kept = (await exists(path)) ? bytesSource(await readBytes(path), path) : undefined;
  if (kept) {
    const header = await parseHeader(kept);
    // One of a run that was interrupted before its first checkpoint does as well, if the data are the same.
    if (resumed || (data !== '' && header.metadata.get('data') === data)) {
      const weights = await readFloats(kept, header, TENSOR, { finite: true });
      return ownFeaturesOf(Float32Array.from(weights), train.size, train.classes.length);
    }
  }
  const bar = progress('classifier of the perceptual loss', 4, 'epochs');
  try {
    const { network, weights } = await trainOwnFeatures(train, { signal, onEpoch: (epoch) => bar.update(epoch) });
    const tensor = { name: TENSOR, dtype: 'F32', shape: [weights.length], data: weights } as const;
    await writeAtomic(path, encodeSafetensors([tensor], { data }));
    return network;
  } finally {
    bar.stop();
  }
}

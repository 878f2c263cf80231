/** Which architecture is trained: that of the weights to continue from, else what the flags, the --config file and the tokenizer say. */
import { openCheckpoint } from '../../checkpoint/source.js';
import { CheckpointError, OptionError } from '../../core/errors.js';
import { type AimConfigJson, parseConfig } from '../../model/config.js';
import { Fields } from '../../model/fields.js';
import { PRESETS } from '../../model/presets.js';
import { parseTokenizer, tokenizerOf } from '../../model/tokenizers.js';
import { exists } from '../../platform/files.js';
import type { SavedCheckpoint } from '../../train/folder.js';
import { DEFAULT_PRESET, isPaper, type PresetName, presetLike, stage2For, tokenizerFor, tokensOf } from '../../train/recipe.js';
import type { Stage } from '../../train/stage1.js';
import { type Parsed, string } from '../command.js';
import { embeddedModel } from '../model.js';
import { commonOptions } from '../options.js';
import { type Asked, checkArchitecture } from './flags.js';

/** Where runs are without --out. Stage 2 finds the tokenizer there. */
export const RUNS = { tokenizer: 'runs/tokenizer', model: 'runs/model' } as const satisfies Record<Stage, string>;

export interface Architecture {
  json: AimConfigJson;
  /** The checkpoint whose tokenizer a fresh stage-2 model takes. */
  tokenizer: string;
  /** The stage-2 model by which options are chosen that are not given; undefined where none are. */
  chosenFor: PresetName | undefined;
}

interface Given {
  flags: Parsed['flags'];
  asked: Asked;
  saved: SavedCheckpoint | undefined;
}

/** Throws OptionError for an architecture that contradicts the weights to begin from, or that lacks its tokenizer. */
export async function architectureOf(stage: Stage, given: Given): Promise<Architecture> {
  const { flags, asked, saved } = given;
  const { size, preset, architecture } = asked;
  const byTable = size !== undefined || preset !== undefined;
  checkPreset(string(flags, 'preset') as PresetName | undefined, architecture);
  const chosenFor = (json: AimConfigJson) => (byTable && !saved ? (preset ?? presetLike(json.d_model)) : undefined);
  const init = string(flags, 'init');
  if (saved || init !== undefined) {
    const weights = (saved?.config as AimConfigJson | undefined) ?? (await configAt(init!, flags));
    checkArchitecture({ weights, from: saved ? 'the run' : init! }, asked);
    return { json: weights, tokenizer: embeddedModel(), chosenFor: chosenFor(weights) };
  }
  if (stage === 'tokenizer') {
    const json = { ...(await tokenizerBase(asked, flags)), ...architecture } as AimConfigJson;
    checkSide(json, size);
    return { json, tokenizer: embeddedModel(), chosenFor: chosenFor(json) };
  }
  const named = string(flags, 'tokenizer') ?? (byTable ? await tokenizerRun(asked) : undefined);
  const tokenizer = named ?? embeddedModel();
  if (architecture && named === undefined) return { json: architecture as AimConfigJson, tokenizer, chosenFor: undefined };
  const of = await configAt(tokenizer, flags);
  const json = { ...withStage2(of, asked), ...architecture } as AimConfigJson;
  const tokenizerIn = ({ vq_config = {} }: AimConfigJson) =>
    JSON.stringify(parseTokenizer(Fields.of({ vq_config }, 'config.json').object('vq_config')));
  if (tokenizerIn(json) !== tokenizerIn(of))
    throw new OptionError(
      `the model in --config has another tokenizer than ${tokenizer}; leave vq_config and vocab_size out of it, which are taken from ` +
        'there, or name the tokenizer that it has with --tokenizer.',
    );
  checkSide(json, size);
  return { json, tokenizer, chosenFor: chosenFor(json) };
}

/** Throws OptionError where a --preset flag says something else than the model of the --config file. */
function checkPreset(preset: PresetName | undefined, architecture: Asked['architecture']): void {
  if (preset === undefined || architecture === undefined) return;
  const stage2 = stage2For(preset);
  for (const field of ['d_model', 'n_layer'] as const)
    if (architecture[field] !== undefined && architecture[field] !== stage2[field])
      throw new OptionError(
        `--preset ${preset} has ${field} ${stage2[field]}, and the model in --config ${architecture[field]}; leave one of them out.`,
      );
}

/** What a --config file's model is completed with in training a tokenizer. */
async function tokenizerBase({ size, preset, architecture }: Asked, flags: Parsed['flags']): Promise<Partial<AimConfigJson>> {
  // The checkpoint has a stage 2 too, which is not trained: a small one.
  if (size !== undefined) return { ...stage2For(preset ?? 'tiny'), ...tokenizerFor(size), num_classes: 1 };
  if (architecture) return {};
  if (preset === undefined) return configAt(embeddedModel(), flags);
  if (isPaper(preset)) return PRESETS[preset];
  throw new OptionError(
    `--preset ${preset} is a stage-2 model; say the size of the images with --size, which chooses the tokenizer.`,
  );
}

/** The config of a tokenizer's checkpoint with the size and the stage-2 model that are asked for. */
function withStage2(of: AimConfigJson, { size, preset }: Asked): AimConfigJson {
  if (size === undefined && preset === undefined) return of;
  const { tokenizer } = parseConfig(of);
  const num_tokens = size === undefined ? of.num_tokens : tokensOf(size, tokenizerOf(tokenizer).factor(tokenizer));
  const { vocab_size, vq_config, num_classes } = of;
  return { ...stage2For(preset ?? DEFAULT_PRESET), vocab_size, num_classes, num_tokens, ...(vq_config && { vq_config }) };
}

/** The tokenizer that `aim train tokenizer` has trained in this folder. Throws OptionError if there is none. */
async function tokenizerRun({ size, preset }: Asked): Promise<string> {
  if (await exists(`${RUNS.tokenizer}/latest`)) return RUNS.tokenizer;
  const asked = size === undefined ? `--preset ${preset}` : `--size ${size}`;
  throw new OptionError(
    `with ${asked}, stage 2 needs a tokenizer for such images: train one by \`aim train tokenizer DATA --size ${size ?? 'N'}\`, or name a ` +
      'checkpoint that has one with --tokenizer.',
  );
}

function checkSide(json: AimConfigJson, size: number | undefined): void {
  const { image_size } = parseConfig(json);
  if (size !== undefined && image_size !== size)
    throw new CheckpointError(
      `the model in --config draws images of ${image_size} pixels (√num_tokens × 2^(levels of vq_config.ch_mult − 1)), and the size is ` +
        `${size}; leave one of them out.`,
    );
}

async function configAt(source: string, flags: Parsed['flags']): Promise<AimConfigJson> {
  const files = await openCheckpoint(source, commonOptions(flags));
  try {
    return (await files.config()) as AimConfigJson;
  } finally {
    await files.close();
  }
}

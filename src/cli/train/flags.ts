/** The flags of `aim train`, and the trainer's options that follow from them, from a --config file and from the run that is resumed. */
import { OptionError } from '../../core/errors.js';
import { checkOption, type OptionSpec, shown } from '../../core/options.js';
import { IMAGE_FOLDER } from '../../data/image_folder.js';
import { type AimConfigJson, parseConfig } from '../../model/config.js';
import { readText } from '../../platform/files.js';
import { RANGE } from '../../train/find_lr.js';
import type { SavedCheckpoint } from '../../train/folder.js';
import type { TrainerOptions } from '../../train/options.js';
import { BEFORE, CHANGEABLE, TRAINER } from '../../train/options.js';
import { PRESET_NAMES, type PresetName, RECIPE, stage2For } from '../../train/recipe.js';
import { STAGE1 } from '../../train/stage1.js';
import { choice, type Flag, type Flags, flag, number, type Parsed, string } from '../command.js';
import { BACKGROUND, COMMON, JITTER, LABELS, NUMERICS } from '../options.js';
import { parseJsonc } from './jsonc.js';

export type Settings = Omit<TrainerOptions, 'model' | 'data'>;
type Key = keyof typeof TRAINER;

/** The trainer's options that have a flag, with a help text where that of the options table does not suit the command line. */
const OPTIONS = {
  epochs: {},
  steps: {},
  batchSize: { value: 'B', short: 'b' },
  accumulate: {},
  recompute: {},
  lr: { value: 'LR', help: 'highest learning rate (default 1e-4 · B/256; tokenizer 1e-4)' },
  schedule: { help: 'of the learning rate (default linear to 0; tokenizer constant)' },
  warmup: {},
  weightDecay: { value: 'W' },
  clipNorm: { value: 'C' },
  emaDecay: { value: 'D', help: 'keep a moving average of the weights, with this decay' },
  labelDropout: { value: 'P' },
  freeze: {
    value: 'NAME',
    help: "keep the values of these parameters: a name of a checkpoint's tensor, in which * stands for any text; may be given several times",
  },
  seed: { value: 'S', short: 's', help: 'seed of weights, order, dropped labels and crops (default 0)' },
  evalEvery: { help: 'evaluate, sample and save every N steps; 0 never (default: every epoch)' },
  evalItems: {},
  lossScale: {},
  loss: { help: 'reconstruction loss: l2 (mean squared error) or l1 (default l2)' },
  perceptualWeight: { value: 'W' },
  discriminator: { help: 'train the tokenizer against a discriminator, PatchGAN with hinge loss (default none)' },
  discStart: { help: 'steps before the discriminator is trained and used (default 20000; with --size a quarter of the steps)' },
  discWeight: { value: 'W' },
  discChannels: { value: 'C' },
  adaptive: {},
  restartCodes: {},
} satisfies Partial<Record<Key, Partial<Pick<Flag, 'value' | 'help' | 'short'>>>>;

type Option = keyof typeof OPTIONS;

/** The options that only the tokenizer has. */
export const TOKENIZER_ONLY = Object.keys(STAGE1) as (keyof typeof STAGE1)[];

/** Options that may differ when a run is resumed. */
const FREE: readonly string[] = [...CHANGEABLE, 'epochs'];

/** batchSize → batch-size */
const flagName = (option: string) => option.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);

const KEEP: OptionSpec = { type: 'integer', min: 1, default: 2, about: 'newest checkpoints to keep' };

const PATIENCE: OptionSpec = { type: 'integer', min: 1, about: 'end after N evaluations in a row without a better one' };

/** The flags of both stages, in the order of the help. */
export function trainFlags(leaveOut: readonly Option[], own: Flags): Flags {
  const options = Object.entries(OPTIONS).filter(([key]) => !leaveOut.includes(key as Option));
  return {
    out: {
      type: 'string',
      short: 'o',
      value: 'FOLDER',
      help: 'the run: checkpoints, metrics.jsonl, loss.svg, samples (default runs/model or runs/tokenizer)',
    },
    resume: {
      type: 'boolean',
      help: 'continue the run in --out, exactly as if it had never stopped; options that are not given stay as they were, and only --steps, --epochs, --lr, --eval-every, --recompute, --keep, --best, --patience and --tensorboard may change',
    },
    'data-changed': {
      type: 'boolean',
      help: 'with --resume: accept that the images are not those that the run was trained on; the classes must be the same',
    },
    config: {
      type: 'string',
      value: 'FILE.json',
      help: 'options by JSON (names as below in camelCase; comments are allowed) and, under "model", a config.json; `aim init` writes one',
    },
    size: flag(RECIPE.size, {
      help: 'side of the images in pixels; with it or --preset, what is not given is chosen for these and for the number of images (docs/training.md)',
    }),
    preset: flag(RECIPE.preset, { help: 'a stage-2 model: tiny to large for your own pictures, the others are of the paper' }),
    init: {
      type: 'string',
      value: 'MODEL',
      help: 'begin from these weights instead of fresh ones; classes are assigned by name, and a class that MODEL does not know replaces one that DATA does not have',
    },
    ...own,
    ...Object.fromEntries(options.map(([key, texts]) => [flagName(key), flag(TRAINER[key as Option] as OptionSpec, texts)])),
    keep: flag(KEEP),
    best: {
      type: 'boolean',
      help: 'keep the checkpoint with the best evaluation too, which then is what `aim generate`, `aim export` and --tokenizer read (with --size or --preset always)',
    },
    patience: flag(PATIENCE),
    'find-lr': {
      type: 'boolean',
      help: `train for no run: test learning rates from ${RANGE.from} to ${RANGE.to} in ${RANGE.steps} steps, suggest one, and write lr-find.json and lr-find.svg into --out`,
    },
    tensorboard: { type: 'boolean', help: 'write the metrics as an event file of TensorBoard too (`tensorboard --logdir RUN`)' },
    holdout: flag(IMAGE_FOLDER.holdout, { value: 'SHARE', help: 'class folders: share held out for evaluation (default 0.05)' }),
    flip: flag(IMAGE_FOLDER.flip, { help: 'class folders: mirror half of the training images' }),
    jitter: JITTER,
    background: BACKGROUND,
    labels: LABELS,
    precision: NUMERICS.precision,
    ...COMMON,
  };
}

/** What is to be trained, as far as it is given. */
export interface Asked {
  /** The trainer's options. */
  settings: Settings;
  /** The object `model` of the --config file. */
  architecture?: Partial<AimConfigJson>;
  size?: number | undefined;
  preset?: PresetName | undefined;
}

function givenBy(flags: Parsed['flags'], name: string, { type }: OptionSpec): unknown {
  if (type === 'boolean' || type === 'strings') return flags[name];
  return type === 'choice' ? string(flags, name) : number(flags, name);
}

/** Reads the flags and, where a flag is not given, the --config file. */
export async function readSettings(flags: Parsed['flags']): Promise<Asked> {
  const path = string(flags, 'config');
  const file = path === undefined ? {} : await readConfig(path);
  const settings: Record<string, unknown> = {};
  for (const key of Object.keys(OPTIONS) as Option[]) {
    const spec: OptionSpec = TRAINER[key];
    const given = givenBy(flags, flagName(key), spec);
    if (given !== undefined) settings[key] = given;
    else if (file[key] !== undefined) settings[key] = checkOption(`${path}: ${key}`, file[key], spec);
  }
  if (settings.steps !== undefined && settings.epochs !== undefined)
    throw new OptionError('epochs and steps are both given; give one of them.');
  const inFile = (key: keyof typeof RECIPE) =>
    file[key] === undefined ? undefined : checkOption(`${path}: ${key}`, file[key], RECIPE[key]);
  return {
    settings,
    ...(file.model !== undefined && { architecture: file.model as Partial<AimConfigJson> }),
    size: number(flags, 'size') ?? (inFile('size') as number | undefined),
    preset: choice(flags, 'preset', PRESET_NAMES) ?? (inFile('preset') as PresetName | undefined),
  };
}

async function readConfig(path: string): Promise<Record<string, unknown>> {
  let file: Record<string, unknown>;
  try {
    file = parseJsonc(await readText(path)) as Record<string, unknown>;
  } catch (error) {
    if (error instanceof SyntaxError)
      throw new OptionError(`${path} is not valid JSON (${error.message}); correct it.`, { cause: error });
    throw error;
  }
  if (typeof file !== 'object' || file === null || Array.isArray(file))
    throw new OptionError(`${path} is not a JSON object of options; correct it.`);
  const known = ['model', ...Object.keys(RECIPE), ...Object.keys(OPTIONS)];
  const unknown = Object.keys(file).find((key) => !known.includes(key));
  if (unknown) throw new OptionError(`${path}: there is no option ${unknown}; it takes ${known.join(', ')}.`);
  const { model } = file;
  if (model !== undefined && (typeof model !== 'object' || model === null || Array.isArray(model)))
    throw new OptionError(`${path}: model is ${shown(model)}; it must be the object of a config.json.`);
  return file;
}

/**
 * The options of a run that is resumed: its saved options, with those replaced that are given and may change. Throws OptionError
 * for given options that differ and may not change.
 */
export function resumedSettings(given: Settings, saved: SavedCheckpoint): Settings {
  const was = (saved.state.options ?? {}) as Record<string, unknown>;
  const settings: Record<string, unknown> = Object.fromEntries(Object.entries(was).filter(([key]) => key in TRAINER));
  for (const [key, value] of Object.entries(given)) {
    // There may have been fewer held-out images than were asked for, so the trainer compares this option.
    const before = was[key] ?? BEFORE[key];
    if (!FREE.includes(key) && key !== 'evalItems' && JSON.stringify(before) !== JSON.stringify(value))
      throw new OptionError(
        `the run was trained with ${key} ${JSON.stringify(before)}, now it is ${JSON.stringify(value)}; leave --${flagName(key)} ` +
          'out, or begin a new run from its weights (--init).',
      );
    settings[key] = value;
  }
  if (given.epochs !== undefined) delete settings.steps;
  return settings as Settings;
}

/**
 * Throws OptionError if another architecture is asked for than that of the weights to continue from.
 *
 * @param weights config.json of the weights, which `from` names for the message.
 */
export function checkArchitecture(
  { weights, from }: { weights: AimConfigJson; from: string },
  { architecture, size, preset }: Omit<Asked, 'settings'>,
): void {
  const refuse = (what: string) => {
    throw new OptionError(
      `${what} is another architecture than that of ${from}, which cannot change; leave it out, or begin a new run with fresh weights.`,
    );
  };
  const shape = (json: AimConfigJson) => {
    // The number of classes is that of the data.
    const { json: _, ...parsed } = parseConfig({ ...json, num_classes: 1 });
    return JSON.stringify(parsed);
  };
  const was = shape(weights);
  if (size !== undefined && parseConfig(weights).image_size !== size)
    throw new OptionError(
      `--size is ${size}, but ${from} draws images of ${parseConfig(weights).image_size} pixels; leave it out, or begin a new run.`,
    );
  // A file with a size or a preset may leave out what follows from them.
  const rest = size !== undefined || preset !== undefined ? { ...weights, ...(preset && stage2For(preset)) } : {};
  if (architecture && shape({ ...rest, ...architecture } as AimConfigJson) !== was) refuse('the model in --config');
  if (!architecture && preset && shape(rest as AimConfigJson) !== was) refuse(`--preset ${preset}`);
}

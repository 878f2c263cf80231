/** The flags of `aim train`, and the trainer's options that follow from them, from a --config file and from the run that is resumed. */
import { OptionError } from '../../core/errors.js';
import { checkOption, type OptionSpec, shown } from '../../core/options.js';
import { IMAGE_FOLDER } from '../../data/image_folder.js';
import { type AimConfigJson, PRESETS, parseConfig } from '../../model/config.js';
import { readText } from '../../platform/files.js';
import type { SavedCheckpoint } from '../../train/folder.js';
import type { TrainerOptions } from '../../train/options.js';
import { CHANGEABLE, TRAINER } from '../../train/options.js';
import { choice, type Flag, type Flags, flag, number, type Parsed, string } from '../command.js';
import { BACKGROUND, COMMON, NUMERICS } from '../options.js';

export type Settings = Omit<TrainerOptions, 'model' | 'data'>;
type Key = keyof typeof TRAINER;

/** The trainer's options that have a flag, with a help text where that of the options table does not suit the command line. */
const OPTIONS = {
  epochs: {},
  steps: {},
  batchSize: { value: 'B', short: 'b' },
  accumulate: {},
  lr: { value: 'LR', help: 'highest learning rate (default 1e-4 · B/256; tokenizer 1e-4)' },
  schedule: { help: 'of the learning rate (default linear to 0; tokenizer constant)' },
  warmup: {},
  weightDecay: { value: 'W' },
  clipNorm: { value: 'C' },
  emaDecay: { value: 'D', help: 'keep a moving average of the weights, with this decay' },
  labelDropout: { value: 'P' },
  seed: { value: 'S', short: 's', help: 'seed of weights, order, dropped labels and crops (default 0)' },
  evalEvery: { help: 'evaluate, sample and save every N steps; 0 never (default: every epoch)' },
  evalItems: {},
  lossScale: {},
} satisfies Partial<Record<Key, Partial<Pick<Flag, 'value' | 'help' | 'short'>>>>;

type Option = keyof typeof OPTIONS;

/** Options that may differ when a run is resumed. */
const FREE: readonly string[] = [...CHANGEABLE, 'epochs'];

/** batchSize → batch-size */
const flagName = (option: string) => option.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);

const KEEP: OptionSpec = { type: 'integer', min: 1, default: 2, about: 'newest checkpoints to keep' };

/** The flags of both stages, in the order of the help. */
export function trainFlags(leaveOut: readonly Option[], own: Flags): Flags {
  const options = Object.entries(OPTIONS).filter(([key]) => !leaveOut.includes(key as Option));
  return {
    out: {
      type: 'string',
      short: 'o',
      value: 'FOLDER',
      help: 'the run: checkpoints, metrics.jsonl, loss.svg, samples (default run)',
    },
    resume: {
      type: 'boolean',
      help: 'continue the run in --out, exactly as if it had never stopped; options that are not given stay as they were, and only --steps, --epochs, --lr, --eval-every and --keep may change',
    },
    'data-changed': {
      type: 'boolean',
      help: 'with --resume: accept that the images are not those that the run was trained on; the classes must be the same',
    },
    config: {
      type: 'string',
      value: 'FILE.json',
      help: 'options by JSON (names as below in camelCase) and, under "model", a config.json',
    },
    preset: {
      type: 'string',
      value: Object.keys(PRESETS).join('|'),
      help: "one of the paper's architectures",
      spec: { type: 'choice', choices: Object.keys(PRESETS), about: 'an architecture' },
    },
    init: {
      type: 'string',
      value: 'MODEL',
      help: 'begin from these weights instead of fresh ones; classes are assigned by name, and a class that MODEL does not know replaces one that DATA does not have',
    },
    ...own,
    ...Object.fromEntries(options.map(([key, texts]) => [flagName(key), flag(TRAINER[key as Option] as OptionSpec, texts)])),
    keep: flag(KEEP),
    holdout: flag(IMAGE_FOLDER.holdout, { value: 'SHARE', help: 'class folders: share held out for evaluation (default 0.05)' }),
    flip: flag(IMAGE_FOLDER.flip, { help: 'class folders: mirror half of the training images' }),
    background: BACKGROUND,
    precision: NUMERICS.precision,
    ...COMMON,
  };
}

/** The trainer's options from the flags or, where a flag is not given, from the --config file; and the architecture in that file. */
export async function readSettings(flags: Parsed['flags']): Promise<{ settings: Settings; architecture?: AimConfigJson }> {
  const path = string(flags, 'config');
  const file = path === undefined ? {} : await readConfig(path);
  const settings: Record<string, unknown> = {};
  for (const key of Object.keys(OPTIONS) as Option[]) {
    const spec: OptionSpec = TRAINER[key];
    const given = spec.type === 'choice' ? string(flags, flagName(key)) : number(flags, flagName(key));
    if (given !== undefined) settings[key] = given;
    else if (file[key] !== undefined) settings[key] = checkOption(`${path}: ${key}`, file[key], spec);
  }
  if (settings.steps !== undefined && settings.epochs !== undefined)
    throw new OptionError('epochs and steps are both given; give one of them.');
  return { settings, ...(file.model !== undefined && { architecture: file.model as AimConfigJson }) };
}

async function readConfig(path: string): Promise<Record<string, unknown>> {
  let file: Record<string, unknown>;
  try {
    file = JSON.parse(await readText(path));
  } catch (error) {
    if (error instanceof SyntaxError)
      throw new OptionError(`${path} is not valid JSON (${error.message}); correct it.`, { cause: error });
    throw error;
  }
  if (typeof file !== 'object' || file === null || Array.isArray(file))
    throw new OptionError(`${path} is not a JSON object of options; correct it.`);
  const known = ['model', ...Object.keys(OPTIONS)];
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
    if (!FREE.includes(key) && key !== 'evalItems' && JSON.stringify(was[key]) !== JSON.stringify(value))
      throw new OptionError(
        `the run was trained with ${key} ${JSON.stringify(was[key])}, now it is ${JSON.stringify(value)}; leave --${flagName(key)} ` +
          'out, or begin a new run from its weights (--init).',
      );
    settings[key] = value;
  }
  if (given.epochs !== undefined) delete settings.steps;
  return settings as Settings;
}

/**
 * Throws OptionError if the flags ask for an architecture other than that of the weights to continue from.
 *
 * @param weights config.json of the weights, which `from` names for the message.
 * @param architecture that of the --config file.
 */
export function checkArchitecture(
  { weights, from }: { weights: unknown; from: string },
  flags: Parsed['flags'],
  architecture: AimConfigJson | undefined,
): void {
  const preset = choice(flags, 'preset', Object.keys(PRESETS) as (keyof typeof PRESETS)[]);
  const asked = [
    ...(architecture ? [['the model in --config', architecture] as const] : []),
    ...(preset ? [[`--preset ${preset}`, PRESETS[preset]] as const] : []),
  ];
  const shape = (json: AimConfigJson) => {
    // The number of classes is that of the data.
    const { json: _, ...parsed } = parseConfig({ ...json, num_classes: 1 });
    return JSON.stringify(parsed);
  };
  for (const [what, json] of asked)
    if (shape(json) !== shape(weights as AimConfigJson))
      throw new OptionError(
        `${what} is another architecture than that of ${from}, which cannot change; leave it out, or begin a new run with fresh weights.`,
      );
}

/** Opens the data, the model and the run folder of a training, for both stages. */
import { basename, dirname, resolve } from 'node:path';
import { AiM } from '../../aim.js';
import { CheckpointError, IoError, OptionError } from '../../core/errors.js';
import { type Codes, type TokenizeOptions, tokenize } from '../../data/codes.js';
import type { ImageSplits } from '../../data/dataset.js';
import { type Data, openData } from '../../data/open.js';
import { latestOf } from '../../io/run_folder.js';
import { parseConfig } from '../../model/config.js';
import { ensureWritable, exists, isDirectory } from '../../platform/files.js';
import { inFolder } from '../../platform/folders.js';
import { describeRows } from '../../train/classes.js';
import { openCheckpointFolder, type SavedCheckpoint } from '../../train/folder.js';
import { lockRun } from '../../train/lock.js';
import { cropsFor, recipe } from '../../train/recipe.js';
import type { Stage } from '../../train/stage1.js';
import { Trainer } from '../../train/trainer.js';
import { number, type Parsed, string } from '../command.js';
import { loadModel, withBar } from '../model.js';
import { background, modelOptions } from '../options.js';
import { progress } from '../progress.js';
import { skipsOf, writeSkips } from '../skips.js';
import { print, say } from '../terminal.js';
import { type Architecture, architectureOf, RUNS } from './architecture.js';
import { findRate } from './find_lr.js';
import { type Asked, readSettings, resumedSettings, type Settings } from './flags.js';
import { perceptualOf } from './perceptual.js';
import { readPlace, writePlace } from './place.js';
import { runTraining } from './run.js';
import { describeData, describeModel, describeTraining } from './summary.js';

export async function train(stage: Stage, parsed: Parsed, signal: AbortSignal): Promise<number> {
  const out = string(parsed.flags, 'out') ?? RUNS[stage];
  const resume = parsed.flags.resume === true;
  if (parsed.flags['data-changed'] && !resume)
    throw new OptionError('--data-changed is for runs that are continued; give it with --resume, or leave it out.');
  if (parsed.flags['find-lr'] && resume)
    throw new OptionError(
      '--find-lr is for runs that are not begun yet; leave --resume out (--init tests from the weights of a run).',
    );
  const asked = await readSettings(parsed.flags);
  if (!resume) return begin({ stage, out, parsed, asked, saved: undefined, signal });
  await assertRun(out);
  // Another process must not save into the folder while this one reads it.
  const release = await lockRun(out);
  try {
    const saved = await openCheckpointFolder(out);
    if (basename(saved.path) !== (await latestOf(out)))
      say(`the newest checkpoint of ${out} is damaged or missing; the run continues from ${saved.path}\n`);
    return await begin({ stage, out, parsed, asked, saved, signal });
  } finally {
    await release();
  }
}

interface Start {
  stage: Stage;
  out: string;
  parsed: Parsed;
  asked: Asked;
  /** The checkpoint of the run that is continued. The run folder is then locked already. */
  saved: SavedCheckpoint | undefined;
  signal: AbortSignal;
}

async function begin({ stage, out, parsed, asked, saved, signal }: Start): Promise<number> {
  const find = parsed.flags['find-lr'] === true;
  if (!saved && !find) await assertNoRun(out);
  const { flags, data: path } = saved ? await readPlace(out, parsed) : { flags: parsed.flags, data: parsed.args[0] };
  if (!path) throw new OptionError(`train ${stage}: say on what: \`aim train ${stage} DATA\`.`);
  const behind = background(flags);
  const architecture = await architectureOf(stage, { flags, asked, saved });
  const config = parseConfig(architecture.json);
  if (stage === 'tokenizer' && config.vocab_size < 2)
    throw new CheckpointError('the config’s vocabulary has a single code; give it more.');
  const inside = dirname(resolve(out)) === resolve(path);
  const data = await openData(path, {
    size: config.image_size,
    flip: flags.flip === true,
    jitter: number(flags, 'jitter'),
    holdout: number(flags, 'holdout'),
    background: behind,
    labels: string(flags, 'labels'),
    // A run beside the folders of classes is no class.
    exclude: inside ? [basename(resolve(out))] : [],
    signal,
  });
  checkData(stage, path, data, flags);
  const { settings, crops } = settingsOf(stage, { asked, saved, data, flags, architecture, size: config.image_size });
  if (stage === 'model' && crops === 0 && number(flags, 'jitter'))
    throw new OptionError('--jitter changes random crops; ask for some with --augment N.');
  // Not before the data is open: an empty run folder inside the folder of images would look like a class.
  await inFolder(out, async () => {
    await ensureWritable(out);
    const release = saved ? undefined : await lockRun(out);
    try {
      // A run may have been saved since the first look.
      if (!saved && !find) await assertNoRun(out);
      const aim = await makeModel(stage, architecture, classesOf(data), saved, flags, settings.seed ?? 0, signal);
      try {
        await trainOn(aim, data, settings, {
          stage,
          out,
          path,
          flags,
          crops,
          chosen: architecture.chosenFor !== undefined,
          saved,
          signal,
        });
      } finally {
        await aim.dispose();
      }
    } finally {
      await release?.();
    }
  });
  if (!find) print(`${out}\n`);
  return 0;
}

async function trainOn(
  aim: AiM,
  data: Data,
  settings: Settings,
  o: Omit<Start, 'parsed' | 'asked'> & { path: string; flags: Parsed['flags']; crops: number; chosen: boolean },
): Promise<void> {
  const { stage, out, path, crops, saved, signal } = o;
  const images = data.kind === 'codes' ? undefined : data;
  const skips = skipsOf(images?.train ?? { skipped: [] });
  say(`device: ${aim.device}\ndata: ${describeData(data)}\n`);
  skips.report();
  say(`${describeModel(aim, stage)}\n`);
  const options = { augment: crops, seed: settings.seed, signal };
  const source = data.kind === 'codes' ? data.codes : stage === 'model' ? await encode(aim, data, options) : data;
  skips.report();
  const find = o.flags['find-lr'] === true;
  // What belongs to a run stays as it is.
  const resumed = saved !== undefined || (find && (await exists(`${out}/latest`)));
  const perceptual =
    stage === 'tokenizer' && images ? await perceptualOf(o.flags, { out, train: images.train, resumed, signal }) : undefined;
  if (find) return findRate({ model: aim, data: source, perceptual, ...settings }, { stage, out, signal });
  const trainer = new Trainer({ model: aim, data: source, perceptual, ...settings });
  try {
    if (saved) await trainer.resume(saved, { dataChanged: o.flags['data-changed'] === true });
    const rows = trainer.classRows && describeRows(trainer.classRows, classesOf(data));
    if (rows) say(`${rows}\n`);
    say(`${describeTraining(trainer, aim, { crops, perceptual })}\n`);
    const evaluates = trainer.options.evalEvery > 0 && trainer.options.evalItems > 0;
    for (const name of ['best', 'patience'])
      if (o.flags[name] && !evaluates)
        throw new OptionError(`--${name} compares evaluations, but nothing is held out or evaluated; leave it out.`);
    const best = o.flags.best === true || (o.chosen && evaluates);
    const flags: Parsed['flags'] = { ...o.flags, ...(crops > 0 && { augment: String(crops) }), ...(best && { best }) };
    await writePlace(out, path, flags);
    const place = {
      out,
      keep: number(flags, 'keep') ?? 2,
      best,
      patience: number(flags, 'patience'),
      tensorboard: flags.tensorboard === true,
      signal,
    };
    await runTraining(trainer, aim, 'codes' in source ? undefined : source, place);
  } finally {
    trainer.dispose();
    skips.report();
    if (images) await writeSkips(out, images.train);
  }
}

/** Throws IoError unless `out` is a folder. */
async function assertRun(out: string): Promise<void> {
  if (!(await isDirectory(out))) throw new IoError(`there is no folder ${out}; pass the folder of a run or a checkpoint.`);
}

/** Throws OptionError if `out` holds a run, which is not to be overwritten. */
async function assertNoRun(out: string): Promise<void> {
  if (await exists(`${out}/latest`))
    throw new OptionError(`${out} holds a run already; go on with --resume, or choose another --out.`);
}

/** Throws OptionError where the stage, or a flag that is given, does not suit the kind of data. */
function checkData(stage: Stage, path: string, data: Data, flags: Parsed['flags']): void {
  if (stage === 'tokenizer' && data.kind === 'codes')
    throw new OptionError(`${path} holds codes; the tokenizer is trained on images.`);
  const given = (['flip', 'jitter', 'holdout', 'background', 'augment', 'labels'] as const).find(
    (name) => flags[name] !== undefined,
  );
  if (data.kind === 'folder' || !given) return;
  const why =
    data.kind === 'codes'
      ? `${path} holds codes, made from images before; give it to \`aim tokenize\``
      : `${path} holds IDX files, which are used whole, with t10k files held out`;
  throw new OptionError(`--${given} is for class folders, but ${why}: leave it out.`);
}

/** The trainer's options, chosen for the data where `aim train` is asked to and none is given, and the random crops of each image. */
function settingsOf(
  stage: Stage,
  o: {
    asked: Asked;
    saved: SavedCheckpoint | undefined;
    data: Data;
    flags: Parsed['flags'];
    architecture: Architecture;
    size: number;
  },
): { settings: Settings; crops: number } {
  const { asked, saved, data, architecture, size } = o;
  const { chosenFor } = architecture;
  const codes = data.kind === 'codes' ? data.codes : undefined;
  const images = codes?.labels.length ?? (data as ImageSplits).train.length;
  const canCrop = stage === 'model' && !codes && (data as ImageSplits).train.augments;
  // The crops of a run that is resumed are in its flags.
  const crops = number(o.flags, 'augment') ?? (canCrop && chosenFor ? cropsFor(images) : 0);
  if (saved) return { settings: resumedSettings(asked.settings, saved), crops };
  if (!chosenFor) return { settings: asked.settings, crops };
  const heldOut = (codes ? codes.eval?.labels.length : (data as ImageSplits).eval?.length) ?? 0;
  return { settings: recipe(stage, { images, crops, heldOut, size, preset: chosenFor, given: asked.settings }), crops };
}

const classesOf = (data: Data): readonly string[] => (data.kind === 'codes' ? data.codes.classes : data.train.classes);

async function makeModel(
  stage: Stage,
  { json, tokenizer }: Architecture,
  classes: readonly string[],
  saved: SavedCheckpoint | undefined,
  flags: Parsed['flags'],
  seed: number,
  signal: AbortSignal,
): Promise<AiM> {
  const options = { ...modelOptions(flags), signal };
  if (saved) return AiM.fromPretrained(saved.path, options);
  const init = string(flags, 'init');
  if (init) {
    const aim = await loadModel(init, options);
    if (classes.length <= aim.config.num_classes) return aim;
    await aim.dispose();
    throw new CheckpointError(
      `${init} knows ${aim.config.num_classes} classes, the data has ${classes.length}; train without --init.`,
    );
  }
  const aim = await AiM.fromConfig({ ...json, num_classes: classes.length }, { ...options, seed });
  try {
    if (stage === 'model') await withBar((onProgress) => aim.loadPart('vqvae.', tokenizer, { ...options, onProgress }));
    return aim;
  } catch (error) {
    await aim.dispose();
    throw error;
  }
}

async function encode(aim: AiM, data: ImageSplits, options: TokenizeOptions): Promise<Codes> {
  let bar: ReturnType<typeof progress> | undefined;
  try {
    return await tokenize(aim, data, {
      ...options,
      onProgress(done, total) {
        bar ??= progress('encoding', total, 'images');
        bar.update(done);
      },
    });
  } finally {
    bar?.stop();
  }
}

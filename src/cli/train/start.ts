/** What the training of both stages shares: the data, the model, the run folder. */
import { basename, dirname, resolve } from 'node:path';
import { AiM } from '../../aim.js';
import { openCheckpoint } from '../../checkpoint/source.js';
import { CheckpointError, OptionError } from '../../core/errors.js';
import { type Codes, tokenize } from '../../data/codes.js';
import { describeImages, type ImageSplits } from '../../data/dataset.js';
import { type Data, openData } from '../../data/open.js';
import { type AimConfigJson, PRESETS, parseConfig } from '../../model/config.js';
import { ensureWritable, exists, makeFolder } from '../../platform/files.js';
import { openCheckpointFolder, type SavedCheckpoint } from '../../train/folder.js';
import type { Stage } from '../../train/task.js';
import { Trainer } from '../../train/trainer.js';
import { choice, number, type Parsed, string } from '../command.js';
import { embeddedModel, loadModel, withBar } from '../model.js';
import { background, commonOptions, modelOptions } from '../options.js';
import { progress } from '../progress.js';
import { skipsOf, writeSkips } from '../skips.js';
import { print, say } from '../terminal.js';
import { readSettings, resumedSettings, withChanges } from './flags.js';
import { readPlace, writePlace } from './place.js';
import { runTraining } from './run.js';

export async function train(stage: Stage, parsed: Parsed, signal: AbortSignal): Promise<number> {
  const out = string(parsed.flags, 'out') ?? 'run';
  const resume = parsed.flags.resume === true;
  const { settings: own, architecture } = await readSettings(parsed.flags);
  const saved = await previous(out, resume);
  const { flags, data: path } = resume ? await readPlace(out, parsed) : { flags: parsed.flags, data: parsed.args[0] };
  if (!path) throw new OptionError(`train ${stage}: say on what: \`aim train ${stage} DATA\`.`);
  const settings = saved ? resumedSettings(own, saved) : own;
  const behind = background(flags);

  const json = (saved?.config as AimConfigJson | undefined) ?? architecture ?? (await configOf(flags));
  const config = parseConfig(json);
  if (stage === 'tokenizer' && config.vocab_size < 2)
    throw new CheckpointError('the config’s vocabulary has a single code; give it more.');
  const inside = dirname(resolve(out)) === resolve(path);
  const data = await openData(path, {
    size: config.image_size,
    flip: flags.flip === true,
    holdout: number(flags, 'holdout'),
    background: behind,
    // A run beside the classes is none of them.
    exclude: inside ? [basename(resolve(out))] : [],
    signal,
  });
  checkData(stage, path, data, flags);
  // Only now: in the folder of images itself an empty run folder would look like a class.
  await makeFolder(out);
  await ensureWritable(out);
  const aim = await makeModel(stage, json, classesOf(data), saved, flags, settings.seed ?? 0, signal);
  const images = data.kind === 'codes' ? undefined : data;
  const skips = skipsOf(images?.train ?? { skipped: [] });
  try {
    say(`device: ${aim.device}\ndata: ${describe(data)}\n`);
    skips.report();
    const source = data.kind === 'codes' ? data.codes : stage === 'model' ? await encode(aim, data, signal) : data;
    skips.report();
    const trainer = new Trainer({ model: aim, data: source, ...settings });
    try {
      if (saved) await trainer.resume(withChanges(saved, trainer.options));
      await writePlace(out, path, flags);
      const place = { out, keep: number(flags, 'keep') ?? 2, signal };
      await runTraining(trainer, aim, 'codes' in source ? undefined : source, place);
    } finally {
      trainer.dispose();
      skips.report();
      if (images) await writeSkips(out, images.train);
    }
    print(`${out}\n`);
    return 0;
  } finally {
    await aim.dispose();
  }
}

/** The checkpoint to go on from. A run is neither overwritten nor resumed unasked. */
async function previous(out: string, resume: boolean): Promise<SavedCheckpoint | undefined> {
  if (resume) return openCheckpointFolder(out);
  if (await exists(`${out}/latest`))
    throw new OptionError(`${out} holds a run already; go on with --resume, or choose another --out.`);
  return undefined;
}

/** Throws OptionError where the data is of a kind that the stage or a flag is not for. */
function checkData(stage: Stage, path: string, data: Data, flags: Parsed['flags']): void {
  if (stage === 'tokenizer' && data.kind === 'codes')
    throw new OptionError(`${path} holds codes; the tokenizer is trained on images.`);
  const given = (['flip', 'holdout', 'background'] as const).find((name) => flags[name] !== undefined);
  if (data.kind === 'folder' || !given) return;
  const why =
    data.kind === 'codes'
      ? `${path} holds codes, made from images before; give it to \`aim tokenize\``
      : `${path} holds IDX files, which are used whole, with t10k files held out`;
  throw new OptionError(`--${given} is for class folders, but ${why}: leave it out.`);
}

/** The architecture where no file gives one: a preset's, that of the weights to begin from, of the tokenizer, or the embedded one. */
async function configOf(flags: Parsed['flags']): Promise<AimConfigJson> {
  const preset = choice(flags, 'preset', Object.keys(PRESETS) as (keyof typeof PRESETS)[]);
  if (preset) return PRESETS[preset];
  const from = string(flags, 'init') ?? string(flags, 'tokenizer') ?? embeddedModel();
  const files = await openCheckpoint(from, commonOptions(flags));
  try {
    return (await files.config()) as AimConfigJson;
  } finally {
    await files.close();
  }
}

const classesOf = (data: Data): readonly string[] => (data.kind === 'codes' ? data.codes.classes : data.train.classes);

async function makeModel(
  stage: Stage,
  json: AimConfigJson,
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
    const tokenizer = string(flags, 'tokenizer') ?? embeddedModel();
    if (stage === 'model') await withBar((onProgress) => aim.loadPart('vqvae.', tokenizer, { ...options, onProgress }));
    return aim;
  } catch (error) {
    await aim.dispose();
    throw error;
  }
}

function describe(data: Data): string {
  if (data.kind !== 'codes') return `${describeImages(data.train)}${data.eval ? `, ${data.eval.length} held out` : ''}`;
  const { codes } = data;
  return `${codes.labels.length} images as codes, ${codes.classes.length} classes${codes.eval ? `, ${codes.eval.labels.length} held out` : ''}`;
}

async function encode(aim: AiM, data: ImageSplits, signal: AbortSignal): Promise<Codes> {
  let bar: ReturnType<typeof progress> | undefined;
  try {
    return await tokenize(aim, data, {
      batchSize: 32,
      signal,
      onProgress(done, total) {
        bar ??= progress('encoding', total, 'images');
        bar.update(done);
      },
    });
  } finally {
    bar?.stop();
  }
}

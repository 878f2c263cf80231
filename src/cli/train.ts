/** `aim train`: trains stage 2 or the tokenizer into a run folder that can be resumed. */
import { AiM } from '../aim.js';
import { openCheckpoint } from '../checkpoint/source.js';
import { AimError, CheckpointError, OptionError } from '../core/errors.js';
import { type Codes, tokenize } from '../data/codes.js';
import { describeImages, type ImageSplits } from '../data/dataset.js';
import { type Data, openData } from '../data/open.js';
import { AimImage, grid } from '../io/image.js';
import { type AimConfig, type AimConfigJson, PRESETS, parseConfig } from '../model/config.js';
import { ensureWritable, exists, makeFolder, readText, writeAtomic } from '../platform/files.js';
import { openCheckpointFolder, type SavedCheckpoint, saveCheckpoint } from '../train/folder.js';
import { type Metric, openMetrics } from '../train/metrics.js';
import { plotLoss } from '../train/plot.js';
import { evaluatesAt, Trainer, type TrainerOptions, type TrainStep } from '../train/trainer.js';
import { embeddedModel, loadModel, withBar } from './model.js';
import {
  COMMON,
  choice,
  commonOptions,
  type Flags,
  helpText,
  modelOptions,
  NUMERICS,
  number,
  type Parsed,
  parse,
} from './options.js';
import { progress } from './progress.js';

const FLAGS: Flags = {
  out: { type: 'string', value: 'FOLDER', help: 'the run: checkpoints, metrics.jsonl, loss.svg, samples (default run)' },
  resume: { type: 'boolean', help: 'go on with the run in --out, exactly as if it had never stopped' },
  config: {
    type: 'string',
    value: 'FILE.json',
    help: 'options by JSON (names as below in camelCase) and, under "model", a config.json',
  },
  preset: { type: 'string', value: Object.keys(PRESETS).join('|'), help: "one of the paper's architectures" },
  init: { type: 'string', value: 'MODEL', help: 'begin from these weights instead of fresh ones' },
  tokenizer: { type: 'string', value: 'MODEL', help: 'stage 2: whose tokenizer to use (default: the embedded one)' },
  epochs: { type: 'string', value: 'N', help: 'passes over the data (default 1)' },
  steps: { type: 'string', value: 'N', help: 'steps in all, instead of epochs' },
  'batch-size': { type: 'string', value: 'B', help: 'images per step (default 32)' },
  accumulate: { type: 'string', value: 'N', help: 'cut each batch into N parts, to save memory' },
  lr: { type: 'string', value: 'LR', help: 'highest learning rate (default 1e-4 · B/256; tokenizer 1e-4)' },
  schedule: { type: 'string', value: 'constant|linear|cosine', help: 'default linear to 0; tokenizer constant' },
  warmup: { type: 'string', value: 'N', help: 'steps of warm-up' },
  'weight-decay': { type: 'string', value: 'W', help: 'default 0.05' },
  'clip-norm': { type: 'string', value: 'C', help: 'largest global gradient norm; 0 is off (default 1)' },
  'ema-decay': { type: 'string', value: 'D', help: 'keep a moving average of the weights' },
  'label-dropout': { type: 'string', value: 'P', help: 'stage 2: share of unconditional labels (default 0.1)' },
  seed: { type: 'string', value: 'S', help: 'of weights, order, dropped labels and crops (default 0)' },
  'eval-every': { type: 'string', value: 'N', help: 'evaluate, sample and save every N steps (default: every epoch)' },
  'eval-items': { type: 'string', value: 'N', help: 'held-out images to evaluate on (default all)' },
  keep: { type: 'string', value: 'N', help: 'newest checkpoints to keep (default 2)' },
  holdout: { type: 'string', value: 'SHARE', help: 'class folders: share held out for evaluation (default 0.05)' },
  flip: { type: 'boolean', help: 'class folders: mirror half of the training images' },
  precision: NUMERICS.precision,
  'loss-scale': { type: 'string', value: 'N', help: 'first scale of the loss in mixed precision (default 1024; 0 none)' },
  ...COMMON,
};

const HELP = helpText(
  'aim train model DATA|CODES.safetensors [options]\n       aim train tokenizer DATA [options]',
  'Trains stage 2 or the tokenizer. DATA is a folder of IDX files (Fashion-MNIST) or of one sub-folder of images per class.\n' +
    "Checkpoints are folders in the authors' format with the state of training beside. Ctrl-C saves one; --resume goes on.",
  FLAGS,
);

/** Flags that are numbers, by the trainer's option. */
const NUMBERS = {
  epochs: 'epochs',
  steps: 'steps',
  batchSize: 'batch-size',
  accumulate: 'accumulate',
  lr: 'lr',
  warmup: 'warmup',
  weightDecay: 'weight-decay',
  clipNorm: 'clip-norm',
  emaDecay: 'ema-decay',
  lossScale: 'loss-scale',
  labelDropout: 'label-dropout',
  seed: 'seed',
  evalEvery: 'eval-every',
  evalItems: 'eval-items',
} as const satisfies Partial<Record<keyof TrainerOptions, string>>;

type NumberOptions = { -readonly [K in keyof typeof NUMBERS]?: number };
type FileOptions = NumberOptions & { schedule?: string; model?: AimConfigJson };

export async function trainCommand(argv: string[], signal: AbortSignal): Promise<number> {
  const { flags, args } = parse('train', argv, FLAGS, 2);
  if (flags.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const [stage, path] = args;
  if ((stage !== 'model' && stage !== 'tokenizer') || !path)
    throw new OptionError('train: say what to train and on what: `aim train model DATA` or `aim train tokenizer DATA`.');
  const out = (flags.out as string | undefined) ?? 'run';
  const keep = number(flags, 'keep') ?? 2;
  const { options, architecture } = await readOptions(flags);
  const saved = await previous(out, flags.resume === true);
  await makeFolder(out);
  await ensureWritable(out);

  const json = (saved?.config as AimConfigJson | undefined) ?? architecture ?? (await configOf(flags));
  const config = parseConfig(json);
  const data = await openData(path, {
    size: config.image_size,
    flip: flags.flip === true,
    holdout: number(flags, 'holdout'),
    signal,
  });
  if (stage === 'tokenizer' && data.kind === 'codes')
    throw new OptionError(`${path} holds codes; the tokenizer is trained on images.`);
  const aim = await makeModel(stage, json, config, classesOf(data), saved, flags, options.seed ?? 0, signal);
  try {
    process.stderr.write(`device: ${aim.device}\ndata: ${describe(data)}\n`);
    const source = data.kind === 'codes' ? data.codes : stage === 'model' ? await encode(aim, data, signal) : data;
    const trainer = new Trainer({ model: aim, data: source, ...options });
    try {
      if (saved) await trainer.resume(saved);
      await runTraining(trainer, aim, 'codes' in source ? undefined : source, { out, keep, signal });
    } finally {
      trainer.dispose();
    }
    process.stdout.write(`${out}\n`);
    return 0;
  } finally {
    await aim.dispose();
  }
}

/** Flags win over the JSON file. */
async function readOptions(
  flags: Parsed['flags'],
): Promise<{ options: Omit<TrainerOptions, 'model' | 'data'>; architecture: AimConfigJson | undefined }> {
  let file: FileOptions = {};
  const path = flags.config as string | undefined;
  if (path !== undefined) {
    try {
      file = JSON.parse(await readText(path));
    } catch (error) {
      if (error instanceof SyntaxError)
        throw new OptionError(`${path} is not valid JSON (${error.message}); correct it.`, { cause: error });
      throw error;
    }
    const known = ['model', 'schedule', ...Object.keys(NUMBERS)];
    const unknown = Object.keys(file).find((key) => !known.includes(key));
    if (unknown) throw new OptionError(`${path}: there is no option ${unknown}; it takes ${known.join(', ')}.`);
  }
  const options: NumberOptions & { schedule?: 'constant' | 'linear' | 'cosine' } = {};
  for (const [key, flag] of Object.entries(NUMBERS) as [keyof typeof NUMBERS, string][]) {
    const value = number(flags, flag) ?? file[key];
    if (value === undefined) continue;
    if (typeof value !== 'number') throw new OptionError(`${path}: ${key} is ${JSON.stringify(value)}; it must be a number.`);
    options[key] = value;
  }
  const schedule = choice({ schedule: (flags.schedule as string | undefined) ?? file.schedule }, 'schedule', [
    'constant',
    'linear',
    'cosine',
  ] as const);
  if (schedule) options.schedule = schedule;
  return { options, architecture: file.model };
}

/** The checkpoint to go on from. A run is neither overwritten nor resumed unasked. */
async function previous(out: string, resume: boolean): Promise<SavedCheckpoint | undefined> {
  if (resume) return openCheckpointFolder(out);
  if (await exists(`${out}/latest`))
    throw new OptionError(`${out} holds a run already; go on with --resume, or choose another --out.`);
  return undefined;
}

/** The architecture where no file gives one: a preset's, that of the weights to begin from, of the tokenizer, or the embedded one. */
async function configOf(flags: Parsed['flags']): Promise<AimConfigJson> {
  const preset = choice(flags, 'preset', Object.keys(PRESETS) as (keyof typeof PRESETS)[]);
  if (preset) return PRESETS[preset];
  const from = (flags.init ?? flags.tokenizer ?? embeddedModel()) as string;
  const files = await openCheckpoint(from, commonOptions(flags));
  try {
    return (await files.config()) as AimConfigJson;
  } finally {
    await files.close();
  }
}

const classesOf = (data: Data): readonly string[] => (data.kind === 'codes' ? data.codes.classes : data.train.classes);

async function makeModel(
  stage: 'model' | 'tokenizer',
  json: AimConfigJson,
  config: AimConfig,
  classes: readonly string[],
  saved: SavedCheckpoint | undefined,
  flags: Parsed['flags'],
  seed: number,
  signal: AbortSignal,
): Promise<AiM> {
  const options = { ...modelOptions(flags), signal };
  if (saved) return AiM.fromPretrained(saved.path, options);
  const init = flags.init as string | undefined;
  if (init) {
    const aim = await loadModel(init, options);
    if (classes.length > aim.config.num_classes) {
      await aim.dispose();
      throw new CheckpointError(
        `${init} knows ${aim.config.num_classes} classes, the data has ${classes.length}; train without --init.`,
      );
    }
    return aim;
  }
  const aim = await AiM.fromConfig({ ...json, num_classes: classes.length }, { ...options, seed });
  try {
    const tokenizer = (flags.tokenizer as string | undefined) ?? embeddedModel();
    if (stage === 'model') await withBar((onProgress) => aim.loadPart('vqvae.', tokenizer, { ...options, onProgress }));
    else if (config.vocab_size < 2) throw new CheckpointError('the config’s vocabulary has a single code; give it more.');
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

interface RunPlace {
  out: string;
  keep: number;
  signal: AbortSignal;
}

async function runTraining(trainer: Trainer, aim: AiM, images: ImageSplits | undefined, place: RunPlace): Promise<void> {
  const { out, keep, signal } = place;
  const { steps } = trainer.options;
  const log = await openMetrics(`${out}/metrics.jsonl`, trainer.step);
  const history: Metric[] = [...log.kept];
  const save = async () => {
    const path = await saveCheckpoint(out, trainer.checkpoint(), { keep });
    await trainer.keep(await openCheckpointFolder(path));
    return path;
  };
  const write = async (metric: Metric) => {
    history.push(metric);
    await log.write(metric);
  };
  const unit = trainer.options.stage === 'model' ? 'tokens' : 'images';
  const bar = progress('training', steps, 'steps');
  let savedAt = trainer.step;
  try {
    for await (const step of trainer.run({ signal })) {
      await write(toMetric(step));
      const rate = unit === 'tokens' ? step.tokensPerSecond : step.imagesPerSecond;
      bar.update(step.step, `loss ${step.loss.toFixed(4)} · ${Math.round(rate).toLocaleString('en')} ${unit}/s`);
      const last = step.step === steps;
      if (!step.eval && !last) continue;
      await save();
      savedAt = trainer.step;
      await writeAtomic(`${out}/loss.svg`, new TextEncoder().encode(plot(trainer, history)));
      await makeFolder(`${out}/samples`);
      const name = `${out}/samples/step-${String(step.step).padStart(8, '0')}.png`;
      await writeAtomic(name, await trainer.withEma(() => samples(trainer, aim, images)));
      if (step.eval)
        bar.note(
          `step ${step.step}: ${Object.entries(step.eval)
            .map(([k, v]) => `held-out ${k} ${v.toFixed(4)}`)
            .join(', ')}`,
        );
    }
  } catch (error) {
    bar.stop();
    // Stopped by the user, or by something that training itself survives: what is done is kept.
    if ((signal.aborted || error instanceof AimError) && trainer.step > savedAt && !(await lost(aim))) {
      const path = await save();
      process.stderr.write(`saved ${path}; go on with --resume\n`);
      // The step taken ahead is told, too; an evaluation would hold up who wants to stop.
      if (signal.aborted && !evaluatesAt(trainer.step, trainer.options))
        for await (const step of trainer.run({ until: trainer.step })) await write(toMetric(step));
    }
    throw error;
  } finally {
    bar.stop();
    await log.close();
  }
}

/** Whether the device is gone, so that nothing can be read from it. */
const lost = (aim: AiM) =>
  aim.model.be.settle().then(
    () => false,
    () => true,
  );

function toMetric({ step, epoch, metrics, lr, gradNorm, imagesPerSecond, tokensPerSecond, eval: held }: TrainStep): Metric {
  const evaluated = Object.fromEntries(Object.entries(held ?? {}).map(([name, v]) => [`eval_${name}`, v]));
  return { step, epoch, ...metrics, lr, gradNorm, imagesPerSecond, tokensPerSecond, ...evaluated };
}

function plot(trainer: Trainer, history: readonly Metric[]): string {
  const points = (key: string) =>
    history.filter((m) => typeof m[key] === 'number').map((m) => ({ step: m.step, loss: m[key] as number }));
  const model = trainer.options.stage === 'model';
  return plotLoss(model ? 'AiM, stage 2' : 'Tokenizer', model ? 'cross-entropy, nats per token' : 'loss', [
    { name: 'training', points: points('loss'), kind: 'line' },
    { name: 'held out', points: points('eval_loss'), kind: 'marked' },
  ]);
}

/** Stage 2: one image per class (at most 40), the same seeds each time. Tokenizer: held-out images above what it makes of them. */
async function samples(trainer: Trainer, aim: AiM, images: ImageSplits | undefined): Promise<Uint8Array> {
  if (trainer.options.stage === 'model') {
    const classes = Array.from({ length: Math.min(40, aim.config.num_classes) }, (_, i) => i);
    const rows = classes.length > 10 ? 1 : 4;
    const { images: drawn } = await aim.generate({ classes, count: classes.length * rows });
    return grid(drawn, Math.min(classes.length, 10)).toPNG();
  }
  const data = images!.eval ?? images!.train;
  const originals: AimImage[] = [];
  for (let i = 0; i < Math.min(10, data.length); i++)
    originals.push(new AimImage({ width: data.size, height: data.size, data: await data.image(i, { kind: 'eval' }) }));
  const again = await aim.decode(await aim.encode(originals));
  return grid([...originals, ...again], originals.length).toPNG();
}

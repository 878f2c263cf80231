/** `aim evaluate`: FID and its relatives of a folder, an .npz or a model's images against a reference. */
import type { AiM } from '../aim.js';
import { OptionError } from '../core/errors.js';
import { DRAWN, drawn } from '../evaluate/drawn.js';
import {
  EVALUATE,
  type EvaluateProgress,
  type Evaluation,
  evaluate as evaluateSets,
  type MetricName,
} from '../evaluate/evaluate.js';
import { kindOf } from '../evaluate/images.js';
import { type Command, choice, type Flags, flag, number, type Parsed, string } from './command.js';
import { loadModel } from './model.js';
import { BACKGROUND, background, COMMON, commonOptions, modelOptions, NUMERICS, SAMPLES, samplingOptions } from './options.js';
import { type Progress, progress } from './progress.js';
import { counted, print, say } from './terminal.js';

/** Flags that only a MODEL as SAMPLES takes. */
const DRAWING = {
  count: flag(DRAWN.count, { short: 'n', help: 'images that MODEL draws (default 50000, as in the literature)' }),
  class: { type: 'string', short: 'c', value: '11,heart|all', help: 'classes that MODEL draws, in turn (default all)' },
  seed: flag(DRAWN.seed, { value: 'S', short: 's', help: 'image i is drawn with seed S + i (default 0)' }),
  ...SAMPLES,
  batch: flag(DRAWN.batchSize, { value: 'B', short: 'b' }),
  ...NUMERICS,
} satisfies Flags;

const CACHE = 'out/evaluate';

const FLAGS: Flags = {
  reference: { type: 'string', short: 'r', value: 'REFERENCE', help: 'what samples are compared with (see above)' },
  inception: {
    type: 'string',
    short: 'i',
    value: 'WEIGHTS',
    help: 'the FID network: pt_inception-2015-12-05-6726825d.pth, or a .safetensors with its tensors',
  },
  features: flag(EVALUATE.features, {
    help: 'own: of a classifier trained on REFERENCE, without WEIGHTS; not comparable with FID (default inception)',
  }),
  split: flag(EVALUATE.split, { help: 'part of a REFERENCE that has its held-out images apart (default train)' }),
  neighbours: flag(EVALUATE.neighbours, {
    help: 'most images of both kinds for precision, recall and KID, the first ones (default 10000)',
  }),
  'kid-subsets': flag(EVALUATE.kidSubsets),
  shard: flag(EVALUATE.shard),
  cache: { type: 'string', value: 'FOLDER', help: `keeps features, by content, for the next time (default ${CACHE})` },
  background: BACKGROUND,
  json: { type: 'boolean', help: 'print JSON instead of a table' },
  ...DRAWING,
  ...COMMON,
};

export const evaluate: Command = {
  name: 'evaluate',
  usage: 'SAMPLES',
  summary: 'measure samples: FID, sFID, Inception Score, precision, recall, KID',
  about:
    'Compares SAMPLES with REFERENCE. SAMPLES is a folder of pictures, a .zip of one, an .npz with images arr_0, or a MODEL\n' +
    '(as for `generate`), which draws them. REFERENCE is a data set (as for `train`), an .npz of images, or an .npz of statistics mu, sigma, mu_s, sigma_s.\n' +
    'Pictures of a data set that have another size than the samples are cropped to it; nothing else is resized.\n' +
    'Started again after an interruption, it continues: features are kept, by content, in shards.',
  flags: FLAGS,
  run,
};

async function run({ flags, args }: Parsed, signal: AbortSignal): Promise<number> {
  const [samples, reference] = [args[0], string(flags, 'reference')];
  if (!samples)
    throw new OptionError('evaluate: which samples? Pass a folder or .zip of pictures, an .npz of images, or a model.');
  if (!reference)
    throw new OptionError('evaluate: --reference is missing; pass a data set, or an .npz of images or of statistics.');
  const features = choice(flags, 'features', ['inception', 'own'] as const) ?? 'inception';
  const inception = string(flags, 'inception');
  if (features === 'inception' && inception === undefined)
    throw new OptionError(
      'evaluate: --inception is missing, the weights of the FID network (pt_inception-2015-12-05-6726825d.pth of pytorch-fid or ' +
        'torch-fidelity). Pass them, or --features own for figures that are comparable with nobody else’s.',
    );
  const behind = background(flags);
  const isModel = (await kindOf(samples)) === undefined && !/\.npz$/i.test(samples);
  const drawing = Object.keys(DRAWING).find((name) => flags[name] !== undefined);
  if (!isModel && drawing)
    throw new OptionError(
      `evaluate: --${drawing} is for a model that draws, and ${samples} has its images already; leave it out.`,
    );
  const { device, dawn, threads, backend } = commonOptions(flags);
  let aim: AiM | undefined;
  const bars = new Bars();
  try {
    if (isModel) aim = await loadModel(samples, { ...modelOptions(flags), signal });
    const result = await evaluateSets(aim ? drawn(aim, drawingOptions(flags)) : samples, reference, {
      ...defined({
        device,
        dawn,
        threads,
        backend,
        inception,
        background: behind,
        split: choice(flags, 'split', ['train', 'eval'] as const),
        neighbours: number(flags, 'neighbours'),
        kidSubsets: number(flags, 'kid-subsets'),
        shard: number(flags, 'shard'),
      }),
      features,
      cache: string(flags, 'cache') ?? CACHE,
      onProgress: (at) => bars.update(at),
      onWarning: (message) => bars.note(message),
      signal,
    });
    bars.stop();
    print(flags.json ? `${JSON.stringify({ samples, reference, result })}\n` : table(samples, reference, result));
    return 0;
  } finally {
    bars.stop();
    await aim?.dispose();
  }
}

/** The options without those that are not given. */
const defined = <T extends object>(options: T) =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };

function drawingOptions(flags: Parsed['flags']) {
  const list = string(flags, 'class')
    ?.split(',')
    .map((c) => c.trim());
  return defined({
    classes: list?.length === 1 && list[0] === 'all' ? undefined : list,
    count: number(flags, 'count'),
    seed: number(flags, 'seed'),
    ...samplingOptions(flags),
    batchSize: number(flags, 'batch'),
  });
}

const UNITS: Record<EvaluateProgress['phase'], string> = {
  network: 'steps',
  samples: 'images',
  reference: 'images',
  metrics: '%',
};

/** A line of progress for each phase. */
class Bars {
  private bar: Progress | undefined;
  private phase: string | undefined;

  update({ phase, done, total }: EvaluateProgress): void {
    if (phase !== this.phase) {
      this.stop();
      this.phase = phase;
      this.bar = progress(phase, total, UNITS[phase]);
    }
    this.bar?.update(done);
  }
  note(text: string): void {
    if (this.bar) this.bar.note(text);
    else say(`${text}\n`);
  }
  stop(): void {
    this.bar?.stop();
    this.bar = undefined;
  }
}

/** The lines of the table: a label, the metric, its deviation if it has one, and decimals. */
const ROWS: readonly [label: string, metric: MetricName, deviation: MetricName | undefined, decimals: number][] = [
  ['FID', 'fid', undefined, 3],
  ['sFID', 'sfid', undefined, 3],
  ['Inception Score', 'is', 'isStd', 3],
  ['precision', 'precision', undefined, 4],
  ['recall', 'recall', undefined, 4],
  ['KID', 'kid', 'kidStd', 6],
  ['own Fréchet distance', 'ownFrechetDistance', undefined, 3],
  ['own score', 'ownScore', 'ownScoreStd', 3],
  ['own precision', 'ownPrecision', undefined, 4],
  ['own recall', 'ownRecall', undefined, 4],
  ['own kernel distance', 'ownKernelDistance', 'ownKernelDistanceStd', 6],
];

/** Without the sign of a zero: the distance of equal sets can be rounded to just below it. */
const fixed = (value: number, decimals: number) => value.toFixed(decimals).replace(/^-(0\.?0*)$/, '$1');

function table(samples: string, reference: string, { features, device, metrics, missing, ...sets }: Evaluation): string {
  const lines = [
    `samples: ${samples}, ${counted(sets.samples, 'image')}`,
    `reference: ${reference}${sets.reference === undefined ? ', statistics' : `, ${counted(sets.reference, 'image')}`}`,
    `features: ${features === 'own' ? 'of a classifier trained on the reference; these figures are no FID' : 'of the FID network'}`,
    `device: ${device}`,
    '',
  ];
  for (const [label, metric, deviation, decimals] of ROWS) {
    const [value, std] = [metrics[metric], deviation && metrics[deviation]];
    if (value !== undefined)
      lines.push(`${label.padEnd(22)}${fixed(value, decimals)}${std === undefined ? '' : ` ± ${fixed(std, decimals)}`}`);
  }
  const labelOf = (metric: MetricName) => ROWS.find(([, name]) => name === metric)?.[0] ?? metric;
  for (const { metric, reason } of missing) lines.push(`no ${labelOf(metric)}: ${reason}`);
  return `${lines.join('\n')}\n`;
}

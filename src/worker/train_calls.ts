/** Calls of training in a worker, which holds one model and one trainer. */
import { DisposedError, OptionError } from '../core/errors.js';
import {
  type Codes,
  checkpointFiles,
  type ImageSplits,
  openCheckpointFolder,
  openData,
  saveCheckpoint,
  Trainer,
  tokenize,
} from '../train.js';
import { fileOf, type SentFile } from './files.js';
import { plainImage } from './messages.js';
import { handFiles, live } from './model_calls.js';
import type { Call, Handlers } from './serve.js';
import type { SentData, SentStep, TrainCalls, TrainingData } from './train_messages.js';

let trainer: Trainer | undefined;
/** The data of the trainer. */
let data: Codes | ImageSplits | undefined;

function training(): Trainer {
  if (!trainer) throw new DisposedError('this Trainer');
  return trainer;
}

/** Side of images that are counted and not read: the largest, which all data fits. */
const ANY_SIZE = 4096;

export const trainCalls: Handlers<keyof TrainCalls> = {
  async describeData({ signal }, { source, reading }) {
    const { augment: _, ...options } = reading;
    const opened = await openData(received(source), { ...options, size: ANY_SIZE, signal });
    if (opened.kind !== 'codes') return { kind: opened.kind, ...about(opened, opened.train.skipped).about };
    const { tokens, vocabulary } = opened.codes;
    return { kind: 'codes', tokens, vocabulary, ...about(opened.codes, []).about };
  },
  async openTrainer(call, sent, options) {
    const opened = sent && (await dataOf(call, sent, options.stage ?? 'model'));
    call.signal.throwIfAborted();
    trainer = new Trainer({ ...options, model: live(), data: opened?.data });
    data = opened?.data;
    const found = opened?.about ?? { classes: [], images: 0, held: 0, skipped: [] };
    const { options: all, stepsPerEpoch, stepsDone } = trainer;
    return { options: all, stepsPerEpoch, stepsDone, data: found };
  },
  async train(call, options) {
    for await (const step of training().run({ ...options, signal: call.signal }))
      if (!(await call.hand({ step, stepsDone: training().stepsDone } satisfies SentStep))) return;
  },
  stepsDone: () => training().stepsDone,
  modelClasses: () => live().classes,
  async examples({ signal }, count) {
    training();
    if (!data) return [];
    const length = 'codes' in data ? data.labels.length : data.train.length;
    const number = Math.min(count, length);
    const chosen = Array.from({ length: number }, (_, i) => Math.floor((i * length) / number));
    if ('train' in data) {
      const { train } = data;
      const { size } = train;
      const pixels = await Promise.all(chosen.map((i) => train.image(i, { kind: 'eval' })));
      return pixels.map((data) => ({ width: size, height: size, data }));
    }
    const { codes, tokens } = data;
    const images = await live().decode(
      chosen.map((i) => codes.slice(i * tokens, (i + 1) * tokens)),
      { signal },
    );
    return images.map(plainImage);
  },
  step: (_, batch, options) => training().step(batch, options),
  evaluate: ({ signal }, options) => training().evaluate({ ...options, signal }),
  withEma: (call) => training().withEma(async () => void (await call.hand(undefined))),
  checkpoint: (call) => handFiles(call, checkpointFiles(training().checkpoint())),
  saveCheckpoint: ({ signal }, run, options) => saveCheckpoint(run, training().checkpoint(), { ...options, signal }),
  keep: () => training().keep(),
  async resume(_, source, options) {
    const saved = await openCheckpointFolder(received(source));
    await training().resume(saved, options);
    return training().stepsDone;
  },
  tuneTraining: ({ signal, onProgress }) => training().tune({ signal, onProgress }),
  disposeTrainer() {
    trainer?.dispose();
    trainer = data = undefined;
  },
};

const received = (source: string | SentFile[]) => (typeof source === 'string' ? source : source.map(fileOf));

/** The data of a trainer and what the page is told of it. Images for stage 2 are tokenized. */
async function dataOf(call: Call, sent: SentData, stage: 'model' | 'tokenizer') {
  if (!('source' in sent)) return about(sent, []);
  const { signal, listens } = call;
  const { augment, ...reading } = sent.reading;
  const data = await openData(received(sent.source), { ...reading, size: live().config.image_size, signal });
  if (data.kind === 'codes') {
    if (stage === 'tokenizer')
      throw new OptionError('the data is a file of codes, and a tokenizer is trained on images; give a folder of them.');
    return about(data.codes, []);
  }
  if (stage === 'tokenizer') {
    if (augment !== undefined) throw new OptionError('augment is for images that are tokenized; a tokenizer crops its own.');
    return about({ train: data.train, eval: data.eval }, data.train.skipped);
  }
  const progress = (loaded: number, total: number) => call.send({ progress: { phase: 'tokenize', loaded, total } });
  const codes = await tokenize(live(), data, {
    signal,
    ...(augment !== undefined && { augment }),
    ...(listens && { onProgress: progress }),
  });
  return about(codes, data.train.skipped);
}

function about(data: Codes | ImageSplits, skipped: TrainingData['skipped']) {
  const [classes, images, held] =
    'train' in data
      ? [data.train.classes, data.train.length, data.eval?.length ?? 0]
      : [data.classes, data.labels.length, data.eval?.labels.length ?? 0];
  return { data, about: { classes: [...classes], images, held, skipped: [...skipped] } };
}

/** The Trainer of a page whose model is in a worker. */
import type { EncodeInput } from '../aim.js';
import type { TunedKernel } from '../backend/tune.js';
import type { Progress } from '../checkpoint/source.js';
import { DisposedError, OptionError } from '../core/errors.js';
import { checkOption, type OptionSpec, shown } from '../core/options.js';
import { AimImage } from '../io/image.js';
import type {
  Codes,
  EvaluateOptions,
  KeepOptions,
  ResumeOptions,
  RunOptions,
  StepOptions,
  StepResult,
  StretchOptions,
  TrainBatch,
  TrainerOptions,
  TrainStep,
  TuneTrainingOptions,
} from '../train.js';
import { address, Connection, collected, divided } from './connection.js';
import { sentFiles } from './files.js';
import { AiM } from './remote.js';
import { startThread } from './start.js';
import type { DataFacts, DataReading, SentData, SentSource, SentStep, TrainerFacts, TrainingData } from './train_messages.js';

const COUNT: OptionSpec = { type: 'integer', min: 0, about: 'number of images' };

/** Images or a codes file, which the worker opens as `openData` of `aim-js/train` does, at the size of the model. */
export interface DataSource extends DataReading {
  /** A path (Node, Deno), or the Files of a folder with one sub-folder per class, or that of a zip archive or codes file. */
  from: string | Iterable<File>;
  /** Random crops of each training image when images are tokenized for stage 2; see `tokenize`. Default 0. */
  augment?: number | undefined;
}

/**
 * What is in data, for example to make a model with as many classes: its classes and the numbers of its images, which are listed and
 * not read. `skipped` are the files that are no images. Runs in a worker that ends afterwards. Throws like `openData` of `aim-js/train`,
 * and DeviceError if the worker cannot be started.
 */
export async function describeData(
  data: DataSource,
  options: { workerUrl?: string | URL | undefined; signal?: AbortSignal | undefined } = {},
): Promise<DataFacts> {
  const [{ workerUrl, ...plain }, listeners] = divided('describeData', options, ['signal']);
  for (const name of Object.keys(plain))
    throw new OptionError(`describeData: there is no option ${shown(name)}; it takes workerUrl, signal.`);
  if (typeof data !== 'object' || data === null || !('from' in data))
    throw new OptionError(`describeData: the data is ${shown(data)}; pass { from } with a path or a list of Files.`);
  const sent = await sentSource(data);
  const connection = new Connection(await startThread(address('workerUrl', workerUrl)));
  try {
    return await connection.call('describeData', [sent], listeners);
  } finally {
    connection.end();
  }
}

/** Options of `Trainer.open`: those of the Trainer of `aim-js/train`, with data that can go to a worker. */
export interface WorkerTrainerOptions extends Omit<TrainerOptions, 'model' | 'data'> {
  /** A model of `aim-js/train-worker`; it is trained in its worker. */
  model: AiM;
  /** Codes, or what is opened in the worker. Left out, `step` takes the caller's batches and `stage` says of what. */
  data?: Codes | DataSource | undefined;
  /** What is trained. Default: stage 2 ('model'), for which images are tokenized first. */
  stage?: 'model' | 'tokenizer' | undefined;
  /** Called with the number of images tokenized so far, in the phase 'tokenize'. */
  onProgress?: ((progress: Progress) => void) | undefined;
  /** Aborts the opening of the data. */
  signal?: AbortSignal | undefined;
}

/**
 * Trains a model in its worker. Methods have the same meaning as those of the Trainer of `aim-js/train`; between steps, `generate` of
 * the model draws with the weights as they are. To pause, leave the loop of `run` or abort its signal; another `run` continues. Errors
 * have the same classes, codes and messages.
 */
export class Trainer {
  readonly options: RunOptions;
  /** Steps of one pass over the data; 0 without data. */
  readonly stepsPerEpoch: number;
  /** What was found in the data. */
  readonly data: TrainingData;
  private done: number;
  private disposed = false;

  private constructor(
    private readonly aim: AiM,
    { options, stepsPerEpoch, stepsDone, data }: TrainerFacts,
  ) {
    this.options = options;
    this.stepsPerEpoch = stepsPerEpoch;
    this.done = stepsDone;
    this.data = data;
  }

  /** Makes a trainer in the model's worker, and opens its data there. Throws like the Trainer of `aim-js/train`, and like `openData`. */
  static async open(given: WorkerTrainerOptions): Promise<Trainer> {
    const [{ model, data, ...options }, listeners] = divided('Trainer', given, ['signal', 'onProgress']);
    if (!(model instanceof AiM))
      throw new OptionError("the model must be an AiM of 'aim-js/train-worker', whose worker trains it.");
    const sent = data && (await sentData(data));
    return new Trainer(model, await model.connection.call('openTrainer', [sent, options], listeners));
  }

  /** Steps taken: the weights are those after this many. */
  get stepsDone(): number {
    return this.done;
  }

  /** Trains to the last step, or to step `until`, and yields each; see `run` of `aim-js/train`. */
  async *run(options: StretchOptions = {}): AsyncGenerator<TrainStep, void, undefined> {
    const [plain, listeners] = divided('run', options, ['signal']);
    const { connection } = this.live();
    try {
      let first = true;
      for await (const { step, stepsDone } of connection.stream<SentStep>('train', [plain], listeners)) {
        this.done = stepsDone;
        // Class names of the data replace those of the model when training begins.
        if (first) this.aim.renamed(await connection.call('modelClasses', []));
        first = false;
        yield step;
      }
    } finally {
      // A step that was begun and not yielded counts too.
      if (!connection.ended && !this.disposed) this.done = await connection.call('stepsDone', []);
    }
  }

  /**
   * Some of the training images, at most `count`, evenly spaced in the data: as the tokenizer is given them or, for stage 2, decoded from
   * their codes. None without data.
   */
  async examples(count = 10): Promise<AimImage[]> {
    checkOption('count', count, COUNT);
    const images = await this.live().connection.call('examples', [count]);
    return images.map((image) => new AimImage(image));
  }

  /** Takes one step on a batch of the caller's own; see `step` of `aim-js/train`. */
  async step(batch: TrainBatch, options: StepOptions = {}): Promise<StepResult> {
    const { connection } = this.live();
    const [plain] = divided('step', options, []);
    const result = await connection.call('step', [plainBatch(batch), plain]);
    this.done = result.step;
    return result;
  }

  /** Means of the metrics over the held-out images, or over those of `batch`; see `evaluate` of `aim-js/train`. */
  async evaluate(options: EvaluateOptions = {}): Promise<Record<string, number>> {
    const [{ batch, ...plain }, listeners] = divided('evaluate', options, ['signal']);
    return this.live().connection.call('evaluate', [{ ...plain, ...(batch && { batch: plainBatch(batch) }) }], listeners);
  }

  /** Runs `fn` with the average of weights in the model's place, for `generate` and `evaluate`; see `withEma` of `aim-js/train`. */
  async withEma<R>(fn: () => Promise<R>): Promise<R> {
    const results: R[] = [];
    for await (const _ of this.live().connection.stream('withEma', [])) results.push(await fn());
    return results[0]!;
  }

  /**
   * The files of a checkpoint after `stepsDone` steps, for `resume`, for `AiM.fromPretrained` and for a download. Weights come from the
   * worker piece by piece; no step may be taken meanwhile.
   */
  async checkpoint(options: { signal?: AbortSignal | undefined } = {}): Promise<File[]> {
    const [plain, listeners] = divided('checkpoint', options, ['signal']);
    for (const name of Object.keys(plain))
      throw new OptionError(`checkpoint: there is no option ${shown(name)}; it takes signal.`);
    return collected(this.live().connection.stream('checkpoint', [], listeners));
  }

  /** Writes a checkpoint into the folder of a run (Node, Deno) and returns its path; see `saveCheckpoint` of `aim-js/train`. */
  async save(run: string, options: KeepOptions = {}): Promise<string> {
    const [plain, listeners] = divided('saveCheckpoint', options, ['signal']);
    return this.live().connection.call('saveCheckpoint', [run, plain], listeners);
  }

  /** Sets the state from which training continues after a lost GPU device to the present one; see `keep` of `aim-js/train`. */
  async keep(): Promise<void> {
    return this.live().connection.call('keep', []);
  }

  /**
   * Continues from a checkpoint (the path of a run or a checkpoint in Node and Deno, or Files) whose weights the model already holds;
   * see `resume` of `aim-js/train`.
   */
  async resume(source: string | Iterable<File>, options: ResumeOptions = {}): Promise<void> {
    const { connection } = this.live();
    const [plain] = divided('resume', options, []);
    this.done = await connection.call('resume', [typeof source === 'string' ? source : await sentFiles(source), plain]);
  }

  /** Finds the fastest launches of this training's kernels on this GPU; see `tune` of `aim-js/train`. */
  async tune(options: TuneTrainingOptions = {}): Promise<TunedKernel[]> {
    const [plain, listeners] = divided('tune', options, ['signal', 'onProgress']);
    for (const name of Object.keys(plain))
      throw new OptionError(`tune: there is no option ${shown(name)}; it takes onProgress, signal.`);
    return this.live().connection.call('tuneTraining', [], listeners);
  }

  /** Frees what training needs; the model stays. */
  async dispose(): Promise<void> {
    if (this.disposed) return;
    this.disposed = true;
    if (!this.aim.connection.ended) await this.aim.connection.call('disposeTrainer', []);
  }

  private live(): AiM {
    if (this.disposed) throw new DisposedError('this Trainer');
    return this.aim;
  }
}

/** AimImages cannot be sent, their fields can. */
function plainBatch(batch: TrainBatch): TrainBatch {
  const { images } = (batch ?? {}) as { images?: unknown };
  if (!Array.isArray(images)) return batch;
  const plain = (image: EncodeInput | Float32Array) => {
    if (typeof image !== 'object' || image === null || ArrayBuffer.isView(image)) return image;
    const { width, height, data } = image;
    return { width, height, data };
  };
  return { ...batch, images: images.map(plain) } as TrainBatch;
}

async function sentData(data: Codes | DataSource): Promise<SentData> {
  return typeof data !== 'object' || data === null || !('from' in data) ? data : sentSource(data);
}

async function sentSource({ from, ...reading }: DataSource): Promise<SentSource> {
  const { labels } = reading;
  // A File is no Blob any more where it arrives in Node and Deno.
  const table = labels instanceof Blob ? { labels: new Uint8Array(await labels.arrayBuffer()) } : {};
  return { source: typeof from === 'string' ? from : await sentFiles(from), reading: { ...reading, ...table } };
}

/** Calls of training to a worker. */
import type { TunedKernel } from '../backend/tune.js';
import type { AimImage } from '../io/image.js';
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
} from '../train.js';
import type { SentFile } from './files.js';

/** How `openData` reads the images of a source, and `tokenize` encodes them. */
export interface DataReading {
  flip?: boolean | undefined;
  jitter?: number | undefined;
  holdout?: number | undefined;
  exclude?: readonly string[] | undefined;
  background?: readonly [number, number, number] | undefined;
  maxPixels?: number | undefined;
  labels?: string | Blob | Uint8Array | undefined;
  classes?: readonly string[] | undefined;
  augment?: number | undefined;
}

/** The source of data, in a form that can be sent. */
export interface SentSource {
  source: string | SentFile[];
  reading: DataReading;
}

/** Data in a form that can be sent. */
export type SentData = Codes | SentSource;

/** What the page knows of the data. */
export interface TrainingData {
  /** Names of its classes. */
  classes: readonly string[];
  /** Training images; with `augment` each counts as often as it was cropped. */
  images: number;
  /** Held-out images. */
  held: number;
  /** Files that could not be used. */
  skipped: readonly { name: string; reason: string }[];
}

/** What is in data, found out without reading an image. */
export interface DataFacts extends TrainingData {
  /** Codes of `aim tokenize`, or images in class folders or in IDX files. */
  kind: 'codes' | 'folder' | 'idx';
  /** Codes alone: the number of tokens of an image. */
  tokens?: number;
  /** Codes alone: the number of different tokens. */
  vocabulary?: number;
}

/** What the page knows of a trainer. */
export interface TrainerFacts {
  options: RunOptions;
  stepsPerEpoch: number;
  stepsDone: number;
  data: TrainingData;
}

/** An item of `train`. */
export interface SentStep {
  step: TrainStep;
  stepsDone: number;
}

/** `train` answers with SentStep, `withEma` with one item while the average is in place, `checkpoint` with FilePiece. */
export interface TrainCalls {
  describeData(data: SentSource): DataFacts;
  openTrainer(data: SentData | undefined, options: Omit<TrainerOptions, 'model' | 'data'>): TrainerFacts;
  train(options: Omit<StretchOptions, 'signal'>): void;
  stepsDone(): number;
  modelClasses(): string[] | undefined;
  examples(count: number): Pick<AimImage, 'width' | 'height' | 'data'>[];
  step(batch: TrainBatch, options: StepOptions): StepResult;
  evaluate(options: Omit<EvaluateOptions, 'signal'>): Record<string, number>;
  withEma(): void;
  checkpoint(): void;
  saveCheckpoint(run: string, options: Omit<KeepOptions, 'signal'>): string;
  keep(): void;
  resume(source: string | SentFile[], options: ResumeOptions): number;
  tuneTraining(): TunedKernel[];
  disposeTrainer(): void;
}

/** Messages between a page and its worker: calls in one direction, answers, items and progress in the other. */
import type {
  AiM,
  Drawn,
  EncodeInput,
  Generated,
  GenerateOptions,
  LikelihoodOptions,
  LoadOptions,
  SaveOptions,
  StepInfo,
  TuneOptions,
} from '../aim.js';
import type { TunedKernel } from '../backend/tune.js';
import type { CheckpointSource, Progress, SourceOptions } from '../checkpoint/source.js';
import {
  type AimError,
  CheckpointError,
  DeviceError,
  DisposedError,
  IoError,
  OptionError,
  OutOfMemoryError,
  ShapeError,
  TrainingError,
} from '../core/errors.js';
import type { AimImage } from '../io/image.js';
import type { AimConfigJson } from '../model/config.js';
import type { Classes } from '../model/likelihood.js';
import type { SentFile } from './files.js';
import type { TrainCalls } from './train_messages.js';

/** Options without callbacks and signals, which cannot be cloned. */
export type Plain<T> = Omit<T, 'onStep' | 'onProgress' | 'onWarning' | 'signal'>;

/** The fields of an AimImage. */
export type PlainImage = Pick<AimImage, 'width' | 'height' | 'data' | 'label' | 'seed'>;
/** An image to encode. */
export type PlainInput = Pick<EncodeInput, 'width' | 'height' | 'data'>;
export type PlainGenerated = Omit<Generated, 'images'> & { images: PlainImage[] };
export type PlainDrawn = Omit<Drawn, 'image'> & { image: PlainImage };
/** A piece of a file; the pieces of a name are in order. */
export interface FilePiece {
  name: string;
  data: Uint8Array<ArrayBuffer>;
}
export type PlainStep = Omit<StepInfo, 'preview'>;
/** The properties of a loaded model. */
export type ModelFacts = Pick<
  AiM,
  'config' | 'classes' | 'sampling' | 'ignored' | 'backend' | 'device' | 'parameters' | 'tensors'
>;

/**
 * The calls that a worker with a model answers. Those that return nothing may answer with items: `generateEach` with PlainDrawn,
 * `toFiles` with FilePiece. The argument of `preview` is the number of a running `generate` call.
 */
export interface ModelCalls {
  fromPretrained(source: CheckpointSource | SentFile[], options: Plain<LoadOptions>): ModelFacts;
  fromConfig(config: AimConfigJson, options: Plain<LoadOptions> & { seed?: number }): ModelFacts;
  loadPart(part: 'vqvae.' | 'mamba.', source: CheckpointSource | SentFile[], options: Plain<SourceOptions>): void;
  generate(options: Plain<GenerateOptions>): PlainGenerated;
  generateEach(options: Plain<GenerateOptions>): void;
  preview(generate: number): PlainImage[];
  logits(codes: readonly ArrayLike<number>[], classes: Classes, options: Plain<LikelihoodOptions>): Float32Array<ArrayBuffer>[];
  logLikelihood(codes: readonly ArrayLike<number>[], classes: Classes, options: Plain<LikelihoodOptions>): number[];
  save(folder: string, options: Plain<SaveOptions>): void;
  toFiles(options: Plain<SaveOptions>): void;
  tune(options: Plain<TuneOptions>): TunedKernel[];
  encode(images: PlainInput[]): Uint32Array[];
  decode(codes: readonly ArrayLike<number>[], options: object): PlainImage[];
  dispose(): void;
}

/** Every call, that of training too. */
export interface Calls extends ModelCalls, TrainCalls {}

/** A call. `listens` is true if the page has a callback for its progress or steps. */
export type Request = {
  [K in keyof Calls]: { id: number; call: K; args: Parameters<Calls[K]>; listens: boolean };
}[keyof Calls];

/**
 * Messages to the worker. `seen` answers each step after its callback has returned, and each item when the next is asked for; false
 * means that the callback threw, or that no more items are wanted.
 */
export type ToWorker = Request | { id: number; abort: true } | { id: number; seen: boolean };

/** Messages from the worker about the call with the number `id`. */
export type FromWorker =
  | { id: number; result: ReturnType<Calls[keyof Calls]> }
  | { id: number; error: PlainError }
  | { id: number; step: PlainStep }
  | { id: number; item: unknown }
  | { id: number; progress: Progress }
  | { id: number; warning: string };

interface PlainError {
  name: string;
  message: string;
  stack: string | undefined;
}

const TYPES: Record<string, new (message: string) => AimError> = {
  CheckpointError,
  DeviceError,
  DisposedError,
  IoError,
  OptionError,
  OutOfMemoryError,
  ShapeError,
  TrainingError,
};

/** An error in a form that can be sent. */
export function plainError(error: unknown): PlainError {
  const { name = 'Error', message = String(error), stack } = (error ?? {}) as Partial<Error>;
  return { name, message, stack };
}

/** An error of the same class, so that `instanceof` and `code` are as without a worker. */
export function revivedError({ name, message, stack }: PlainError): Error {
  const Type = TYPES[name];
  // DisposedError composes its own message, so the message is set afterwards.
  return Type ? Object.assign(new Type(message), { message, stack }) : Object.assign(new Error(message), { name, stack });
}

/** An image in a form that can be sent. */
export const plainImage = ({ width, height, data, label, seed }: AimImage): PlainImage => ({ width, height, data, label, seed });

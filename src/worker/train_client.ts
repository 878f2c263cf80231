/**
 * The AiM and the Trainer of `aim-js` and `aim-js/train`, running in a worker, so that a page trains without freezing and can draw
 * samples meanwhile. Each model has its own worker, which starts when the model is loaded and ends with `dispose`.
 * @module aim-js/train-worker
 */
import script from '../../dist/aim.train-worker.min.js?text';
import { useScript } from './start.js';

export { recipe, stage2For, tokenizerFor } from '../train/recipe.js';
export type {
  Codes,
  CodesBatch,
  CodesPart,
  EvaluateOptions,
  ImagesBatch,
  KeepOptions,
  PresetName,
  RecipeFacts,
  ResumeOptions,
  RunOptions,
  RunSettings,
  Stage2Json,
  StepOptions,
  StepResult,
  StretchOptions,
  TokenizerJson,
  TrainBatch,
  TrainStep,
  TuneTrainingOptions,
} from '../train.js';
export * from './exports.js';
export type { DataFacts, TrainingData } from './train_messages.js';
export { type DataSource, describeData, Trainer, type WorkerTrainerOptions } from './trainer.js';

useScript({ text: script, name: 'aim.train-worker.min.js' });

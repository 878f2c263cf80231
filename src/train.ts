/**
 * Data, tokenizing, the trainer and verification. Kept apart from `aim-js`, so that a page that only draws does not download it.
 * @module aim-js/train
 */
export {
  type Codes,
  type CodesPart,
  encodeCodes,
  type ReadOptions,
  readCodes,
  type TokenizeOptions,
  tokenize,
} from './data/codes.js';
export type { ImageDataset, ImageMode, ImageSplits } from './data/dataset.js';
export { type Data, type DataOptions, openData } from './data/open.js';
export type { DecodeOptions, Rgb } from './io/images/index.js';
export type { CodesBatch, ImagesBatch, TrainBatch } from './train/batch.js';
export {
  type CheckpointParts,
  checkpointFiles,
  openCheckpointFolder,
  type SavedCheckpoint,
  saveCheckpoint,
} from './train/folder.js';
export type {
  EvaluateOptions,
  KeepOptions,
  ResumeOptions,
  RunOptions,
  RunSettings,
  StepOptions,
  StretchOptions,
  TrainerOptions,
  TuneTrainingOptions,
} from './train/options.js';
export {
  type PresetName,
  type RecipeFacts,
  recipe,
  type Stage2Json,
  stage2For,
  type TokenizerJson,
  tokenizerFor,
} from './train/recipe.js';
export type { StepResult, TrainStep } from './train/report.js';
export { Trainer } from './train/trainer.js';
export { type Skipped, type VerifyOptions, type VerifyRow, verify } from './verify/run.js';
export type { Tolerances, VerifyMode } from './verify/tolerance.js';

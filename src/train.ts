/**
 * Data, tokenizing, the trainer and verification. Kept apart from `aim-js`, so that a page that only draws does not download it.
 *
 * ```js
 * import { AiM } from 'aim-js';
 * import { embedded } from 'aim-js/embedded';
 * import { openData, Trainer } from 'aim-js/train';
 *
 * const aim = await AiM.fromPretrained(embedded());
 * const data = await openData('images', { size: aim.config.image_size }); // one sub-folder of pictures per class
 * if (data.kind === 'codes') throw new Error('the tokenizer is trained on pictures');
 * const trainer = new Trainer({ model: aim, data, steps: 2, batchSize: 2 }); // images train the tokenizer, codes stage 2
 * for await (const { step, loss } of trainer.run()) console.log(step, loss);
 * trainer.dispose();
 * await aim.dispose();
 * ```
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
export type { LabelSource } from './data/labels.js';
export { type Data, type DataOptions, openData } from './data/open.js';
export type { DecodeOptions, Rgb } from './io/images/index.js';
export type { CodesBatch, ImagesBatch, TrainBatch } from './train/batch.js';
export type { DiscriminatorName } from './train/discriminators.js';
export type { FeatureLayer, FeatureNetwork } from './train/features.js';
export {
  type CheckpointParts,
  checkpointFiles,
  openCheckpointFolder,
  type SavedCheckpoint,
  saveCheckpoint,
} from './train/folder.js';
export { openLpips, type WeightsSource } from './train/lpips.js';
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
export type { Stage1Options } from './train/stage1.js';
export { Trainer } from './train/trainer.js';
export { type Skipped, type VerifyOptions, type VerifyRow, verify } from './verify/run.js';
export type { Tolerances, VerifyMode } from './verify/tolerance.js';

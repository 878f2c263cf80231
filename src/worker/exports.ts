/** What `aim-js/worker` and `aim-js/train-worker` have in common. */
export type {
  ClassMix,
  Drawn,
  EncodeInput,
  Generated,
  GenerateOptions,
  LikelihoodOptions,
  SaveOptions,
  SeedMix,
  StartFrom,
  StepInfo,
  TuneOptions,
} from '../aim.js';
export type { DeviceName } from '../backend/create.js';
export type { TunedKernel } from '../backend/tune.js';
export { type CachedFile, type CacheOptions, cachedFiles, clearCache } from '../cache/entry.js';
export type { CheckpointSource, Progress, RemoteOptions, SourceOptions } from '../checkpoint/source.js';
export * from '../core/errors.js';
export { AimImage } from '../io/image.js';
export type { Rgb } from '../io/images/index.js';
export type { AimConfig, AimConfigJson } from '../model/config.js';
export type { ModelSampling, SamplingOptions } from '../model/sampler.js';
export { AiM, type WorkerLoadOptions } from './remote.js';

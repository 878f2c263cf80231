/**
 * AiM, the autoregressive Mamba image generator (arXiv 2408.12245), on WebGPU and SIMD WebAssembly.
 *
 * ```js
 * import { AiM } from 'aim-js';
 * import { embedded } from 'aim-js/embedded';
 *
 * const aim = await AiM.fromPretrained(embedded()); // or a path, an address, a Hugging Face id
 * const { images } = await aim.generate({ classes: ['heart'], count: 2, seed: 1 });
 * console.log(images[0].width, (await images[0].toPNG()).length);
 * await aim.dispose();
 * ```
 * @module aim-js
 */
export {
  AiM,
  type ClassMix,
  type Drawn,
  type EncodeInput,
  type Generated,
  type GenerateOptions,
  type LikelihoodOptions,
  type LoadOptions,
  type SaveOptions,
  type SeedMix,
  type StartFrom,
  type StepInfo,
  type TuneOptions,
} from './aim.js';
export type { DeviceName, GpuDevice } from './backend/create.js';
export type { TunedKernel } from './backend/tune.js';
export { type CachedFile, type CacheOptions, cachedFiles, clearCache } from './checkpoint/cached_files.js';
export {
  type ByteSource,
  type CheckpointSource,
  openSource,
  type Progress,
  type RemoteOptions,
  type SourceOptions,
} from './checkpoint/source.js';
export * from './core/errors.js';
export { AimImage } from './io/image.js';
export type { Rgb } from './io/images/index.js';
export type { AimConfig, AimConfigJson } from './model/config.js';
export { PRESETS } from './model/presets.js';
export type { ModelSampling, SamplingOptions } from './model/sampler.js';

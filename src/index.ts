/** aim-js: AiM, the autoregressive Mamba image generator (arXiv 2408.12245), on WebGPU and SIMD WebAssembly. */
export { AiM, type EncodeInput, type Generated, type GenerateOptions, type LoadOptions, type StepInfo } from './aim.js';
export { type Codes, type CodesPart, encodeCodes, readCodes, type TokenizeOptions, tokenize } from './data/codes.js';
export type { ImageDataset, ImageMode, ImageSplits } from './data/dataset.js';
export { type Data, type DataOptions, openData } from './data/open.js';
export * from './errors.js';
export type { SamplingOptions } from './generate.js';
export { AimImage } from './io/image.js';
export { type ByteSource, type CheckpointSource, openSource, type Progress } from './io/source.js';
export { type AimConfig, type AimConfigJson, PRESETS } from './model/config.js';
export type { DeviceName } from './platform/device.js';
export { type Skipped, type VerifyOptions, type VerifyRow, verify } from './verify.js';

/** Finds the fastest kernels for drawing with a model. A chunk of its own, because few pages do it. */
import type { TunedKernel } from '../backend/tune.js';
import { checkOption, checkOptions, type OptionTable } from '../core/options.js';
import type { Progress } from '../core/progress.js';
import type { Model } from './model.js';
import { checkSampling, SAMPLING, Sampler, type SamplingOptions } from './sampler.js';

/** Options of `tune`. */
export interface TuneOptions extends Pick<SamplingOptions, 'cfgScale'> {
  /** Numbers of images that will be drawn at once. Default 1. */
  batchSize?: number | readonly number[];
  /** Called with the number of choices made so far, in the phase 'tune'. */
  onProgress?: ((progress: Progress) => void) | undefined;
  /** Aborts the measurements. */
  signal?: AbortSignal | undefined;
}

const BATCH_SIZE = { type: 'integer', min: 1, max: 4096, about: 'images that will be drawn at once' } as const;

export const TUNE = {
  cfgScale: SAMPLING.cfgScale,
  batchSize: { type: 'other', default: 1, about: 'images that will be drawn at once; one number or several' },
  onProgress: { type: 'function', about: 'called with the number of choices made so far' },
  signal: { type: 'signal', about: 'stops the measurements' },
} as const satisfies OptionTable<TuneOptions>;

/** See AiM.tune. */
export async function tune(model: Model, options: TuneOptions): Promise<TunedKernel[]> {
  model.assertLive();
  const { sampling: own } = model;
  const { batchSize, cfgScale, onProgress, signal } = checkOptions<TuneOptions, typeof TUNE>('tune', options, TUNE, own);
  const sampling = checkSampling({ cfgScale });
  const sizes = [batchSize].flat().map((n) => checkOption('batchSize', n, BATCH_SIZE));
  return model.attempt(async ({ be, params }) => {
    for (const n of sizes) new Sampler(be, model.config, params.mamba.backbone, n, sampling).dispose();
    return model.tune({ onProgress, signal });
  }, signal);
}

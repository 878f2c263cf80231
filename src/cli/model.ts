/** The model argument of every command. */
import { fileURLToPath } from 'node:url';
import { AiM, type LoadOptions } from '../aim.js';
import { GENERATION } from '../checkpoint/folder.js';
import type { CheckpointFiles } from '../checkpoint/source.js';
import { parseGenerationConfig } from '../model/generation_config.js';
import { progress } from './progress.js';

/** The model that comes with the package. */
export const embeddedModel = () => fileURLToPath(new URL('../models/emoji', import.meta.url));

/** Loads a model, with a bar once that takes longer than a moment. */
export async function loadModel(source: string | undefined, options: LoadOptions): Promise<AiM> {
  return withBar((onProgress) => AiM.fromPretrained(source ?? embeddedModel(), { ...options, onProgress }));
}

/** The text of a checkpoint's generation_config.json, checked; undefined without one. Throws CheckpointError. */
export async function generationConfig(files: CheckpointFiles): Promise<string | undefined> {
  const text = await files.text(GENERATION);
  if (text !== undefined) parseGenerationConfig(text, `${files.name}: ${GENERATION}`);
  return text;
}

/** Runs what reads weights, with a bar as above. */
export async function withBar<T>(work: (onProgress: NonNullable<LoadOptions['onProgress']>) => Promise<T>): Promise<T> {
  const start = performance.now();
  let bar: ReturnType<typeof progress> | undefined;
  try {
    return await work(({ phase, loaded, total }) => {
      if (!total) return;
      if (!bar && performance.now() - start > 700)
        bar = progress(phase === 'load' ? 'loading' : 'downloading', total, 'MB', { per: 1e6 });
      bar?.update(loaded);
    });
  } finally {
    bar?.stop();
  }
}

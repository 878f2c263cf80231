/** The model argument of every command. */
import { fileURLToPath } from 'node:url';
import { AiM, type LoadOptions } from '../aim.js';
import { progress } from './progress.js';

/** The model that comes with the package. */
export const embeddedModel = () => fileURLToPath(new URL('../models/fashion-mnist', import.meta.url));

/** Loads a model, with a bar once that takes longer than a moment. */
export async function loadModel(source: string | undefined, options: LoadOptions): Promise<AiM> {
  const start = performance.now();
  let bar: ReturnType<typeof progress> | undefined;
  try {
    return await AiM.fromPretrained(source ?? embeddedModel(), {
      ...options,
      onProgress({ loaded, total }) {
        if (!total) return;
        if (!bar && performance.now() - start > 700) bar = progress('loading', total, 'MB', 1e6);
        bar?.update(loaded);
      },
    });
  } finally {
    bar?.stop();
  }
}

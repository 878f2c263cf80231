/** The model that comes with the package, without its weights. */
import classes from '../../models/emoji/classes.json?text';
import config from '../../models/emoji/config.json?text';
import generation from '../../models/emoji/generation_config.json?text';
import type { CheckpointSource } from './source.js';

/** The embedded model with its weights at an address. */
export const embeddedModel = (weights: string): CheckpointSource => ({
  config,
  weights,
  classes: JSON.parse(classes) as string[],
  generationConfig: JSON.parse(generation) as object,
});

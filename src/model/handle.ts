/** How training, tokenizing and verifying receive a model: as the public AiM of `aim-js`, but without importing its class. */
import { OptionError } from '../core/errors.js';
import type { AimConfig } from './config.js';
import type { Model } from './model.js';

/** A loaded model: an AiM of `aim-js`. */
export interface ModelHandle {
  readonly config: AimConfig;
  /** Class names, if the checkpoint has a classes.json. */
  readonly classes: string[] | undefined;
  /** @internal */
  readonly model: Model;
}

/**
 * The model behind an AiM. Several bundles of the library contain their own copy of the class, so this checks a property instead
 * of the class. Throws OptionError for anything else, such as an AiM of `aim-js/worker`, whose model is in its worker.
 */
export function modelOf(handle: ModelHandle): Model {
  const model = (handle as Partial<ModelHandle> | null | undefined)?.model;
  if (!model || typeof model.attempt !== 'function')
    throw new OptionError("the model must be an AiM of 'aim-js', made by AiM.fromPretrained or AiM.fromConfig on this thread.");
  return model;
}

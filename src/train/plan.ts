/** Makes the plan of a run, the parts that do not depend on the device, from the trainer's options. */
import type { Codes } from '../data/codes.js';
import type { ImageSplits } from '../data/dataset.js';
import { modelOf } from '../model/handle.js';
import { type ClassRows, classRows } from './classes.js';
import type { Run } from './device_state.js';
import { frozenNames } from './frozen.js';
import { checkSettings, defaultLossScale, runOptions, stageOf, type TrainerOptions } from './options.js';
import { Order } from './order.js';
import { checkPerceptual, perceptualName } from './stage1.js';
import { modelTask } from './task.js';
import { tokenizerTask } from './tokenizer_task.js';

/** `rows`: which class of the model each class of the data is; undefined for the tokenizer, which knows no classes. */
export interface Plan extends Run {
  readonly rows: ClassRows | undefined;
}

/** Throws OptionError for unknown options, options out of range, what is no model, and data that does not fit the model. */
export function planOf({ model: handle, data, stage: wanted, perceptual, ...given }: TrainerOptions): Plan {
  // First of all, since a misspelt name would else be reported as a missing option.
  const settings = checkSettings(given);
  const model = modelOf(handle);
  checkPerceptual(perceptual);
  const stage = stageOf(data, wanted);
  const codes: Codes | undefined = data && 'codes' in data ? data : undefined;
  const { num_classes } = model.config;
  const names = codes?.classes;
  // More classes than the model has are refused by checkCodes.
  const rows = names && names.length <= num_classes ? classRows(names, model.classes, num_classes) : undefined;
  const task =
    stage === 'model'
      ? modelTask(model, codes, { labelDropout: settings.labelDropout, rows: rows?.rows })
      : tokenizerTask(model, data as ImageSplits | undefined, perceptual);
  const order = data && new Order({ length: task.length, batchSize: settings.batchSize, seed: settings.seed });
  const facts = {
    stage,
    stepsPerEpoch: order?.stepsPerEpoch ?? 0,
    evalLength: task.evalLength,
    lossScale: defaultLossScale(model.be.traits, stage),
    perceptual: perceptualName(perceptual),
    size: model.config.image_size,
  };
  const options = runOptions(settings, facts);
  const frozen = frozenNames(model, task.prefix, options);
  return { model, task, order, options, frozen, perceptual: facts.perceptual, rows };
}

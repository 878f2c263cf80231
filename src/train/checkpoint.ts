/** What a checkpoint of a trainer holds, and whether a run can be continued from one. */
import { CheckpointError, DeviceError, OptionError } from '../core/errors.js';
import type { Tensor } from '../core/tensor.js';
import type { Model } from '../model/model.js';
import type { TrainingOrigin } from '../model/origin.js';
import { toCheckpoint } from '../model/params.js';
import { extraTensors } from '../model/save.js';
import type { DeviceState, Run } from './device_state.js';
import type { CheckpointParts, NamedTensor, SavedCheckpoint } from './folder.js';
import type { DataIdentity } from './identity.js';
import type { Slot } from './optimizer.js';
import { BEFORE, CHANGEABLE, type RunOptions } from './options.js';
import { perceptualName } from './stage1.js';

/** The record of a run without a perceptual loss, which `state.json` leaves out. */
const NONE = perceptualName(undefined);

/** A run at one step, as `checkpointParts` sees it. */
export interface RunState {
  /** See Run. */
  readonly perceptual: string;
  readonly model: Model;
  readonly options: RunOptions;
  readonly classes: readonly string[] | undefined;
  readonly step: number;
  readonly data: DataIdentity | undefined;
  readonly device: DeviceState;
  /** Runs `read` and throws OptionError if the run is not at this step any more. */
  current<R>(read: () => Promise<R>): Promise<R>;
  /** The values of a tensor on the device: the present one, because a lost device takes the others with it. */
  values(of: (device: DeviceState) => Tensor): Promise<Float32Array>;
}

/** See Trainer.checkpoint. */
export function checkpointParts({
  perceptual,
  model,
  options,
  classes,
  step,
  data,
  device,
  current,
  values,
}: RunState): CheckpointParts {
  const { slots } = device.optimizer;
  const slot = (prefix: string, which: (s: Slot) => Tensor) => (s: Slot, i: number) => ({
    name: `${prefix}${s.name}`,
    shape: s.spec.shape,
    data: async () => toCheckpoint(s.spec, await values(({ optimizer }) => which(optimizer.slots[i]!))),
  });
  const lossScale = { name: 'loss_scale', shape: [2], data: () => values(({ optimizer }) => optimizer.lossScale!) };
  const beside = device.task.saved.map(
    ([name, { spec }], i): NamedTensor => ({
      name,
      shape: spec.shape,
      data: async () => toCheckpoint(spec, await values(({ task }) => task.saved[i]![1].tensor)),
    }),
  );
  const weights = [...model.named()].map(
    ([name, { spec }]): NamedTensor => ({
      name,
      shape: spec.shape,
      data: async () => toCheckpoint(spec, await current(() => model.read(name))),
    }),
  );
  return {
    config: model.config.json,
    classes,
    sampling: model.sampling,
    model: [...weights, ...extraTensors(model.config)],
    optimizer: [
      ...slots.map(slot('m.', (s) => s.m)),
      ...slots.map(slot('v.', (s) => s.v)),
      ...(options.lossScale ? [lossScale] : []),
      ...beside,
    ],
    // Whole, although the averages of frozen weights are these: it is read as weights.
    ema: options.emaDecay
      ? [...slots.map(slot('', (s) => s.ema!)), ...weights.filter(({ name }) => device.frozen.has(name))]
      : undefined,
    state: { step, options, ...(perceptual !== NONE && { perceptual }), ...(data && { data }) },
  };
}

/** Throws OptionError unless the run of a checkpoint can be continued with these options. */
export function checkRun(
  { path, state }: SavedCheckpoint,
  { options, perceptual }: Pick<Run, 'options' | 'perceptual'>,
  dataChanged: boolean,
): void {
  const was = state.options as RunOptions | undefined | null;
  if (typeof was !== 'object' || was === null)
    throw new CheckpointError(`${path}: its state.json has no options; it is not a checkpoint of this trainer.`);
  const same = (key: string, before: unknown, now: unknown) => {
    if (JSON.stringify(before) !== JSON.stringify(now))
      throw new OptionError(
        `the run was trained with ${key} ${JSON.stringify(before)}, now it is ${JSON.stringify(now)}; ` +
          'resume with the same options, or begin a new run from its weights.',
      );
  };
  for (const key of Object.keys(options) as (keyof RunOptions)[]) {
    // Changed data may have fewer held-out images.
    if (CHANGEABLE.includes(key) || (dataChanged && key === 'evalItems')) continue;
    same(key, was[key] ?? BEFORE[key], options[key]);
  }
  same('perceptual', state.perceptual ?? NONE, perceptual);
  if (options.steps < state.step)
    throw new OptionError(
      `the run is at step ${state.step} already, and ${options.steps} steps are asked for; ask for more steps.`,
    );
}

/** The error of a device that cannot be replaced, with the state from which the run can be continued. */
export function withNewestState(error: DeviceError, checkpoint: TrainingOrigin['checkpoint']): DeviceError {
  const newest = checkpoint
    ? `The newest state known is of step ${checkpoint.state.step}: ${checkpoint.path}.`
    : 'No checkpoint of this run is known.';
  return new DeviceError(`${error.message} ${newest}`, { cause: error });
}

/**
 * The folder of a run: checkpoints step-00001234, each a folder in the authors' format with the state of training beside, and
 * a file `latest` that names the newest. A checkpoint is written under another name, flushed to disk and then renamed, and
 * `latest` is replaced after that, so a crash at any byte leaves the newest complete one readable. A file `best` may name another.
 */

import { CheckpointError, IoError, OptionError } from '../core/errors.js';
import { jsonFile, parseJson } from '../core/json.js';
import { checkOptions } from '../core/options.js';
import { diskFolder, type Folder, type FolderSource, openFolderSource, readFile } from '../data/folder.js';
import { BEST, LATEST, latestOf, runSteps, STEP, stepsToTry } from '../io/run_folder.js';
import { parseHeader, readFloats, type TensorData } from '../io/safetensors.js';
import { generationConfigFiles } from '../model/generation_config.js';
import type { ModelSampling } from '../model/sampler.js';
import { modelFile } from '../model/save.js';
import { exists, isDirectory, makeFolder, removeFolder, syncFolder, writeAtomic } from '../platform/files.js';
import { writeFolderAtomic } from '../platform/folders.js';
import { checkContent, checkSavedValues, soundTensors } from './content.js';
import { withRunLock } from './lock.js';
import { KEEP, type KeepOptions } from './options.js';
import type { NamedTensor, SavedCheckpoint, TrainState } from './saved.js';

export type { NamedTensor, SavedCheckpoint, TrainState } from './saved.js';

export interface CheckpointParts {
  /** config.json */
  config: object;
  /** classes.json */
  classes?: readonly string[] | undefined;
  /** Sampling settings that the model recommends: generation_config.json */
  sampling?: ModelSampling;
  model: Iterable<NamedTensor>;
  optimizer: Iterable<NamedTensor>;
  /** Averaged weights, by the names of `model`. */
  ema?: Iterable<NamedTensor> | undefined;
  state: TrainState;
}

const STATE = 'state.json';

/**
 * The files of one checkpoint, in the order in which they are to be written; nothing here needs a file system. Reading the files of
 * tensors throws TrainingError when a value is not finite, so that a state that training has ruined is never stored.
 */
export function checkpointFiles(parts: CheckpointParts): { name: string; data: Uint8Array | AsyncIterable<Uint8Array> }[] {
  const { config, classes, sampling = {}, state } = parts;
  if (!Number.isSafeInteger(state.step) || state.step < 0)
    throw new OptionError(`the step of a checkpoint is ${state.step}; it must be a whole number from 0.`);
  const tensors = (list: Iterable<NamedTensor>): AsyncIterable<Uint8Array> => {
    const lr = (state.options as { lr?: unknown } | undefined)?.lr;
    const all = soundTensors(list, state.step, lr).map((t): TensorData => ({ ...t, dtype: 'F32' }));
    return modelFile(all);
  };
  return [
    { name: 'config.json', data: jsonFile(config) },
    ...(classes ? [{ name: 'classes.json', data: jsonFile(classes) }] : []),
    ...generationConfigFiles(sampling),
    { name: 'model.safetensors', data: tensors(parts.model) },
    ...(parts.ema ? [{ name: 'ema.safetensors', data: tensors(parts.ema) }] : []),
    { name: 'optimizer.safetensors', data: tensors(parts.optimizer) },
    { name: STATE, data: jsonFile(state) },
  ];
}

/**
 * Writes a checkpoint into the run folder, which is created if it does not exist, and returns the checkpoint's path. Of the
 * checkpoints of this and earlier steps, the `keep` newest stay, and the one that was last saved as the `best`. Checkpoints of later
 * steps, which a run has that was continued from an earlier step, stay until training has passed them. When the save fails or is
 * aborted, nothing of it remains and `latest` still names the checkpoint before. Throws IoError with the remedy; OptionError when
 * another process uses the folder, or when training went on before everything was read; TrainingError when a weight or the optimizer's
 * state is not finite.
 */
export async function saveCheckpoint(run: string, parts: CheckpointParts, options: KeepOptions = {}): Promise<string> {
  const { keep, best, signal } = checkOptions<KeepOptions, typeof KEEP>('saveCheckpoint', options, KEEP);
  const files = checkpointFiles(parts);
  await makeFolder(run);
  return withRunLock(run, async () => {
    const before = await runSteps(run);
    const base = `step-${String(parts.state.step).padStart(8, '0')}`;
    const again = before.filter((s) => s.step === parts.state.step).map((s) => s.version);
    const name = again.length ? `${base}-${Math.max(...again) + 1}` : base;
    await writeFolderAtomic(`${run}/${name}`, files, { signal });
    await writeAtomic(`${run}/${LATEST}`, new TextEncoder().encode(`${name}\n`));
    if (best) await writeAtomic(`${run}/${BEST}`, new TextEncoder().encode(`${name}\n`));
    await syncFolder(run);
    const older = before.filter((s) => s.step <= parts.state.step);
    const staysAsBest = await latestOf(run, BEST);
    for (const old of older.slice(keep - 1)) if (old.name !== staysAsBest) await removeFolder(`${run}/${old.name}`);
    return `${run}/${name}`;
  });
}

/** A checkpoint in memory instead of in a folder: reads every tensor now. */
export async function heldCheckpoint({ config, classes, state, ...parts }: CheckpointParts): Promise<SavedCheckpoint> {
  const read = async (list: Iterable<NamedTensor>) => {
    const held = [];
    for (const { name, shape, data } of list) held.push({ name, shape, data: typeof data === 'function' ? await data() : data });
    return held;
  };
  const held = {
    model: await read(parts.model),
    optimizer: await read(parts.optimizer),
    ema: await read(parts.ema ?? []),
  };
  return {
    path: 'the state kept in memory',
    config,
    classes: classes && [...classes],
    state,
    hasEma: Boolean(parts.ema),
    async *tensors(part) {
      yield* held[part];
    },
  };
}

/**
 * The checkpoint to resume from. Of a run folder it is the one that `latest` names or, if that is damaged, the newest sound one
 * before it; for this every tensor of the candidates is read. The path or the File objects of a single checkpoint give that one, of
 * which only the small files and the headers are read. Throws IoError when there is none, CheckpointError when all are damaged.
 */
export async function openCheckpointFolder(source: FolderSource): Promise<SavedCheckpoint> {
  if (typeof source !== 'string') return open(await openFolderSource(source));
  const path = source;
  if (!(await isDirectory(path))) throw new IoError(`there is no folder ${path}; pass the folder of a run or a checkpoint.`);
  if (await exists(`${path}/${STATE}`)) return open(diskFolder(path));
  const names = await stepsToTry(path, await latestOf(path));
  if (names.length === 0)
    throw new IoError(`${path} has no checkpoint to resume from (no ${STATE}, no step-… folder); pass the folder of a run.`);
  const reasons: string[] = [];
  for (const name of names) {
    try {
      const saved = await open(diskFolder(`${path}/${name}`));
      await checkContent(saved);
      return saved;
    } catch (error) {
      if (!(error instanceof CheckpointError || error instanceof IoError)) throw error;
      reasons.push(error.message);
    }
  }
  throw new CheckpointError(`every checkpoint of ${path} is damaged: ${reasons.join(' ')} Begin a new run.`);
}

/** Reads the small files, and the headers of the others, by which a file that was cut is noticed. */
async function open(folder: Folder): Promise<SavedCheckpoint> {
  const path = folder.name;
  const names = (await folder.list()).map((e) => e.name);
  const state = (await parse(folder, STATE)) as TrainState;
  if (!Number.isSafeInteger(state?.step) || state.step < 0)
    throw new CheckpointError(`${path}/${STATE} has no step; take another checkpoint.`);
  const named = STEP.exec(path.split(/[/\\]/).at(-1)!)?.[1];
  if (named !== undefined && Number(named) !== state.step)
    throw new CheckpointError(
      `${path}/${STATE} gives step ${state.step}, which is not that of its folder's name; take another checkpoint.`,
    );
  const config = await parse(folder, 'config.json');
  if (typeof config !== 'object' || config === null || Array.isArray(config))
    throw new CheckpointError(`${path}/config.json is not a JSON object; take another checkpoint.`);
  const classes = names.includes('classes.json') ? await parse(folder, 'classes.json') : undefined;
  if (classes !== undefined && !(Array.isArray(classes) && classes.every((name) => typeof name === 'string')))
    throw new CheckpointError(`${path}/classes.json is not a list of names; take another checkpoint.`);
  const hasEma = names.includes('ema.safetensors');
  for (const part of ['model', 'optimizer', ...(hasEma ? ['ema'] : [])]) {
    const file = await folder.open(`${part}.safetensors`);
    await parseHeader(file).finally(() => file.close());
  }
  return {
    path,
    config,
    classes,
    state,
    hasEma,
    async *tensors(part) {
      const file = await folder.open(`${part}.safetensors`);
      try {
        const header = await parseHeader(file);
        for (const [name, { shape }] of header.tensors) {
          const data = await readFloats(file, header, name);
          checkSavedValues(path, part, name, data);
          yield { name, shape, data };
        }
      } finally {
        await file.close();
      }
    },
  };
}

async function parse(folder: Folder, name: string): Promise<unknown> {
  const text = new TextDecoder().decode(await readFile(folder, name));
  try {
    return parseJson(text);
  } catch (error) {
    throw new CheckpointError(
      `${folder.name}/${name} is not valid JSON (${(error as Error).message}); take another checkpoint.`,
      {
        cause: error,
      },
    );
  }
}

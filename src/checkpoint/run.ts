/** Which checkpoint of a run is read, where the folder of a run is given as a checkpoint. */
import { CheckpointError, IoError } from '../core/errors.js';
import { parseJson } from '../core/json.js';
import { type RemoteOptions, warn } from '../io/bytes.js';
import { openFile } from '../io/file_source.js';
import { BEST, LATEST, latestOf, STEP, stepsToTry } from '../io/run_folder.js';
import { parseHeader } from '../io/safetensors.js';
import { exists, join, readText } from '../platform/files.js';
import { CONFIG, WEIGHTS } from './folder.js';

/**
 * The path of the checkpoint that `best` names, where the run keeps that, else of the one that `latest` names or, if that is damaged,
 * of the newest sound one before it, with a warning; undefined if the folder is no run. A file that is missing, cut or no longer readable counts as damage. Throws CheckpointError if `latest`
 * names no checkpoint, or if all are damaged.
 */
export async function stepToUse(run: string, options: RemoteOptions): Promise<string | undefined> {
  const latest = await latestOf(run);
  if (latest !== undefined && !STEP.test(latest))
    throw new CheckpointError(
      `${await join(run, LATEST)} says ${JSON.stringify(latest.slice(0, 80))} instead of the name of a checkpoint (step-…); pass one ` +
        `of the step-… folders in ${run}.`,
    );
  const best = await latestOf(run, BEST);
  const newest = await stepsToTry(run, latest);
  const names = best !== undefined && newest.includes(best) ? [best, ...newest.filter((name) => name !== best)] : newest;
  if (names.length === 0 && latest === undefined) return undefined;
  const reasons = latest === undefined || names.includes(latest) ? [] : [`${await join(run, latest)} does not exist`];
  for (const name of names) {
    const step = await join(run, name);
    const reason = await damage(step);
    if (reason === undefined) {
      if (reasons.length)
        warn(
          options,
          `${step} is read instead of the ${best === undefined ? 'newest' : 'best'} checkpoint of the run: ${reasons.join('; ')}`,
        );
      return step;
    }
    reasons.push(reason);
  }
  throw new CheckpointError(`${run} has no checkpoint that can be read: ${reasons.join('; ')}. Pass another run or checkpoint.`);
}

/** What is wrong with a checkpoint, as far as its config and the header of its weights show; undefined if nothing is. */
async function damage(step: string): Promise<string | undefined> {
  try {
    const config = await join(step, CONFIG);
    if (!(await exists(config))) return `there is no file ${config}`;
    try {
      parseJson(await readText(config));
    } catch (error) {
      if (error instanceof SyntaxError) return `${config} is not valid JSON`;
      throw error;
    }
    const weights = await openFile(await join(step, WEIGHTS));
    await parseHeader(weights).finally(() => weights.close());
    return undefined;
  } catch (error) {
    if (error instanceof CheckpointError || error instanceof IoError) return error.message;
    throw error;
  }
}

/** Which checkpoint of a run is the best by evaluation, and how long ago it was. */
import { BEST, latestOf, STEP } from '../../io/run_folder.js';
import { removeFolder, writeAtomic } from '../../platform/files.js';
import type { Metric } from '../../train/metrics.js';

export class Best {
  /** The best value so far, the lowest, and its step. */
  private found: { step: number; value: number } | undefined;
  /** Evaluations since. */
  since = 0;

  /** @param key Name of the compared value in metrics.jsonl. */
  constructor(
    readonly key: string,
    history: readonly Metric[] = [],
  ) {
    for (const metric of history) this.add(metric);
  }

  get step(): number | undefined {
    return this.found?.step;
  }
  get value(): number | undefined {
    return this.found?.value;
  }

  /** Takes note of a step. True if it has the best evaluation so far. */
  add({ step, [this.key]: value }: Metric): boolean {
    // A value that is not finite is null in the file.
    if (typeof value !== 'number' || !Number.isFinite(value)) return false;
    if (this.found && value >= this.found.value) {
      this.since++;
      return false;
    }
    this.found = { step, value };
    this.since = 0;
    return true;
  }
}

/**
 * The best of a run folder's evaluations up to step `at`, of which the checkpoint is still there: that which the file `best` names. A
 * file that names a later step, in a run that is continued from an earlier one, is removed.
 */
export async function keptBest(out: string, key: string, history: readonly Metric[], at: number): Promise<Best> {
  const name = await latestOf(out, BEST);
  const step = name === undefined ? undefined : Number(STEP.exec(name)?.[1]);
  if (step !== undefined && step <= at) {
    const best = new Best(
      key,
      history.filter((metric) => metric.step >= step),
    );
    const newest = await latestOf(out);
    // The process may have ended between a checkpoint and the note that it is the best.
    if (best.step === at && step !== at && Number(STEP.exec(newest ?? '')?.[1]) === at)
      await writeAtomic(`${out}/${BEST}`, new TextEncoder().encode(`${newest}\n`));
    return best;
  }
  if (name !== undefined) await removeFolder(`${out}/${BEST}`);
  return new Best(key);
}

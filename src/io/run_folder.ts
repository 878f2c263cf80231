/** The folder of a run of training, as all that read it see it: its checkpoints, and in which order to try them. */
import { exists, join, listFolder, readText } from '../platform/files.js';

/** Names the newest checkpoint. */
export const LATEST = 'latest';
/** Names the checkpoint with the best evaluation, in runs that keep it. */
export const BEST = 'best';
/** `-2` and so on: the same step again, in a run that was continued from an earlier step. */
export const STEP = /^step-(\d{8,})(?:-(\d+))?$/;

/** The checkpoints of a run, newest first. */
export async function runSteps(run: string): Promise<{ name: string; step: number; version: number }[]> {
  const found = [];
  for (const name of await listFolder(run)) {
    const match = STEP.exec(name);
    if (match) found.push({ name, step: Number(match[1]), version: Number(match[2] ?? 1) });
  }
  return found.sort((a, b) => b.step - a.step || b.version - a.version);
}

/** What the file `latest` (or `best`) of a run says; undefined if there is none. */
export async function latestOf(run: string, name: typeof LATEST | typeof BEST = LATEST): Promise<string | undefined> {
  const file = await join(run, name);
  return (await exists(file)) ? (await readText(file, { most: 1000 })).trim() : undefined;
}

/**
 * The names of a run's checkpoints in the order in which to try them, as the first may be damaged: what `latest` names, those before
 * it, newest first, and then those after it. Without a name of one in `latest`, newest first.
 */
export async function stepsToTry(run: string, latest: string | undefined): Promise<string[]> {
  const names = (await runSteps(run)).map(({ name }) => name);
  const at = Math.max(0, names.indexOf(latest ?? ''));
  return [...names.slice(at), ...names.slice(0, at)];
}

/**
 * Which process writes into the folder of a run. Two writers would delete each other's files, so a run folder has a lock file while
 * a process trains into it or saves a checkpoint there. A lock whose process has ended is taken over.
 */
import { takeLock } from '../cache/lock_file.js';
import { OptionError } from '../core/errors.js';
import { modules, readText, removeDeadTemporaries } from '../platform/files.js';

/** Begins with a dot, so that a run beside folders of images does not look different. */
const LOCK = '.lock';

/** Folders that this process has locked, by their resolved path. */
const held = new Set<string>();
/** The newest work in each folder of this process that must not overlap with other work there. */
const queues = new Map<string, Promise<unknown>>();

/**
 * Reserves an existing run folder for this process and removes temporary files of processes that have ended. Returns a function
 * that releases the folder. Throws OptionError if another process, or another call in this process, uses the folder, and IoError
 * if nothing can be written there.
 */
export async function lockRun(run: string): Promise<() => Promise<void>> {
  const key = await resolved(run);
  if (held.has(key))
    throw new OptionError(`${run} is in use: this process trains into it already; wait for that run, or choose another folder.`);
  held.add(key);
  try {
    const release = await takeLock(`${run}/${LOCK}`, { untilOwnerEnds: true });
    if (!release)
      throw new OptionError(
        `${run} is in use by ${await ownerOf(run)}; wait until that has ended, or choose another folder for this run.`,
      );
    await removeDeadTemporaries(run);
    return async () => {
      held.delete(key);
      await release();
    };
  } catch (error) {
    held.delete(key);
    throw error;
  }
}

/**
 * Runs `work` while this process has the run folder for itself: under the lock that `lockRun` has taken, else under one for the
 * duration of `work`. Calls of one process for the same folder run one after the other.
 */
export async function withRunLock<T>(run: string, work: () => Promise<T>): Promise<T> {
  const key = await resolved(run);
  const locked = async () => {
    const release = held.has(key) ? undefined : await lockRun(run);
    try {
      return await work();
    } finally {
      await release?.();
    }
  };
  const before = queues.get(key) ?? Promise.resolve();
  const result = before.then(locked, locked);
  queues.set(key, result);
  const forget = () => {
    if (queues.get(key) === result) queues.delete(key);
  };
  result.then(forget, forget);
  return result;
}

async function ownerOf(run: string): Promise<string> {
  try {
    const { pid, host } = JSON.parse(await readText(`${run}/${LOCK}`));
    return `process ${Number(pid)}${typeof host === 'string' && host ? ` on ${host}` : ''}`;
  } catch {
    return 'another process';
  }
}

/** One path for all ways to write it, so that a link and its target are the same run. */
async function resolved(run: string): Promise<string> {
  const fs = await modules(run);
  return fs.realpath(run).catch(() => run);
}

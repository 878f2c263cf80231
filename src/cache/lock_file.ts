/**
 * Locks between processes, as files. A lock file holds the process id and start time of its owner, who sets the file's date
 * every RENEW ms. A lock is stale, and may be taken over, if its owner is a process of this machine that has ended, or if its
 * date is more than STALE ms away from now: before, because nobody sets it any more, or after, because the clock was set back
 * since then (a living owner corrects the date at once).
 */
import * as files from '../platform/files.js';
import { importOptional } from '../platform/runtime.js';

const RENEW = 3_000;
const STALE = 15_000;
/** How long a process that took over a stale lock waits to see whether another one did so at the same moment, ms. */
const SETTLE = 50;

interface Owner {
  pid: number;
  /** Name of the machine; process ids of another one mean nothing here. */
  host: string;
  /** When the process started, as the system counts it: distinguishes it from a later process with the same id. */
  started: string;
  /** Distinguishes two locks of one process. */
  token: string;
}

/**
 * Takes the lock `path`; undefined if it is taken. The result releases it. Throws IoError if the file cannot be written.
 *
 * @param untilOwnerEnds a lock whose owner is a running process of this machine stays valid however old its date is, for owners
 *   that compute for longer than STALE without a pause.
 */
export async function takeLock(
  path: string,
  { untilOwnerEnds = false }: { untilOwnerEnds?: boolean } = {},
): Promise<(() => Promise<void>) | undefined> {
  const fs = await importOptional<typeof import('node:fs/promises')>('node:fs/promises');
  const takesOver = await removeStale(path, untilOwnerEnds);
  if (takesOver === undefined) return undefined;
  const { pid } = globalThis.process;
  const owner: Owner = { pid, host: await hostName(), started: await startTime(pid), token: Math.random().toString(36).slice(2) };
  const text = JSON.stringify(owner);
  // Complete at once: an empty lock, left by a process that is killed here, would be valid for STALE ms.
  if (!(await files.createFile(path, text))) return undefined;
  const isOurs = async () => (await fs.readFile(path, 'utf8').catch(() => '')) === text;
  if (takesOver) {
    // Two processes can find the same stale lock, and the second then removes the new lock of the first.
    await new Promise((resolve) => setTimeout(resolve, SETTLE));
    if (!(await isOurs())) return undefined;
  }
  const timer = setInterval(() => {
    const now = new Date();
    fs.utimes(path, now, now).catch(() => {});
  }, RENEW);
  timer.unref?.();
  return async () => {
    clearInterval(timer);
    if (await isOurs()) await fs.rm(path, { force: true }).catch(() => {});
  };
}

/** True if a stale lock was removed, false if there was no lock, undefined if it is in use. */
async function removeStale(path: string, untilOwnerEnds: boolean): Promise<boolean | undefined> {
  const fs = await importOptional<typeof import('node:fs/promises')>('node:fs/promises');
  try {
    const info = await fs.stat(path);
    const isFresh = Math.abs(Date.now() - info.mtimeMs) < STALE;
    // Reading a named pipe would wait for a writer.
    const state = await ownerState(info.isFile() ? await fs.readFile(path, 'utf8') : '');
    if (state !== 'ended' && (isFresh || (untilOwnerEnds && state === 'running'))) return undefined;
    await (info.isDirectory() ? fs.rmdir(path) : fs.rm(path, { force: true }));
    return true;
  } catch {
    // There is no lock, or its owner has just released it.
    return false;
  }
}

/** Whether the owner of a lock still runs; 'unknown' for processes of other machines and for text that is no owner. */
async function ownerState(text: string): Promise<'running' | 'ended' | 'unknown'> {
  let owner: Partial<Owner> | null;
  try {
    owner = JSON.parse(text);
  } catch {
    // A version that wrote the owner after creating the file was killed in between.
    return 'unknown';
  }
  if (!owner || !Number.isSafeInteger(owner.pid) || !owner.host || owner.host !== (await hostName())) return 'unknown';
  if (!files.isRunning(owner.pid!)) return 'ended';
  const started = await startTime(owner.pid!);
  return started && owner.started && started !== owner.started ? 'ended' : 'running';
}

/** Empty where it may not be asked for (Deno). */
async function hostName(): Promise<string> {
  try {
    return (await importOptional<typeof import('node:os')>('node:os')).hostname();
  } catch {
    return '';
  }
}

/** Start of a process in clock ticks since the system started; empty where the system has no /proc. */
async function startTime(pid: number): Promise<string> {
  try {
    const fs = await importOptional<typeof import('node:fs/promises')>('node:fs/promises');
    const stat = await fs.readFile(`/proc/${pid}/stat`, 'utf8');
    // The second field, the name in parentheses, may hold blanks; the start time is the 22nd.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

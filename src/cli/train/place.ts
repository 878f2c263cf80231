/** run.json in the folder of a run: what the command was given beside the trainer's options, for --resume without repeating it. */
import { resolve } from 'node:path';
import { OptionError } from '../../core/errors.js';
import { exists, readText, writeAtomic } from '../../platform/files.js';
import { json } from '../../train/folder.js';
import type { Parsed } from '../command.js';

const FILE = 'run.json';
/** Flags of the data and the device that decide what a step computes. */
const LASTING = ['holdout', 'flip', 'background', 'precision'] as const;

/** What a command line says, with what the run that it resumes was given. */
export interface Given extends Parsed {
  data: string | undefined;
}

export async function writePlace(out: string, data: string, flags: Parsed['flags']): Promise<void> {
  const kept = Object.fromEntries(
    [...LASTING, 'keep'].flatMap((name) => (flags[name] === undefined ? [] : [[name, flags[name]]])),
  );
  await writeAtomic(`${out}/${FILE}`, json({ data: resolve(data), flags: kept }));
}

/** Throws OptionError for a flag that differs from the run's and may not. */
export async function readPlace(out: string, given: Parsed): Promise<Given> {
  const [data] = given.args;
  // Runs of earlier versions have none.
  if (!(await exists(`${out}/${FILE}`))) return { ...given, data };
  let saved: { data?: unknown; flags?: Record<string, string | boolean> };
  try {
    saved = JSON.parse(await readText(`${out}/${FILE}`));
  } catch (error) {
    if (error instanceof SyntaxError)
      throw new OptionError(`${out}/${FILE} is not valid JSON (${error.message}); correct it or remove it.`, { cause: error });
    throw error;
  }
  const flags = { ...given.flags };
  for (const name of LASTING) {
    const [was, now] = [saved.flags?.[name], flags[name]];
    if (now !== undefined && now !== was)
      throw new OptionError(
        `the run was trained ${was === undefined ? `without --${name}` : `with --${name} ${was}`}; leave --${name} out, or begin a ` +
          'new run from its weights (--init).',
      );
    flags[name] = was;
  }
  flags.keep ??= saved.flags?.keep;
  return { flags, args: given.args, data: data ?? (typeof saved.data === 'string' ? saved.data : undefined) };
}

/** run.json in the folder of a run: flags and data that are no options of the trainer, so that --resume needs none of them again. */
import { resolve } from 'node:path';
import { OptionError } from '../../core/errors.js';
import { jsonFile } from '../../core/json.js';
import { exists, readText, writeAtomic } from '../../platform/files.js';
import type { Parsed } from '../command.js';

const FILE = 'run.json';
/** Flags of the data and the device on which the results of a step depend. */
const LASTING = ['holdout', 'flip', 'jitter', 'background', 'labels', 'augment', 'precision', 'perceptual'] as const;

/** Flags that stay when a run is resumed without them, and may be given again. */
const KEPT = ['keep', 'best', 'patience', 'tensorboard', 'lpips'] as const;

/** Flags that say where a new run has its first weights from. A run that is resumed has its weights from its checkpoint. */
const START = ['init', 'tokenizer'] as const;

/** A command line, completed with the flags and the data of the run that it resumes. */
export interface Given extends Parsed {
  data: string | undefined;
}

export async function writePlace(out: string, data: string, flags: Parsed['flags']): Promise<void> {
  const { labels, lpips } = flags;
  // Paths that hold in another folder too.
  const placed: Parsed['flags'] = {
    ...flags,
    ...(typeof labels === 'string' && { labels: resolve(labels) }),
    ...(typeof lpips === 'string' && {
      lpips: lpips
        .split(',')
        .map((file) => resolve(file))
        .join(),
    }),
  };
  const given = (names: readonly string[]) =>
    Object.fromEntries(names.flatMap((name) => (placed[name] === undefined ? [] : [[name, placed[name]]])));
  const start = given(START);
  await writeAtomic(`${out}/${FILE}`, jsonFile({ data: resolve(data), flags: given([...LASTING, ...KEPT]), start }));
}

/** Throws OptionError for a flag that differs from that of the run and must not. */
export async function readPlace(out: string, given: Parsed): Promise<Given> {
  const [data] = given.args;
  // Runs of earlier versions have no such file.
  if (!(await exists(`${out}/${FILE}`))) return { ...given, data };
  let saved: { data?: unknown; flags?: Record<string, string | boolean>; start?: Record<string, string> } | null;
  try {
    saved = JSON.parse(await readText(`${out}/${FILE}`));
  } catch (error) {
    if (error instanceof SyntaxError)
      throw new OptionError(`${out}/${FILE} is not valid JSON (${error.message}); correct it or remove it.`, { cause: error });
    throw error;
  }
  if (typeof saved !== 'object' || saved === null || Array.isArray(saved))
    throw new OptionError(`${out}/${FILE} is not a JSON object; correct it or remove it.`);
  const flags = { ...given.flags };
  for (const name of START) {
    const [was, now] = [saved.start?.[name], flags[name] as string | undefined];
    // Runs of earlier versions did not record it.
    const differs = saved.start !== undefined && now !== undefined && (was === undefined || !samePlace(was, now));
    if (differs)
      throw new OptionError(
        `the run was begun ${was === undefined ? `without --${name}` : `with --${name} ${was}`} and is continued from its own weights; ` +
          `leave --${name} out, or begin a new run.`,
      );
    flags[name] = was ?? now;
  }
  for (const name of LASTING) {
    const [was, now] = [saved.flags?.[name], flags[name]];
    const same = name === 'labels' && typeof now === 'string' && typeof was === 'string' ? samePlace(was, now) : was === now;
    if (now !== undefined && !same)
      throw new OptionError(
        `the run was trained ${was === undefined ? `without --${name}` : `with --${name} ${was}`}; leave --${name} out, or begin a ` +
          'new run from its weights (--init).',
      );
    flags[name] = was;
  }
  for (const name of KEPT) flags[name] ??= saved.flags?.[name];
  return { flags, args: given.args, data: data ?? (typeof saved.data === 'string' ? saved.data : undefined) };
}

/** Both name one folder or file, or one repository. */
const samePlace = (a: string, b: string) => a === b || resolve(a) === resolve(b);

/** Defines commands, reads their arguments and writes their help. Errors in arguments are OptionErrors that name the flag. */
import { parseArgs } from 'node:util';
import { OptionError } from '../core/errors.js';
import { checkOption, nearest, type OptionSpec } from '../core/options.js';

export interface Flag {
  type: 'string' | 'boolean';
  /** Placeholder in the help text. */
  value?: string;
  help: string;
  /** May be given several times. */
  multiple?: boolean;
  /** The letter of the short form. */
  short?: string;
  /** Type and range of the value, checked before the command runs. */
  spec?: OptionSpec;
}
export type Flags = Record<string, Flag>;

export interface Parsed {
  flags: Record<string, string | boolean | string[] | undefined>;
  args: string[];
}

/** One entry of the table in commands.ts. */
export interface Command {
  /** The words that call it: 'generate', 'train model'. */
  readonly name: string;
  /** Its arguments in the usage line, e.g. '[MODEL]'. */
  readonly usage: string;
  /** A phrase for the overview. */
  readonly summary: string;
  /** The text below the usage line. */
  readonly about: string;
  /** Most words besides flags; default 1. */
  readonly maxArgs?: number;
  readonly flags: Flags;
  /** Returns the exit status: 0 done, 1 a check failed. */
  run(given: Parsed, signal: AbortSignal): Promise<number>;
}

/** Every command has it. */
const HELP: Flag = { type: 'boolean', short: 'h', help: 'this text' };

/** A flag from an option's description: range, default and help text come from there. */
export function flag(spec: OptionSpec, { value, help, short }: Partial<Pick<Flag, 'value' | 'help' | 'short'>> = {}): Flag {
  if (spec.type === 'boolean') return { type: 'boolean', help: help ?? spec.about, ...(short && { short }) };
  const shown = spec.type === 'choice' ? spec.choices.join('|') : 'N';
  const standard = spec.default === undefined ? '' : ` (default ${spec.default})`;
  const multiple = spec.type === 'strings';
  return {
    type: 'string',
    value: value ?? shown,
    help: help ?? `${spec.about}${standard}`,
    spec,
    multiple,
    ...(short && { short }),
  };
}

/** Parses arguments. Returns undefined if --help is given. Throws OptionError for unknown flags, missing and wrong values. */
export function parse(
  { name, maxArgs = 1, flags: own }: Pick<Command, 'name' | 'maxArgs' | 'flags'>,
  argv: string[],
): Parsed | undefined {
  const flags: Flags = { ...own, help: HELP };
  const options = Object.fromEntries(
    Object.entries(flags).map(([key, f]) => [
      key,
      { type: f.type, multiple: f.multiple ?? false, ...(f.short && { short: f.short }) },
    ]),
  );
  const refuse = (what: string, cause?: unknown) => new OptionError(`${name}: ${what}; see \`aim ${name} --help\`.`, { cause });
  let parsed: Parsed;
  try {
    const { values, positionals } = parseArgs({ args: negativeNumbers(argv, flags), options, allowPositionals: true });
    parsed = { flags: values as Parsed['flags'], args: positionals };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const about = /'(-[^']*?)(?: <value>)?'/.exec(message)?.[1]?.split(', ').at(-1);
    if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
      const near = nearest(about?.replace(/^-+/, '') ?? '', Object.keys(flags));
      throw refuse(`there is no option ${about}${near ? ` (did you mean --${near}?)` : ''}`, error);
    }
    if (code === 'ERR_PARSE_ARGS_INVALID_OPTION_VALUE' && about) {
      const takes = flags[about.replace(/^-+/, '')]?.type !== 'boolean';
      throw refuse(takes ? `${about} needs a value` : `${about} takes no value`, error);
    }
    throw refuse(message.split('. To specify')[0]!, error);
  }
  if (parsed.flags.help) return undefined;
  if (parsed.args.length > maxArgs) throw refuse(`unexpected ${JSON.stringify(parsed.args[maxArgs])}`);
  for (const [key, { spec }] of Object.entries(flags)) {
    if (!spec || parsed.flags[key] === undefined) continue;
    if (spec.type === 'choice') choice(parsed.flags, key, spec.choices);
    if (spec.type === 'integer' || spec.type === 'number') checkOption(`--${key}`, number(parsed.flags, key), spec);
  }
  return parsed;
}

/** `--seed -1` as `--seed=-1`, which parseArgs would take for another flag. */
function negativeNumbers(argv: readonly string[], flags: Flags): string[] {
  const out: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const [word, next] = [argv[i]!, argv[i + 1]];
    const key = Object.keys(flags).find((k) => word === `--${k}` || (flags[k]!.short && word === `-${flags[k]!.short}`));
    if (key && flags[key]!.type === 'string' && next !== undefined && /^-\.?\d/.test(next)) {
      out.push(`--${key}=${next}`);
      i++;
    } else out.push(word);
  }
  return out;
}

/** The help text of a command. */
export function helpOf({ name, usage, about, flags }: Command): string {
  const rows = Object.entries<Flag>({ ...flags, help: HELP }).map(
    ([key, f]) => [`${f.short ? `-${f.short}, ` : '    '}--${key}${f.value ? ` ${f.value}` : ''}`, f.help] as const,
  );
  // Flags too long for the column have their help on the next line.
  const width = Math.max(...rows.map(([left]) => (left.length <= 40 ? left.length : 0)));
  const text = rows.map(([left, help]) =>
    left.length <= 40 ? `  ${left.padEnd(width)}  ${help}` : `  ${left}\n  ${' '.repeat(width)}  ${help}`,
  );
  return `usage: aim ${[name, usage].filter(Boolean).join(' ')} [options]\n\n${about}\n\n${text.join('\n')}\n`;
}

/** A number flag, or undefined when it is not given. Ranges are checked by `parse`. */
export function number(flags: Parsed['flags'], name: string): number | undefined {
  const text = flags[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (typeof text !== 'string' || text.trim() === '' || !Number.isFinite(value))
    throw new OptionError(`--${name} is ${JSON.stringify(text)}; it must be a number.`);
  return value;
}

export function choice<T extends string>(flags: Parsed['flags'], name: string, allowed: readonly T[]): T | undefined {
  const text = flags[name];
  if (text === undefined) return undefined;
  if (!allowed.includes(text as T))
    throw new OptionError(`--${name} is ${JSON.stringify(text)}; it must be one of ${allowed.join(', ')}.`);
  return text as T;
}

/** The text of a flag, or undefined when it is not given. */
export const string = (flags: Parsed['flags'], name: string) => flags[name] as string | undefined;

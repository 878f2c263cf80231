/** Command-line values → typed options. Everything wrong is an OptionError that names the flag. */
import { parseArgs } from 'node:util';
import type { LoadOptions } from '../aim.js';
import { ReferenceBackend } from '../backend/reference.js';
import { OptionError } from '../core/errors.js';

export interface Flag {
  type: 'string' | 'boolean';
  /** Placeholder in the help text. */
  value?: string;
  help: string;
  /** May be given several times. */
  multiple?: boolean;
}
export type Flags = Record<string, Flag>;
export type Parsed = { flags: Record<string, string | boolean | string[] | undefined>; args: string[] };

export const COMMON: Flags = {
  device: { type: 'string', value: 'auto|webgpu|wasm', help: 'where to compute (default auto: a real GPU, else wasm)' },
  threads: { type: 'string', value: 'N', help: 'threads for wasm (default: one for each processor, at most 8)' },
  dawn: {
    type: 'string',
    value: 'FLAG',
    multiple: true,
    help: 'a Dawn instance flag such as enable-dawn-features=…; may be repeated (default: those in AIM_DAWN)',
  },
  revision: { type: 'string', value: 'REV', help: 'branch, tag or commit of a MODEL that is a repository id (default main)' },
  help: { type: 'boolean', help: 'this text' },
};

/** How a model that is loaded computes. */
export const NUMERICS = {
  dtype: {
    type: 'string',
    value: 'auto|f32|f16',
    help: 'weights on a GPU; f16 rounds them to float16 (default auto: float16 where the file has it, which loses nothing)',
  },
  precision: {
    type: 'string',
    value: 'f32|mixed',
    help: 'of matrix products on a GPU (default f32); mixed rounds factors to float16',
  },
} satisfies Flags;

export function parse(command: string, argv: string[], flags: Flags, maxArgs = 1): Parsed {
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, f]) => [name, { type: f.type, multiple: f.multiple ?? false }]),
  );
  try {
    const { values, positionals } = parseArgs({ args: argv, options, allowPositionals: true });
    if (positionals.length > maxArgs) throw new Error(`unexpected ${JSON.stringify(positionals[maxArgs])}`);
    return { flags: values as Parsed['flags'], args: positionals };
  } catch (error) {
    const message = (error as Error).message.split('. To specify')[0];
    throw new OptionError(`${command}: ${message}; see \`aim ${command} --help\`.`, { cause: error });
  }
}

export function helpText(usage: string, about: string, flags: Flags): string {
  const rows = Object.entries(flags).map(([name, f]) => [`--${name}${f.value ? ` ${f.value}` : ''}`, f.help] as const);
  const width = Math.max(...rows.map(([left]) => left.length));
  return `usage: ${usage}\n\n${about}\n\n${rows.map(([left, help]) => `  ${left.padEnd(width)}  ${help}`).join('\n')}\n`;
}

/** A number flag, or undefined when it is not given. Ranges are checked where the value is used. */
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

/** The flags of COMMON as options of `fromPretrained`. */
export function commonOptions(flags: Parsed['flags']): Pick<LoadOptions, 'device' | 'threads' | 'dawn' | 'revision' | 'backend'> {
  const dawn = flags.dawn as string[] | undefined;
  const device = choice(flags, 'device', ['auto', 'webgpu', 'wasm', 'reference'] as const) ?? 'auto';
  const threads = number(flags, 'threads');
  return {
    ...(device === 'reference' ? { backend: () => new ReferenceBackend() } : { device }),
    ...(threads !== undefined && { threads }),
    ...(dawn && { dawn }),
    revision: flags.revision as string | undefined,
  };
}

/** The flags of COMMON and NUMERICS as options of `fromPretrained`. */
export function modelOptions(flags: Parsed['flags']): LoadOptions {
  return {
    ...commonOptions(flags),
    dtype: choice(flags, 'dtype', ['auto', 'f32', 'f16'] as const) ?? 'auto',
    precision: choice(flags, 'precision', ['f32', 'mixed'] as const) ?? 'f32',
  };
}

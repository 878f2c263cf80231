/** Flags that several commands share, and their conversion to options of the library. */
import type { LoadOptions } from '../aim.js';
import { DEVICE } from '../backend/create.js';
import { ReferenceBackend } from '../backend/reference.js';
import { OptionError } from '../core/errors.js';
import { IMAGE_FOLDER } from '../data/image_folder.js';
import type { Rgb } from '../io/images/index.js';
import { type ModelSampling, SAMPLING, type SamplingOptions } from '../model/sampler.js';
import { choice, type Flags, flag, number, type Parsed, string } from './command.js';

export const COMMON: Flags = {
  device: {
    type: 'string',
    short: 'd',
    value: 'auto|webgpu|wasm',
    help: 'where to compute (default auto: a real GPU, else wasm)',
    spec: { type: 'choice', choices: ['auto', 'webgpu', 'wasm', 'reference'], about: 'where to compute' },
  },
  threads: flag(DEVICE.threads),
  dawn: {
    type: 'string',
    value: 'FLAG',
    multiple: true,
    help: 'a Dawn instance flag such as enable-dawn-features=…; may be repeated (default: those in AIM_DAWN)',
  },
  revision: { type: 'string', value: 'REV', help: 'branch, tag or commit of a MODEL that is a repository id (default main)' },
};

/** Number formats with which a loaded model computes. */
export const NUMERICS = {
  dtype: flag(
    { type: 'choice', choices: ['auto', 'f32', 'f16'], about: 'weights on a GPU' },
    { help: 'weights on a GPU; f16 rounds them to float16 (default auto: float16 where the file has it, which loses nothing)' },
  ),
  precision: flag(DEVICE.precision, {
    help: 'of matrix products on a GPU (default f32); mixed rounds factors, and activations in training, to float16',
  }),
} satisfies Flags;

/** A setting that a model may recommend. */
const recommended = (option: keyof ModelSampling, value: string, about: string = SAMPLING[option].about) =>
  flag(SAMPLING[option], { value, help: `${about} (default: the model's own, else ${SAMPLING[option].default})` });

/** How tokens are drawn. */
export const SAMPLES = {
  'cfg-scale': recommended('cfgScale', 'W', 'classifier-free guidance; 1 is off; far above 3 many models draw noise'),
  'cfg-schedule': flag(SAMPLING.cfgSchedule),
  'cfg-power': flag(SAMPLING.cfgPower, { value: 'A' }),
  'cfg-start': flag(SAMPLING.cfgStart, { value: 'X' }),
  'cfg-end': flag(SAMPLING.cfgEnd, { value: 'X' }),
  'cfg-on': flag(SAMPLING.cfgOn),
  temperature: recommended('temperature', 'T'),
  'top-k': recommended('topK', 'K'),
  'top-p': recommended('topP', 'P'),
  'min-p': recommended('minP', 'P'),
  positions: flag(SAMPLING.positions),
} satisfies Flags;

export const BACKGROUND: Flags[string] = {
  type: 'string',
  value: 'COLOUR',
  help: 'behind transparent pixels: white, black, grey or #rrggbb (default white)',
};

export const JITTER: Flags[string] = flag(IMAGE_FOLDER.jitter, {
  value: 'S',
  help: 'change brightness, contrast and saturation of each random crop by up to this share (default 0: not at all; 0.2 is moderate)',
});

export const LABELS: Flags[string] = {
  type: 'string',
  value: 'FILE.csv',
  help: 'the class of each picture, as lines file,label (or separated by tabs), for pictures that lie side by side',
};

const COLOURS: Record<string, Rgb> = { white: [255, 255, 255], black: [0, 0, 0], grey: [128, 128, 128], gray: [128, 128, 128] };

/** --background as bytes. */
export function background(flags: Parsed['flags']): Rgb | undefined {
  const text = string(flags, 'background');
  if (text === undefined) return undefined;
  const hex = /^#?([\da-f]{2})([\da-f]{2})([\da-f]{2})$/i.exec(text);
  const colour = hex ? hex.slice(1).map((h) => Number.parseInt(h, 16)) : COLOURS[text.toLowerCase()];
  if (!colour) throw new OptionError(`--background is ${JSON.stringify(text)}; it must be white, black, grey or #rrggbb.`);
  return colour as unknown as Rgb;
}

/** The flags of SAMPLES that are given, as options of `generate`. */
export function samplingOptions(flags: Parsed['flags']): SamplingOptions {
  const given = Object.entries(SAMPLING).flatMap(([option, { type }]) => {
    const name = option.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
    const value = type === 'choice' ? string(flags, name) : number(flags, name);
    return value === undefined ? [] : [[option, value]];
  });
  return Object.fromEntries(given);
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
    revision: string(flags, 'revision'),
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

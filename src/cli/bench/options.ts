/** The options of `aim bench` and their defaults. */
import type { Backend } from '../../backend/backend.js';
import { WebGpuBackend } from '../../backend/webgpu.js';
import { OptionError } from '../../core/errors.js';
import type { AimConfigJson } from '../../model/config.js';
import { MIXER_NAMES } from '../../model/mixers.js';
import { PRESETS } from '../../model/presets.js';
import { type Flags, flag, number, type Parsed } from '../command.js';
import { COMMON, commonOptions } from '../options.js';
import { type Mixer, type Precision, SAMPLING } from './suites.js';

const SUITES = ['generate', 'decode', 'train', 'gemm', 'scaling'] as const;
const names = <T extends object>(of: T) => Object.keys(of) as (keyof T & string)[];

const RUNS = 5;

export const FLAGS: Flags = {
  suite: { type: 'string', value: 'A,B', help: `of ${SUITES.join(', ')} (default generate; on a GPU all)` },
  preset: {
    type: 'string',
    value: 'A,B',
    help: `the paper's models and a Transformer, with random weights: ${names(PRESETS).join(', ')} (default on a GPU, without MODEL, aim-b, aim-l, aim-xl)`,
  },
  batch: { type: 'string', value: 'N,N', help: 'images at once (default 1,8,16; on wasm 10; in training 32)' },
  weights: { type: 'string', value: 'f32,f16', help: 'how weights lie on a GPU (default both)' },
  precision: {
    type: 'string',
    value: 'f32,mixed',
    help: 'of matrix products in decode, train and gemm (default f32; both where the GPU has matrix units)',
  },
  recompute: { type: 'string', value: 'off,on', help: 'of activations in train (default off)' },
  mixer: { type: 'string', value: MIXER_NAMES.join(','), help: "the paper's models' mixers (default Mamba2, in training both)" },
  sampling: {
    type: 'string',
    value: names(SAMPLING).join(','),
    help: "guidance 1.5 of all tokens; the authors' guidance 5, top-k 600, top-p 0.98 (default plain; on a GPU both)",
  },
  runs: flag({ type: 'integer', min: 1, default: RUNS, about: 'timed runs after a warm-up' }),
  profile: { type: 'boolean', help: 'also each op’s share' },
  json: {
    type: 'string',
    value: 'FILE',
    help: 'write everything as JSON too, anew with each row (- for the terminal, instead of tables)',
  },
  ...COMMON,
};

export const ABOUT =
  'Times generation, decoding, training, matrix products and how cost grows: medians with the fastest and the slowest run.\n' +
  'What is measured when Ctrl-C or a failure ends it is kept.';

/** The options given on the command line; undefined for those not given. */
export type Asked = ReturnType<typeof readOptions>;

/** Throws OptionError naming the flag. */
export function readOptions({ flags, args }: Parsed) {
  return {
    model: args[0],
    device: commonOptions(flags),
    suites: list(flags, 'suite', SUITES),
    presets: list(flags, 'preset', names(PRESETS)),
    batches: counts(flags, 'batch'),
    weights: list(flags, 'weights', ['f32', 'f16'] as const),
    precisions: list<Precision>(flags, 'precision', ['f32', 'mixed']),
    recompute: list(flags, 'recompute', ['off', 'on'] as const),
    mixers: list<Mixer>(flags, 'mixer', MIXER_NAMES),
    samplings: list(flags, 'sampling', names(SAMPLING)),
    runs: number(flags, 'runs') ?? RUNS,
    profile: flags.profile === true,
    json: flags.json as string | undefined,
  };
}

export type Preset = keyof typeof PRESETS;

/** The preset with each of the mixers; a Transformer, which takes none, once. */
export const variants = (name: Preset, mixers: readonly Mixer[]): AimConfigJson[] =>
  'ssm_cfg' in PRESETS[name] ? mixers.map((layer) => ({ ...PRESETS[name], ssm_cfg: { layer } })) : [PRESETS[name]];

export type Plan = ReturnType<typeof plan>;

/** Fills in defaults. Throws OptionError for something the device lacks, because its rows would be mislabelled. */
export function plan(asked: Asked, be: Backend) {
  const gpu = be.name === 'webgpu';
  const matrices = be instanceof WebGpuBackend && be.caps.matrices;
  if (asked.weights?.includes('f16') && !be.traits.halves)
    throw new OptionError(`--weights is f16, but ${be.name} holds weights as f32; leave it out or use --device webgpu.`);
  if (asked.precisions?.includes('mixed') && !matrices)
    throw new OptionError(
      `--precision is mixed, but ${be.description} shows no matrix units; leave it out or, on an NVIDIA GPU, add ` +
        '--dawn enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia.',
    );
  const { batches, mixers } = asked;
  return {
    gpu,
    suites: asked.suites ?? (gpu ? SUITES : (['generate'] as const)),
    /** True if MODEL, or the embedded model, is measured. */
    loads: asked.model !== undefined || asked.presets === undefined,
    presets: asked.presets ?? (gpu && asked.model === undefined ? (['aim-b', 'aim-l', 'aim-xl'] as const) : []),
    drawn: {
      batches: batches ?? (gpu ? [1, 8, 16] : [10]),
      mixers: mixers ?? (['Mamba2'] as const),
      samplings: asked.samplings ?? (gpu ? names(SAMPLING) : (['plain'] as const)),
    },
    trained: {
      batches: batches ?? [32],
      mixers: mixers ?? (['Mamba2', 'Mamba1'] as const),
      recompute: asked.recompute ?? (['off'] as const),
    },
    weights: asked.weights ?? (gpu ? (['f32', 'f16'] as const) : (['f32'] as const)),
    precisions: asked.precisions ?? (matrices ? (['f32', 'mixed'] as const) : (['f32'] as const)),
  };
}

function list<T extends string>(flags: Parsed['flags'], name: string, allowed: readonly T[]): readonly T[] | undefined {
  if (flags[name] === undefined) return undefined;
  const values = String(flags[name]).split(',');
  const wrong = values.find((v) => !allowed.includes(v as T));
  if (wrong !== undefined) throw new OptionError(`--${name} is ${JSON.stringify(wrong)}; it must be of ${allowed.join(', ')}.`);
  return values as T[];
}

function counts(flags: Parsed['flags'], name: string): readonly number[] | undefined {
  if (flags[name] === undefined) return undefined;
  const values = String(flags[name]).split(',').map(Number);
  if (values.some((n) => !(Number.isInteger(n) && n > 0)))
    throw new OptionError(`--${name} is ${JSON.stringify(flags[name])}; it must be positive integers, e.g. 1,8,16.`);
  return values;
}

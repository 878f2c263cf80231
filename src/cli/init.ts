/** `aim init`: writes config files with comments, which `aim train … --config` reads. */
import { OptionError } from '../core/errors.js';
import type { OptionSpec } from '../core/options.js';
import { ensureWritable, exists, makeFolder, writeAtomic } from '../platform/files.js';
import { TRAINER } from '../train/options.js';
import { DEFAULT_PRESET, PRESET_NAMES, type PresetName, RECIPE, recipe, stage2For, tokenizerFor } from '../train/recipe.js';
import type { Stage } from '../train/stage1.js';
import { type Command, choice, type Flags, flag, number, type Parsed, string } from './command.js';
import { print, say } from './terminal.js';
import { RUNS } from './train/architecture.js';

const DEFAULT_SIZE = 64;
const FLAGS: Flags = {
  size: flag(RECIPE.size, { help: `side of the images in pixels (default ${DEFAULT_SIZE})` }),
  preset: flag(RECIPE.preset, { help: `the stage-2 model (default ${DEFAULT_PRESET})` }),
  out: { type: 'string', short: 'o', value: 'FOLDER', help: 'where to write tokenizer.jsonc and model.jsonc (default here)' },
};

export const init: Command = {
  name: 'init',
  usage: '[tokenizer|model]',
  summary: 'config files with comments, for training',
  about:
    'Writes tokenizer.jsonc and model.jsonc, or one of them: JSON with comments that explain every field, for `aim train … --config`.\n' +
    'Training needs no such file (`aim train … --size N`); it is for those who want to change what is chosen.',
  flags: FLAGS,
  run,
};

async function run({ flags, args }: Parsed): Promise<number> {
  const [only] = args;
  if (only !== undefined && only !== 'tokenizer' && only !== 'model')
    throw new OptionError(`init: there is no file for ${JSON.stringify(only)}; say tokenizer or model, or nothing for both.`);
  const stages: readonly Stage[] = only === undefined ? ['tokenizer', 'model'] : [only];
  const size = number(flags, 'size') ?? DEFAULT_SIZE;
  const preset = choice(flags, 'preset', PRESET_NAMES) ?? DEFAULT_PRESET;
  const out = string(flags, 'out') ?? '.';
  const files = stages.map((stage) => ({ stage, path: `${out}/${stage}.jsonc`, text: configText(stage, size, preset) }));
  for (const { path } of files)
    if (await exists(path)) throw new OptionError(`${path} is there already; move it away, or choose another --out.`);
  await makeFolder(out);
  await ensureWritable(out);
  for (const { stage, path, text } of files) {
    await writeAtomic(path, new TextEncoder().encode(text));
    say(`aim train ${stage} DATA --config ${path}\n`);
    print(`${path}\n`);
  }
  return 0;
}

/** What the fields of config.json are. docs/training.md has the same. */
export const FIELDS = {
  num_tokens: 'tokens of an image, a square number; side of an image in pixels = √num_tokens × 2^(levels − 1)',
  vocab_size: 'number of different tokens: n_embed of the tokenizer',
  vq_config: {
    ch: 'channels of the outermost level, a multiple of 32; twice as many take four times as long',
    ch_mult: 'one number for each level: its channels as multiples of ch; each level after the first halves the sides',
    num_res_blocks: 'residual blocks of each level of the encoder; the decoder has one more',
    z_channels: 'channels between the last level and the codebook',
    n_embed: 'number of codes; more show more detail and are harder for stage 2 to predict',
    embed_dim: "length of a code's vector",
  },
  d_model: 'width; expand × d_model must be a multiple of headdim',
  n_layer: 'number of layers',
  ssm_cfg: {
    layer: 'the mixer: Mamba2 or Mamba1',
    d_state: 'numbers that each channel remembers from one token to the next',
    d_conv: 'tokens that the convolution before the state sees',
    expand: 'channels of the mixer as a multiple of d_model',
    headdim: 'channels of a head, which share one decay',
    ngroups: 'groups of heads with their own input and output matrices',
  },
  attn_layer_idx: 'layers, from 0, whose mixer is attention',
  attn_cfg: {
    num_heads: 'heads of their attention',
    num_heads_kv: 'heads of keys and values, a divisor of num_heads, which is the default',
    head_dim: 'channels of a head; d_model / num_heads by default',
    causal: 'must be true: a token sees those before it',
    qkv_proj_bias: 'true: the first projection has a bias',
    out_proj_bias: 'true: the second projection has a bias',
    softmax_scale: 'factor of the scores; 1/√head_dim by default',
  },
  d_intermediate: 'width of a gated MLP after every mixer, rounded up to a multiple of 128; 0: there is none',
  adaln_group: 'true: layers share the vectors that the class sets (adaLN) in num_groups groups; false: each layer has its own',
  num_groups: 'number of those groups',
} as const;

/** Defaults of ssm_cfg, which are written so that they can be changed. */
const MAMBA2 = { layer: 'Mamba2', d_state: 128, d_conv: 4, expand: 2, headdim: 64, ngroups: 1 };

/** Options in the file, the first as they are, the second as comments because they are chosen for the number of images. */
const SHOWN = {
  tokenizer: {
    set: ['lr', 'schedule', 'weightDecay', 'clipNorm', 'emaDecay', 'accumulate', 'seed'],
    chosen: ['steps', 'batchSize', 'warmup', 'evalEvery', 'evalItems'],
  },
  model: {
    set: ['lr', 'schedule', 'weightDecay', 'clipNorm', 'labelDropout', 'emaDecay', 'accumulate', 'recompute', 'seed'],
    chosen: ['steps', 'batchSize', 'warmup', 'evalEvery', 'evalItems'],
  },
} as const satisfies Record<Stage, Record<'set' | 'chosen', readonly (keyof typeof TRAINER)[]>>;

/** Images for which the values in comments are examples. */
const EXAMPLE = { images: 2000, heldOut: 100 };

/** The text of a config file. Throws OptionError for a size that has no tokenizer in the table. */
export function configText(stage: Stage, size: number, preset: PresetName): string {
  const tokenizer = tokenizerFor(size);
  const values: Record<string, unknown> = recipe(stage, { ...EXAMPLE, size, preset, given: {} });
  const option = (key: keyof typeof TRAINER, comment: boolean) => {
    const spec: OptionSpec = TRAINER[key];
    const value = values[key] ?? spec.default;
    // The file says what is, not what else would be.
    const about = spec.about.replace(/[,;] by default.*/, '');
    return value === undefined ? [] : [`  ${comment ? '// ' : ''}"${key}": ${JSON.stringify(value)}, // ${about}`];
  };
  const { set, chosen } = SHOWN[stage];
  const { ssm_cfg: _, ...stage2 } = stage2For(preset);
  const model = stage === 'tokenizer' ? tokenizer : { ...stage2, ...(stage2.attn_layer_idx ? {} : { ssm_cfg: MAMBA2 }) };
  const head = {
    tokenizer: [
      `The tokenizer for images of ${size}×${size} pixels: aim train tokenizer DATA --config tokenizer.jsonc`,
      'A flag on the command line wins over this file.',
    ],
    model: [
      `Stage 2, the model "${preset}": aim train model DATA --config model.jsonc --tokenizer ${RUNS.tokenizer}`,
      'A flag on the command line wins over this file. The number of classes is that of the data; num_tokens, vocab_size and vq_config',
      'are those of the tokenizer.',
    ],
  };
  return [
    ...head[stage].map((line) => `// ${line}`),
    '{',
    `  "size": ${size}, // side of the images in pixels`,
    ...(stage === 'model' ? [`  "preset": ${JSON.stringify(preset)}, // by which options are chosen that are not below`] : []),
    ...fieldLines('model', model, FIELDS, '  '),
    ...set.flatMap((key) => option(key, false)),
    '  // These are chosen for the number of images. The values are for 2,000; remove the // to set them.',
    ...chosen.flatMap((key) => option(key, true)),
    '}',
    '',
  ].join('\n');
}

type Texts = { readonly [field: string]: string | Texts };

/** The lines of an object with a comment for each field. */
function fieldLines(name: string, object: object, texts: Texts, indent: string): string[] {
  const lines = Object.entries(object).flatMap(([key, value]) => {
    const text = texts[key];
    if (typeof text === 'object') return fieldLines(key, value as object, text, `${indent}  `);
    return [`${indent}  "${key}": ${JSON.stringify(value)}, // ${text}`];
  });
  return [`${indent}"${name}": {`, ...lines, `${indent}},`];
}

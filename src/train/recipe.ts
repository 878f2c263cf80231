/**
 * Settings for training on one's own pictures: which tokenizer for which size, the stage-2 models by name, and how long and how fast
 * to train them. `aim train --size` and `aim init` use them. docs/training.md says where the figures are from.
 */
import { OptionError } from '../core/errors.js';
import type { OptionSpec } from '../core/options.js';
import type { AimConfigJson } from '../model/config.js';
import { PRESETS } from '../model/presets.js';
import type { VqConfigJson } from '../model/vq_tokenizer.js';
import type { RunSettings } from './options.js';
import type { Stage } from './stage1.js';

interface SizeRow {
  /** The largest side in pixels that the row is for. */
  most: number;
  vq: Pick<VqConfigJson, 'ch' | 'ch_mult' | 'num_res_blocks' | 'z_channels' | 'n_embed'>;
  lr: number;
  batchSize: number;
}

/** Tokenizers by the side of the images. Each level after the first halves the side, so that there are at most 256 tokens or so. */
const SIZES: readonly SizeRow[] = [
  { most: 16, vq: { ch: 32, ch_mult: [1, 2], num_res_blocks: 2, z_channels: 64, n_embed: 512 }, lr: 1e-3, batchSize: 64 },
  { most: 32, vq: { ch: 32, ch_mult: [1, 2, 2], num_res_blocks: 2, z_channels: 64, n_embed: 1024 }, lr: 1e-3, batchSize: 64 },
  { most: 64, vq: { ch: 32, ch_mult: [1, 2, 4], num_res_blocks: 2, z_channels: 128, n_embed: 2048 }, lr: 1e-3, batchSize: 64 },
  {
    most: 128,
    vq: { ch: 64, ch_mult: [1, 1, 2, 4], num_res_blocks: 2, z_channels: 256, n_embed: 4096 },
    lr: 3e-4,
    batchSize: 32,
  },
  {
    most: 256,
    vq: { ch: 128, ch_mult: [1, 1, 2, 2, 4], num_res_blocks: 2, z_channels: 256, n_embed: 16384 },
    lr: 1e-4,
    batchSize: 16,
  },
];
/** Length of a code's vector, in all of them. */
const EMBED_DIM = 8;
const LEAST_SIZE = 8;
export const MOST_SIZE = SIZES.at(-1)!.most;

/** Fields of config.json that only the tokenizer decides. */
export type TokenizerJson = Pick<AimConfigJson, 'vocab_size' | 'num_tokens' | 'vq_config'>;
/** Fields of config.json that only stage 2 decides. */
export type Stage2Json = Pick<
  AimConfigJson,
  'd_model' | 'n_layer' | 'ssm_cfg' | 'attn_layer_idx' | 'attn_cfg' | 'd_intermediate' | 'adaln_group' | 'num_groups'
>;

const rowOf = (size: number) => SIZES.find(({ most }) => size <= most)!;
/** Pixels along a side of the square that one token stands for. */
const factorOf = ({ ch_mult }: { ch_mult: readonly number[] }) => 2 ** (ch_mult.length - 1);

interface Stage2Row extends Pick<AimConfigJson, 'd_model' | 'n_layer'> {
  num_groups: number;
  lr: number;
}

/**
 * Stage-2 models below those of the paper. The rates are for batches of 64. That of `small` is from a comparison on emoji
 * (docs/measurements.md, 2026-12-01); the others follow it by width.
 */
const STAGE2 = {
  tiny: { d_model: 192, n_layer: 6, num_groups: 2, lr: 2e-3 },
  small: { d_model: 256, n_layer: 8, num_groups: 4, lr: 1.5e-3 },
  base: { d_model: 384, n_layer: 12, num_groups: 4, lr: 1e-3 },
  large: { d_model: 512, n_layer: 20, num_groups: 4, lr: 7.5e-4 },
} as const satisfies Record<string, Stage2Row>;

/** Names that --preset takes: models for one's own pictures, then those of the paper. */
export const PRESET_NAMES = [
  ...(Object.keys(STAGE2) as (keyof typeof STAGE2)[]),
  ...(Object.keys(PRESETS) as (keyof typeof PRESETS)[]),
] as const;
export type PresetName = (typeof PRESET_NAMES)[number];
export const DEFAULT_PRESET: PresetName = 'small';

export const isPaper = (preset: PresetName): preset is keyof typeof PRESETS => preset in PRESETS;

export const RECIPE = {
  size: { type: 'integer', min: LEAST_SIZE, max: 4096, about: 'side of the images in pixels' },
  preset: { type: 'choice', choices: PRESET_NAMES, about: 'a stage-2 model' },
} as const satisfies Record<string, OptionSpec>;

/** The tokenizer for images of this side. Throws OptionError for a side that no tokenizer of the table can have. */
export function tokenizerFor(size: number): TokenizerJson {
  if (!Number.isInteger(size) || size < LEAST_SIZE || size > MOST_SIZE)
    throw new OptionError(
      `size is ${size}; it must be a whole number of pixels from ${LEAST_SIZE} to ${MOST_SIZE}. For larger images write a --config with ` +
        'a vq_config of more levels.',
    );
  const { vq } = rowOf(size);
  return {
    vocab_size: vq.n_embed,
    num_tokens: tokensOf(size, factorOf(vq)),
    vq_config: { ...vq, embed_dim: EMBED_DIM },
  };
}

/** The number of tokens of an image. Throws OptionError unless the side is a multiple of `factor`. */
export function tokensOf(size: number, factor: number): number {
  if (size >= factor && size % factor === 0) return (size / factor) ** 2;
  const below = Math.floor(size / factor) * factor;
  const near = [below, below + factor].filter((side) => side > 0).join(' or ');
  throw new OptionError(
    `size is ${size}, but one token of this tokenizer stands for ${factor}×${factor} pixels, so that the side must be a multiple of ` +
      `${factor}, such as ${near} (side = √num_tokens × 2^(levels − 1), where vq_config.ch_mult has one number per level).`,
  );
}

/** The fields of config.json of a stage-2 model. */
export function stage2For(preset: PresetName): Stage2Json {
  if (isPaper(preset)) {
    const { vocab_size: _v, num_classes: _k, num_tokens: _t, ...stage2 } = PRESETS[preset];
    return stage2;
  }
  const { d_model, n_layer, num_groups } = STAGE2[preset];
  return { d_model, n_layer, ssm_cfg: { layer: 'Mamba2' }, adaln_group: true, num_groups };
}

/** The smallest stage-2 model of the table that is at least this wide, else the paper's smallest: by which options are chosen. */
export const presetLike = (d_model: number): PresetName =>
  (Object.keys(STAGE2) as (keyof typeof STAGE2)[]).find((name) => d_model <= STAGE2[name].d_model) ?? 'aim-b';

/** How often each image is seen in training, where there are neither very few nor very many, and the least and most images seen in all. */
const SEEN = {
  tokenizer: { times: 75, least: 8_000, most: 300_000 },
  model: { times: 100, least: 8_000, most: 600_000 },
} as const satisfies Record<Stage, { times: number; least: number; most: number }>;

/** Evaluations of a run, each with a checkpoint and a sheet of samples. */
const EVALUATIONS = 16;
/** When a discriminator begins: LlamaGen's step, but not after this share of the steps. */
const DISC_START = { most: 20_000, share: 0.25 };
/** Random crops of each image that stage 2 trains on, and the number of rows from which on there are fewer. */
const CROPS = { most: 10, rows: 20_000 };

/** Largest batch of stage 2 that is chosen, for which its rates are. */
const BATCH = 64;
/** The learning rate of a smaller batch, whose gradients are noisier: by the root of its size, to two digits. */
const rateFor = (lr: number, batchSize: number) => Number((lr * Math.sqrt(Math.min(1, batchSize / BATCH))).toPrecision(2));

export interface RecipeFacts {
  /** Training images. */
  images: number;
  /** Random crops of each image that stage 2 trains on, or 0; see `cropsFor`. */
  crops?: number;
  /** Held-out images. */
  heldOut: number;
  /** Side of the images in pixels. */
  size: number;
  preset: PresetName;
  /** Options that are given and therefore not chosen here. */
  given: RunSettings;
}

/**
 * The options of a run that are not given, chosen for the number of images. The paper's models keep the paper's learning rate and
 * schedule; how long they train depends on the images too.
 */
export function recipe(stage: Stage, { images, crops = 0, heldOut, size, preset, given }: RecipeFacts): RunSettings {
  const row = rowOf(Math.min(size, MOST_SIZE));
  const most = stage === 'tokenizer' ? row.batchSize : BATCH;
  // Small data sets get small batches, so that there are enough steps.
  const batchSize = given.batchSize ?? Math.min(most, images, Math.max(4, 2 ** Math.floor(Math.log2(Math.max(1, images / 8)))));
  const { times, least, most: mostSeen } = SEEN[stage];
  const seen = Math.max(Math.min(Math.max(times * images, least), mostSeen), images);
  const chosen: RunSettings = { batchSize };
  if (given.steps === undefined && given.epochs === undefined) chosen.steps = Math.max(1, Math.round(seen / batchSize));
  const perEpoch = Math.floor((images * Math.max(1, crops)) / batchSize);
  const steps = given.steps ?? chosen.steps ?? Math.max(1, Math.round(given.epochs! * perEpoch));
  if (stage === 'tokenizer') {
    Object.assign(chosen, { lr: row.lr, schedule: 'cosine' });
    if (given.discriminator && given.discriminator !== 'none')
      chosen.discStart = Math.min(DISC_START.most, Math.floor(steps * DISC_START.share));
  } else if (!isPaper(preset))
    Object.assign(chosen, { lr: rateFor(STAGE2[preset].lr, batchSize), schedule: 'cosine', weightDecay: 1 });
  chosen.warmup = Math.min(200, Math.floor(steps / 20));
  chosen.evalEvery = Math.max(1, Math.round(steps / EVALUATIONS));
  chosen.evalItems = Math.min(heldOut, 1024);
  return { ...chosen, ...given };
}

/** Random crops of each image for stage 2: several where there are few images; 0 is the centre crop alone. */
export const cropsFor = (images: number): number =>
  images >= CROPS.rows ? 0 : Math.min(CROPS.most, Math.ceil(CROPS.rows / images));

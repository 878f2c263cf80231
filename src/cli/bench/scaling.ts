/** How the time of drawing and of training grows with batch, tokens, width and depth: one at a time, with fitted exponents. */

import { type AimConfigJson, parseConfig, VQ_F16 } from '../../model/config.js';
import type { Model } from '../../model/model.js';
import { exponent } from './measure.js';
import type { Row } from './report.js';
import { type Context, generation, type Measured, round, training } from './suites.js';

const BATCHES = [1, 2, 4, 8, 16, 32, 64];
const TOKENS = [64, 144, 256, 576, 1024];
const WIDTHS = [0.5, 1, 1.5, 2];
const DEPTHS = [0.25, 0.5, 1, 2];

interface Point {
  json: AimConfigJson;
  batch: number;
}

/** The axes through `base`. On every axis except `batch`, `batch` images are computed at once. */
function axes(base: AimConfigJson, batch: number): Record<string, Map<number, Point>> {
  const along = (sizes: number[], at: (size: number) => Point) => new Map(sizes.map((size) => [size, at(size)]));
  const times = (n: number, factors: number[]) => factors.map((f) => Math.max(1, Math.round(n * f)));
  return {
    batch: along(BATCHES, (n) => ({ json: base, batch: n })),
    tokens: along(TOKENS, (n) => ({ json: { ...base, num_tokens: n }, batch })),
    width: along(times(base.d_model, WIDTHS), (n) => ({ json: { ...base, d_model: n }, batch })),
    depth: along(times(base.n_layer, DEPTHS), (n) => ({ json: { ...base, ...layersOf(base, n) }, batch })),
  };
}

/** n layers with the pattern of attention that the base has. */
function layersOf({ attn_layer_idx, n_layer }: AimConfigJson, n: number): Pick<AimConfigJson, 'n_layer' | 'attn_layer_idx'> {
  if (!attn_layer_idx) return { n_layer: n };
  const layers = Array.from({ length: n }, (_, i) => i);
  return { n_layer: n, attn_layer_idx: layers.filter((i) => attn_layer_idx.includes(i % n_layer)) };
}

/** The work that is timed, and its batch size on every axis except `batch`. */
interface Work {
  of: string;
  batch: number;
  measure(aim: Model, batch: number): Promise<Measured>;
}

/**
 * @param trained images at once along the other axes of training.
 * @param add takes each row as it is measured.
 */
export async function scaling(
  make: (json: AimConfigJson) => Promise<Model>,
  base: AimConfigJson,
  trained: number,
  c: Context,
  add: (table: string, measured: Measured) => Promise<void>,
): Promise<void> {
  // Only stage 2 is timed, so the tokenizer is as small as can be.
  const small = {
    ...base,
    vq_config: { ...VQ_F16, ch: 32, ch_mult: [1, 1], num_res_blocks: 1, z_channels: 32, n_embed: base.vocab_size },
  };
  const mixer = parseConfig(small).mixer.layer;
  const drawing: Work = { of: 'generation', batch: 1, measure: (aim, n) => generation(aim, '', n, 'f32', 'plain', c) };
  const step: Work = {
    of: 'a training step',
    batch: trained,
    measure: (aim, n) => training(aim, '', { batch: n, precision: 'f32', recompute: 'off' }, c),
  };
  for (const { of, batch, measure } of [drawing, step])
    for (const [axis, points] of Object.entries(axes(small, batch))) {
      const costs: Cost[] = [];
      for (const [size, point] of points) {
        const aim = await make(point.json);
        try {
          const { row, profile } = await measure(aim, point.batch);
          const { ms, fastest, slowest } = row as Row & Omit<Cost, 'size'>;
          costs.push({ size, ms, fastest });
          await add(`Time of ${of}`, {
            row: { mixer, axis, size, ms, fastest, slowest: slowest! },
            profile: profile && { of: `${of} ${mixer} ${axis} ${size}`, ops: profile.ops },
          });
        } finally {
          await aim.dispose();
        }
      }
      for (const fitted of [costs, costs.slice(-Math.ceil(costs.length / 2))])
        await add(`Growth of ${of}`, { row: { mixer, axis, ...growth(fitted) }, profile: undefined });
    }
}

interface Cost {
  size: number;
  ms: number;
  fastest: number;
}

/** Fitted exponents. The fastest runs are fitted too, because other work on the machine disturbs them least. */
function growth(costs: Cost[]): Row {
  const exponentOf = (of: 'ms' | 'fastest') => round(exponent(costs.map((c) => [c.size, c[of]])));
  return {
    sizes: `${costs[0]!.size}–${costs.at(-1)!.size}`,
    exponent: exponentOf('ms'),
    'of the fastest': exponentOf('fastest'),
  };
}

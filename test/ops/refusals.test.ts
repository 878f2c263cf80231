/** Sizes and attributes that do not fit are refused with what is wrong and a remedy. */
import { expect, it } from 'vitest';
import { ReferenceBackend } from '../../src/backend/reference.js';
import { addRmsNorm } from '../../src/ops/add_rms_norm.js';
import { causalConv1d } from '../../src/ops/causal_conv1d.js';
import { clip } from '../../src/ops/clip.js';
import { ema } from '../../src/ops/ema.js';
import { rmsNormGated } from '../../src/ops/rms_norm_gated.js';
import type { AnyEntry } from '../../src/ops/spec.js';
import { squareSum } from '../../src/ops/square_sum.js';
import { tokenEmbedding } from '../../src/ops/token_embedding.js';
import { type Case, inputs, runCase } from './harness.js';

const refused: [AnyEntry, Case, RegExp][] = [
  [addRmsNorm.backward, { m: 1, l: 2, d: 3, c: 3, w: 3 }, /rows has 3 parts for 2 positions; pass at most 2/],
  [addRmsNorm.backward, { m: 1, l: 2, d: 3, c: 1, w: 1 }, /modulation has 1 row, .*; pass \[m, 2, d\]/],
  [rmsNormGated.backward, { m: 1, l: 2, e: 4, s: 4, w: 3, groups: 1 }, /dweight_rows has 3 parts for 2 rows; pass at most/],
  [rmsNormGated.backward, { m: 1, l: 2, e: 4, s: 4, w: 1, groups: 3 }, /4 channels do not split into 3 groups; choose/],
  [causalConv1d.backward, { m: 2, l: 2, s: 4, c: 4, k: 4, w: 3 }, /dbias_rows has 3 rows for 2 sequences; pass the same/],
  [causalConv1d.backward, { m: 1, l: 2, s: 4, c: 4, k: 4, w: 1, offset: 1 }, /x has 4 channels, expected .* 5; lower offset/],
  [tokenEmbedding.backward_word, { m: 1, t: 2, l: 4, d: 1, v: 2 }, /dy has 4 positions for 2 tokens; pass at most 3/],
  [tokenEmbedding.backward_pos, { m: 1, l: 4, d: 1, p: 2 }, /dy has 4 positions for 2 rows of dpos; pass at most 3/],
  [squareSum.forward, { n: 20000, k: 2, slot: 1 }, /sums has 2 slots, but x takes 2 from slot 1 on; pass at least 3/],
  [clip.forward, { k: 1, max_norm: 0, scale: 1 }, /max_norm is 0; pass a positive number/],
  [clip.forward, { k: 1, max_norm: 1, scale: 0 }, /scale is 0; pass a positive number/],
  [ema.forward, { n: 1, decay: 1 }, /decay is 1; pass a number from 0 to below 1/],
];

it.each(refused)('refused: %#', async (entry, c, message) => {
  const op = { entry, cases: [c] };
  await expect(runCase(new ReferenceBackend(), op, c, inputs(op, c, 1))).rejects.toThrow(message);
});

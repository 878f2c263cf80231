/** The float64 reference of clip.ts, which states the equations. */
import { HYPER } from './adamw.js';
import type { clip } from './clip.js';
import type { References } from './spec.js';

export const references: References<typeof clip> = {
  forward({ sums, hyper, loss_scale, norm }, { k, max_norm, scale, growth }) {
    const factor = scale / (loss_scale?.[0] ?? 1);
    let all = 0;
    for (let i = 0; i < k; i++) all += sums[i]!;
    norm[0] = factor * Math.sqrt(all);
    hyper[HYPER.grad_scale] = factor * Math.min(1, max_norm / (norm[0]! + 1e-6));
    const good = Number.isFinite(norm[0]!);
    if (!good) hyper[HYPER.skip] = 1;
    if (!loss_scale || loss_scale[0]! < 1) return;
    if (good) hyper[HYPER.skip] = 0;
    loss_scale[1] = good ? loss_scale[1]! + 1 : 0;
    if (!good) loss_scale[0]! /= 2;
    else if (loss_scale[1] === growth) loss_scale.set([loss_scale[0]! * 2, 0]);
  },
};

// @train
// norm = scale·√Σ sums;  hyper[6] = scale·min(1, max_norm / (norm + 1e-6));  hyper[7] = 1 if norm is not finite.
import { GRAD_SCALE, SKIP } from '../src/ops/shared';
import { hsum } from './lib/math';

export function clip_forward(
  sums: usize, hyper: usize, loss_scale: usize, norm: usize,
  k: i32, max_norm: f32, scale: f32, growth: i32,
): void {
  if (loss_scale) scale /= load<f32>(loss_scale);
  const end = sums + ((<usize>k) << 2);
  let a = f32x4.splat(0);
  for (; sums + 16 <= end; sums += 16) a = f32x4.add(a, v128.load(sums));
  let all = hsum(a);
  for (; sums < end; sums += 4) all += load<f32>(sums);
  all = scale * sqrt<f32>(all);
  store<f32>(norm, all);
  store<f32>(hyper, scale * min<f32>(1, max_norm / (all + 1e-6)), GRAD_SCALE << 2);
  const good = isFinite<f32>(all);
  if (!good) store<f32>(hyper, 1, SKIP << 2);
  if (!loss_scale || load<f32>(loss_scale) < 1) return;
  // If the norm is not finite, only this step is skipped and the loss scale is halved. After `growth` good steps in a row it is
  // doubled.
  let steps: f32 = 0;
  if (good) {
    store<f32>(hyper, 0, SKIP << 2);
    steps = load<f32>(loss_scale, 4) + 1;
    if (steps == <f32>growth) {
      store<f32>(loss_scale, 2 * load<f32>(loss_scale));
      steps = 0;
    }
  } else store<f32>(loss_scale, load<f32>(loss_scale) / 2);
  store<f32>(loss_scale, steps, 4);
}

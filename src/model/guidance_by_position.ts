/**
 * Guidance that differs between positions, or that is on probabilities. All schedules go from 1, which is none, to the scale w: at
 * position t of T it is 1 + (w − 1)·f(x) with x = t / (T − 1).
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { guideByPosition } from '../ops/guide_by_position.js';
import type { Checked } from './guidance.js';

/** The scale of each of `count` positions. */
export function guidanceScales({ cfgScale, cfgSchedule, cfgPower, cfgStart, cfgEnd }: Checked, count: number): Float32Array {
  const wave = (x: number) => (1 - Math.cos(Math.PI * x)) / 2;
  const share = { constant: () => 1, linear: (x: number) => x, cosine: wave, 'power-cosine': (x: number) => wave(x ** cfgPower) };
  return Float32Array.from({ length: count }, (_, t) => {
    const acts = t >= cfgStart * count && t < cfgEnd * count;
    // A single position is the last.
    return acts ? 1 + (cfgScale - 1) * share[cfgSchedule](count > 1 ? t / (count - 1) : 1) : 1;
  });
}

/**
 * Guided logits y [b, V] of the logits [2b, V] of b conditional and b unconditional rows.
 * @param t scales [T] of the positions; step u32 [b], the position of each image.
 */
export function guideForward(
  be: Backend,
  on: Checked['cfgOn'],
  t: { logits: Tensor; scales: Tensor; step: Tensor; y: Tensor },
): void {
  be.run(guideByPosition.forward, t, { probabilities: on === 'probabilities' ? 1 : 0 });
}

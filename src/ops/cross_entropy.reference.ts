/** The float64 reference of cross_entropy.ts, which states the equations. */
import type { crossEntropy } from './cross_entropy.js';
import type { References } from './spec.js';

export const references: References<typeof crossEntropy> = {
  forward({ logits, targets, loss, lse }, { r, v }) {
    for (let i = 0; i < r; i++) {
      const x = Array.from(logits.subarray(i * v, (i + 1) * v));
      const most = Math.max(...x);
      lse[i] = most + Math.log(x.reduce((sum, l) => sum + Math.exp(l - most), 0));
      loss[i] = lse[i]! - x[Math.min(targets[i]!, v - 1)]!;
    }
  },

  backward({ logits, targets, lse, loss_scale, dlogits }, { r, v, scale }) {
    const factor = scale * (loss_scale?.[0] ?? 1);
    for (let i = 0; i < r; i++) {
      // forward: loss = log Σ exp(logits) - logits[target]  ⇒  dlogits = (softmax(logits) - onehot(target))·scale
      for (let j = 0; j < v; j++) {
        const hit = j === Math.min(targets[i]!, v - 1) ? 1 : 0;
        dlogits[i * v + j] = (Math.exp(logits[i * v + j]! - lse[i]!) - hit) * factor;
      }
    }
  },
};

/** The float64 reference of sample.ts, which states the equations. */
import { threefry2x32 } from '../core/random.js';
import type { sample } from './sample.js';
import type { References } from './spec.js';

const FLOAT_MAX = (2 - 2 ** -23) * 2 ** 127;

const finite = (x: number) => (Number.isNaN(x) ? -FLOAT_MAX : Math.min(Math.max(x, -FLOAT_MAX), FLOAT_MAX));

export const references: References<typeof sample> = {
  forward({ logits, seed, kept, noise, step, tokens }, { b, v, t, temperature, top_k, top_p, log_min_p }) {
    for (let i = 0; i < b; i++) {
      const at = step[i]!;
      if (at >= t) continue;
      step[i] = at + 1;
      if (kept && at < kept[i]!) continue;
      const x = Array.from(logits.subarray(i * v, (i + 1) * v), finite);
      const order = x.map((_, j) => j).sort((p, q) => x[q]! - x[p]!);
      const most = x[order[0]!]!;
      const kth = top_k > 0 && top_k < v ? x[order[top_k - 1]!]! : -FLOAT_MAX;
      const e = x.map((l) => (l >= kth ? Math.exp((l - most) / temperature) : 0));
      const z = e.reduce((p, q) => p + q, 0);
      const w = e.map((p) => Math.round((p / z) * 2 ** 30));
      const sum = () => w.reduce((p, q) => p + q, 0);
      if (top_p < 1) {
        const need = Math.ceil(top_p * sum());
        let last = -1;
        for (let held = 0; held < need; ) held += w[order[++last]!]!;
        for (let j = 0; j < v; j++) if (x[j]! < x[order[last]!]!) w[j] = 0;
      }
      for (let j = 0; j < v; j++) if (x[j]! < most + temperature * log_min_p) w[j] = 0;
      const r = noise ? noise[i * t + at]! : threefry2x32(seed[2 * i]!, seed[2 * i + 1]!, at, 0)[0];
      const target = Number((BigInt(r) * BigInt(sum())) >> 32n);
      let token = 0;
      for (let run = w[0]!; run <= target; ) run += w[++token]!;
      tokens[i * t + at] = token;
    }
  },
};

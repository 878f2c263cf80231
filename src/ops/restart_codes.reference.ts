/** The float64 reference of restart_codes.ts, which states the equations. */
import { threefry2x32 } from '../core/random.js';
import type { restartCodes } from './restart_codes.js';
import type { References } from './spec.js';

export const references: References<typeof restartCodes> = {
  forward({ z, draw, age, codebook, m, s, ema, restarted }, { r, d, v, patience }) {
    for (let i = 0; i < v; i++) {
      const dead = age[i]! + 1 >= patience;
      restarted[i] = Number(dead);
      age[i] = dead ? 0 : age[i]! + 1;
      if (!dead) continue;
      const [word] = threefry2x32(draw[0]!, draw[1]!, draw[2]!, i);
      const from = z.subarray((word % r) * d, ((word % r) + 1) * d);
      const [at, end] = [i * d, (i + 1) * d];
      const scale = Math.hypot(...codebook.subarray(at, end)) / Math.max(Math.hypot(...from), 1e-12);
      for (let j = at; j < end; j++) codebook[j] = from[j - at]! * scale;
      m.fill(0, at, end);
      s.fill(0, at, end);
      ema?.set(codebook.subarray(at, end), at);
    }
  },
};

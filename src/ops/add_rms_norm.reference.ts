/** The float64 reference of add_rms_norm.ts, which states the equations. */
import type { addRmsNorm } from './add_rms_norm.js';
import type { References } from './spec.js';

export const references: References<typeof addRmsNorm> = {
  forward({ x, res, gate, weight, modulation, sum, y }, { m, l, d, g, c, eps }) {
    const s = new Float64Array(d);
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < l; j++) {
        const at = (i * l + j) * d;
        let squares = 0;
        for (let ch = 0; ch < d; ch++) {
          s[ch] = (res?.[at + ch] ?? 0) + x[at + ch]! * (gate?.[(i * g + 2) * d + ch] ?? 1);
          squares += s[ch]! ** 2;
        }
        for (let ch = 0; ch < d; ch++) {
          const u = (s[ch]! / Math.sqrt(squares / d + eps)) * weight[ch]!;
          const shift = modulation?.[i * c * d + ch] ?? 0;
          const scale = modulation?.[(i * c + 1) * d + ch] ?? 0;
          y[at + ch] = u * (1 + scale) + shift;
          if (sum) sum[at + ch] = s[ch]!;
        }
      }
    }
  },

  backward({ sum, weight, modulation, dy, dsum, dres, rows }, { m, l, d, c, w, eps }) {
    const span = Math.ceil(l / w);
    rows.fill(0);
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < l; j++) {
        const at = (i * l + j) * d;
        const to = (i * w + Math.floor(j / span)) * 2 * d;
        let squares = 0;
        for (let ch = 0; ch < d; ch++) squares += sum[at + ch]! ** 2;
        const r = 1 / Math.sqrt(squares / d + eps);
        // forward: n = sum·r, y = n·weight·(1 + scale) + shift  ⇒  dn = dy·weight·(1 + scale)
        const dn = (ch: number) => dy[at + ch]! * weight[ch]! * (1 + (modulation?.[(i * c + 1) * d + ch] ?? 0));
        let inner = 0;
        for (let ch = 0; ch < d; ch++) inner += dn(ch) * sum[at + ch]!;
        for (let ch = 0; ch < d; ch++) {
          // forward: r = (Σ sum²/d + eps)^-½  ⇒  dsum += dn·r - sum·r³·Σ(dn·sum)/d
          dres[at + ch] = dn(ch) * r - (sum[at + ch]! * r ** 3 * inner) / d + (dsum?.[at + ch] ?? 0);
          rows[to + ch] = rows[to + ch]! + dy[at + ch]!;
          rows[to + d + ch] = rows[to + d + ch]! + dy[at + ch]! * sum[at + ch]! * r;
        }
      }
    }
  },

  backward_params({ rows, weight, modulation, dmodulation, dweight_rows }, { m, w, d, c }) {
    for (let i = 0; i < m; i++) {
      for (let ch = 0; ch < d; ch++) {
        let dy = 0;
        let dyn = 0;
        for (let q = 0; q < w; q++) {
          dy += rows[(i * w + q) * 2 * d + ch]!;
          dyn += rows[((i * w + q) * 2 + 1) * d + ch]!;
        }
        const shift = i * c * d + ch;
        // forward: y = n·weight·(1 + scale) + shift  ⇒  dshift += Σ dy, dscale += Σ dy·n·weight, dweight += Σ dy·n·(1 + scale)
        if (dmodulation) {
          dmodulation[shift] = dmodulation[shift]! + dy;
          dmodulation[shift + d] = dmodulation[shift + d]! + dyn * weight[ch]!;
        }
        dweight_rows[i * d + ch] = dyn * (1 + (modulation?.[shift + d] ?? 0));
      }
    }
  },

  backward_gate({ x, gate, dres, dx, dgate }, { m, l, d }) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < l; j++) {
        for (let ch = 0; ch < d; ch++) {
          const at = (i * l + j) * d + ch;
          const to = (i * 3 + 2) * d + ch;
          // forward: sum = res + gate·x  ⇒  dx = dsum·gate, dgate += Σ dsum·x
          dx[at] = dres[at]! * gate[to]!;
          dgate[to] = dgate[to]! + dres[at]! * x[at]!;
        }
      }
    }
  },
};

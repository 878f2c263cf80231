/** The float64 reference of attention.ts, which states the equations. */
import type { attention } from './attention.js';
import type { RefArray, References } from './spec.js';

const dot = (x: RefArray, i: number, y: RefArray, j: number, c: number) => {
  let sum = 0;
  for (let e = 0; e < c; e++) sum += x[i * c + e]! * y[j * c + e]!;
  return sum;
};

/** Adds f·(row j of x) to row i of y. */
const addRow = (y: RefArray, i: number, f: number, x: RefArray, j: number, c: number) => {
  for (let e = 0; e < c; e++) y[i * c + e]! += f * x[j * c + e]!;
};

/** Returns the scores of query row i with the keys of rows j0 to j0 + s, and the logarithm of the sum of their exponentials. */
function scoresOf(q: RefArray, k: RefArray, i: number, j0: number, s: number, c: number) {
  const scores = Array.from({ length: s }, (_, j) => dot(q, i, k, j0 + j, c) / Math.sqrt(c));
  const most = scores.reduce((a, b) => Math.max(a, b));
  return { scores, total: most + Math.log(scores.reduce((sum, v) => sum + Math.exp(v - most), 0)) };
}

export const references: References<typeof attention> = {
  forward({ q, k, v, y }, { b, s, c }) {
    y.fill(0, 0, b * s * c);
    for (let i = 0; i < b * s; i++) {
      const j0 = i - (i % s);
      const { scores, total } = scoresOf(q, k, i, j0, s, c);
      scores.forEach((score, j) => {
        addRow(y, i, Math.exp(score - total), v, j0 + j, c);
      });
    }
  },

  backward_query({ q, k, v, y, dy, dq, stats }, { b, s, c }) {
    dq.fill(0, 0, b * s * c);
    for (let i = 0; i < b * s; i++) {
      const j0 = i - (i % s);
      const { scores, total } = scoresOf(q, k, i, j0, s, c);
      const outer = dot(dy, i, y, i, c);
      stats[j0 + i] = total;
      stats[j0 + i + s] = outer;
      scores.forEach((score, j) => {
        // forward: y[i] += p·v[j]  ⇒  dp = dy[i]·v[j]
        const dp = dot(dy, i, v, j0 + j, c);
        // forward: p = exp(score - total)  ⇒  dscore = p·(dp - dy[i]·y[i])
        const dscore = Math.exp(score - total) * (dp - outer);
        // forward: score = q[i]·k[j]·c^-½  ⇒  dq[i] += dscore·k[j]·c^-½
        addRow(dq, i, dscore / Math.sqrt(c), k, j0 + j, c);
      });
    }
  },

  backward_key({ q, k, v, dy, stats, dk, dv }, { b, s, c }) {
    dk.fill(0, 0, b * s * c);
    dv.fill(0, 0, b * s * c);
    for (let i = 0; i < b * s; i++) {
      const j0 = i - (i % s);
      for (let j = j0; j < j0 + s; j++) {
        const p = Math.exp(dot(q, i, k, j, c) / Math.sqrt(c) - stats[j0 + i]!);
        // forward: y[i] += p·v[j]  ⇒  dv[j] += p·dy[i], dp = dy[i]·v[j]
        addRow(dv, j, p, dy, i, c);
        const dscore = p * (dot(dy, i, v, j, c) - stats[j0 + i + s]!);
        // forward: score = q[i]·k[j]·c^-½  ⇒  dk[j] += dscore·q[i]·c^-½
        addRow(dk, j, dscore / Math.sqrt(c), q, i, c);
      }
    }
  },
};

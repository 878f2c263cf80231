/** The float64 reference of causal_attention.ts, which states the equations. */
import type { causalAttention } from './causal_attention.js';
import type { RefArray, References } from './spec.js';

const dot = (x: RefArray, i: number, y: RefArray, j: number, c: number) => {
  let sum = 0;
  for (let e = 0; e < c; e++) sum += x[i + e]! * y[j + e]!;
  return sum;
};

/** Adds f·x[j…] to y[i…]. */
const add = (y: RefArray, i: number, f: number, x: RefArray, j: number, c: number) => {
  for (let e = 0; e < c; e++) y[i + e]! += f * x[j + e]!;
};

/** Calls `use` for every sequence i, head e of queries and its head k of keys and values. */
function eachHead({ m, n, h }: Record<'m' | 'n' | 'h', number>, use: (i: number, e: number, k: number) => void) {
  for (let i = 0; i < m; i++) for (let e = 0; e < h; e++) use(i, e, Math.floor((e * (n - h)) / 2 / h));
}

export const references: References<typeof causalAttention> = {
  forward({ qkv, keys, values, step, y, lse }, { m, l, n, c, t, b, h, scale }) {
    const g = (n - h) / 2;
    const start = (i: number) => (step ? Math.min(step[i % b]!, t - l) : 0);
    if (keys && values)
      for (let i = 0; i < m; i++)
        for (let a = 0; a < l; a++)
          for (let q = 0; q < g * c; q++) {
            const [from, to] = [(i * l + a) * n * c, (i * t + start(i) + a) * g * c];
            keys[to + q] = qkv[from + h * c + q]!;
            values[to + q] = qkv[from + (h + g) * c + q]!;
          }
    y.fill(0, 0, m * l * h * c);
    eachHead({ m, n, h }, (i, e, k) => {
      // Where key and value of position j are: in the cache or in qkv.
      const [ks, vs] = [keys ?? qkv, values ?? qkv];
      const at = (j: number, first: number) => (keys ? ((i * t + j) * g + k) * c : ((i * l + j) * n + first + k) * c);
      for (let a = 0; a < l; a++) {
        const [q, out] = [((i * l + a) * n + e) * c, ((i * l + a) * h + e) * c];
        const scores = Array.from({ length: start(i) + a + 1 }, (_, j) => dot(qkv, q, ks, at(j, h), c) * scale);
        const most = scores.reduce((s, v) => Math.max(s, v));
        const total = most + Math.log(scores.reduce((s, v) => s + Math.exp(v - most), 0));
        if (lse) lse[(i * h + e) * l + a] = total;
        for (const [j, score] of scores.entries()) add(y, out, Math.exp(score - total), vs, at(j, h + g), c);
      }
    });
  },

  backward({ qkv, y, lse, dy, dqkv }, { m, l, n, c, h, scale }) {
    const g = (n - h) / 2;
    dqkv.fill(0, 0, m * l * n * c);
    eachHead({ m, n, h }, (i, e, k) => {
      const at = (j: number, head: number) => ((i * l + j) * n + head) * c;
      for (let a = 0; a < l; a++) {
        const [q, out] = [at(a, e), ((i * l + a) * h + e) * c];
        const along = dot(dy, out, y, out, c);
        for (let j = 0; j <= a; j++) {
          const [key, value] = [at(j, h + k), at(j, h + g + k)];
          const p = Math.exp(dot(qkv, q, qkv, key, c) * scale - lse[(i * h + e) * l + a]!);
          // forward: y[a] += p·v[j]  ⇒  dv[j] += p·dy[a], dp = dy[a]·v[j]
          add(dqkv, value, p, dy, out, c);
          // forward: p = exp(score - lse)  ⇒  dscore = p·(dp - dy[a]·y[a])
          const dscore = p * (dot(dy, out, qkv, value, c) - along) * scale;
          // forward: score = q[a]·k[j]·scale  ⇒  dq[a] += dscore·k[j], dk[j] += dscore·q[a]
          add(dqkv, q, dscore, qkv, key, c);
          add(dqkv, key, dscore, qkv, q, c);
        }
      }
    });
  },
};

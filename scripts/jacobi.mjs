/**
 * Measures what Jacobi iteration over the next tokens would save: with the noise of each position fixed, a pass over a window of
 * guessed tokens gives the token after each, and those up to the first wrong guess are the very tokens that drawing one by one gives
 * (Song et al. 2021, "Accelerating feedforward computation via parallel nonlinear equation solving"). Prints how many tokens a pass
 * accepts on average, by window and guidance, in images of models/fashion-mnist. A pass over a window must cost less than that many
 * steps to be of use.
 *
 * How often a guess holds depends on how the noise becomes a token. The op `sample` takes a point of the cumulative distribution
 * ('point'): where that moves a little, the token is another one. The largest of the logits plus Gumbel noise of each token ('gumbel')
 * stays the same more often, but draws other images.
 *
 * node scripts/jacobi.mjs [IMAGES, default 10]
 */
import { bundle } from './bundle.mjs';
import { root } from './setup.mjs';

const { AiM } = await import(`${root}dist/aim.js`);
const { threefry2x32 } = await import(await bundle('src/core/random.ts'));

const WINDOWS = [2, 4, 8, 16, 32];
const GUIDANCE = [1, 1.5, 2];
const count = Number(process.argv[2] ?? 10);

const aim = await AiM.fromPretrained(`${root}models/fashion-mnist`, { device: 'wasm' });
const { num_tokens: T, vocab_size: V } = aim.config;
const classes = Array.from({ length: count }, (_, i) => i % aim.classes.length);

for (const cfgScale of GUIDANCE) {
  const { tokens: wanted } = await aim.generate({ classes, count, seed: 1, cfgScale });
  const { tokens: others } = await aim.generate({ classes, count, seed: 1 + count, cfgScale });
  for (const [name, sample] of Object.entries({ point, gumbel })) {
    for (const window of WINDOWS) {
      const { passes, codes } = await draw(window, cfgScale, sample, others);
      const equal = codes.filter((c, i) => c.every((token, t) => token === wanted[i][t])).length;
      if (sample === point && equal < count) throw new Error(`${count - equal} of ${count} images differ from those of generate`);
      const mean = (count * T) / passes;
      process.stdout.write(`guidance ${cfgScale}, ${name}, window ${window}: ${mean.toFixed(2)} tokens a pass\n`);
    }
  }
}
await aim.dispose();

/**
 * Draws all images at once. Returns their codes, and the passes of all of them together. The first guess of a token is that of another
 * image of the class: after a token that never follows the one before it, what the model says of the next ones is of no use.
 */
async function draw(window, cfgScale, sample, others) {
  const codes = others.map((other) => other.slice());
  const done = new Array(count).fill(0);
  let passes = 0;
  while (done.some((at) => at < T)) {
    const active = done.flatMap((at, i) => (at < T ? [i] : []));
    const sequences = active.map((i) => codes[i]);
    const labels = active.map((i) => classes[i]);
    const conditional = await aim.logits(sequences, labels);
    const free = cfgScale === 1 ? conditional : await aim.logits(sequences, null);
    active.forEach((i, k) => {
      passes++;
      const first = done[i];
      const end = Math.min(first + window, T);
      let exact = true;
      for (let t = first; t < end; t++) {
        const guided = Float64Array.from({ length: V }, (_, v) => {
          const u = free[k][t * V + v];
          return u + cfgScale * (conditional[k][t * V + v] - u);
        });
        const token = sample(guided, 1 + i, t);
        if (exact) done[i] = t + 1;
        exact &&= token === codes[i][t];
        codes[i][t] = token;
      }
    });
  }
  return { passes, codes };
}

/** The token that the op `sample` draws at temperature 1, by its equations (src/ops/sample.ts). */
function point(logits, seed, position) {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const e = logits.map((x) => Math.exp(x - most));
  const z = e.reduce((a, b) => a + b, 0);
  const weights = e.map((p) => Math.round((p / z) * 2 ** 30));
  const [random] = threefry2x32(seed, 0, position, 0);
  const target = Number((BigInt(random) * BigInt(weights.reduce((a, b) => a + b, 0))) >> 32n);
  let token = 0;
  for (let run = weights[0]; run <= target; ) run += weights[++token];
  return token;
}

/** Argmax of the logits plus Gumbel noise. */
function gumbel(logits, seed, position) {
  const noisy = logits.map((x, v) => x - Math.log(-Math.log((threefry2x32(seed, 1, position, v)[0] + 0.5) / 2 ** 32)));
  return noisy.indexOf(noisy.reduce((a, b) => Math.max(a, b)));
}

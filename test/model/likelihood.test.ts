/** Logits and likelihoods of known images against the golden values of the authors' modules. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { openSource } from '../../src/checkpoint/source.js';
import { OptionError } from '../../src/core/errors.js';
import { parseHeader, readFloats, readInts } from '../../src/io/safetensors.js';
import { fixture } from '../goldens.js';

describe.each(['mamba2-adaln', 'mamba1-adaln-group'])('%s', (name) => {
  let aim: AiM;
  let codes: Uint32Array[];
  let labels: number[];
  let goldens: { logits: Float32Array; loss: number };

  beforeAll(async () => {
    aim = await AiM.fromPretrained(fixture(name), { device: 'wasm' });
    const file = await openSource(`${fixture(name)}/expected.safetensors`);
    const header = await parseHeader(file);
    const tokens = await readInts(file, header, 'input.tokens');
    const T = aim.config.num_tokens;
    codes = Array.from({ length: tokens.length / T }, (_, i) => Uint32Array.from(tokens.subarray(i * T, (i + 1) * T), Number));
    labels = Array.from(await readInts(file, header, 'input.labels'), Number);
    const [loss] = await readFloats(file, header, 'forward.loss');
    goldens = { logits: await readFloats(file, header, 'forward.logits'), loss: loss! };
    await file.close();
  });
  afterAll(() => aim.dispose());

  it('logits are those of the authors', async () => {
    const got = await aim.logits(codes, labels);
    const size = aim.config.num_tokens * aim.config.vocab_size;
    const largest = goldens.logits.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
    const n = goldens.logits.length / size;
    expect(n).toBeGreaterThan(0);
    for (let i = 0; i < n; i++) {
      expect(got[i]).toHaveLength(size);
      const worst = got[i]!.reduce((m, v, k) => Math.max(m, Math.abs(v - goldens.logits[i * size + k]!)), 0);
      // As `aim verify` allows in float32.
      expect(worst).toBeLessThan(1e-4 * largest);
    }
  });

  it('the mean log-likelihood is the golden loss', async () => {
    const got = await aim.logLikelihood(codes, labels);
    expect(got).toHaveLength(codes.length);
    const nats = -got.reduce((sum, v) => sum + v, 0) / (codes.length * aim.config.num_tokens);
    expect(nats / goldens.loss).toBeCloseTo(1, 4);
  });

  it('one class counts for all images, and null is the unconditional class', async () => {
    const [one] = await aim.logLikelihood(codes.slice(0, 1), [1]);
    expect(await aim.logLikelihood(codes.slice(0, 2), 1)).toContain(one);
    const [free] = await aim.logLikelihood(codes.slice(0, 1), null);
    expect(free).not.toBe(one);
    expect(await aim.logLikelihood([], 0)).toEqual([]);
  });
});

it('refuses codes and classes that the model does not have', async () => {
  const aim = await AiM.fromPretrained(fixture('mamba2-adaln'), { device: 'wasm' });
  const { num_tokens: T, vocab_size: V, num_classes } = aim.config;
  const good = new Uint32Array(T);
  const wrong: [unknown, unknown, RegExp][] = [
    [good, 0, /^logits: the codes are .*pass a list/],
    [[good.subarray(1)], 0, new RegExp(`image 0 has ${T - 1} codes; this model has ${T}`)],
    [[undefined], 0, /image 0 has no codes/],
    [[good, [...good.subarray(1), V]], 0, new RegExp(`code ${T - 1} of image 1 is ${V}; codes go from 0`)],
    [[good], num_classes, /there is no class/],
    [[good], 'all', /there is no class "all"/],
    [[good], [0, 1], /there are 2 classes for 1 images/],
  ];
  for (const [codes, classes, message] of wrong) {
    await expect(aim.logits(codes as never, classes as never)).rejects.toThrow(message);
    await expect(aim.logits(codes as never, classes as never)).rejects.toThrow(OptionError);
  }
  await expect(aim.logLikelihood([good], 0, { signla: 1 } as never)).rejects.toThrow(/did you mean signal/);
  const reason = new Error('enough');
  await expect(aim.logits([good], 0, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  await aim.dispose();
});

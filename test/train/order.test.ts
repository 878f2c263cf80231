import { describe, expect, it } from 'vitest';
import { OptionError } from '../../src/core/errors.js';
import { imageRandom, uniform } from '../../src/core/random.js';
import { dropLabels, Order, shuffle } from '../../src/train/order.js';
import { checkSchedule, learningRate, type Schedule } from '../../src/train/schedule.js';

describe('Order', () => {
  it('takes every item at most once an epoch and omits only an incomplete last batch', () => {
    const order = new Order({ length: 23, batchSize: 4, seed: 1 });
    expect(order.stepsPerEpoch).toBe(5);
    for (let epoch = 0; epoch < 4; epoch++) {
      const seen = Array.from({ length: 5 }, (_, s) => [...order.batch(epoch * 5 + s)]).flat();
      expect(new Set(seen).size).toBe(20);
      expect(Math.max(...seen)).toBeLessThan(23);
      expect(order.epoch(epoch * 5 + 4)).toBe(epoch);
    }
    const one = new Order({ length: 3, batchSize: 3, seed: 0 });
    expect([...one.batch(8)].sort()).toEqual([0, 1, 2]);
  });

  it('gives the same items for a step in sequential and in random access', () => {
    const options = { length: 101, batchSize: 7, seed: 2 ** 53 - 1 };
    const order = new Order(options);
    const inTurn = Array.from({ length: 60 }, (_, s) => order.batch(s));
    for (const s of [59, 14, 13, 0, 30]) {
      expect(new Order(options).batch(s)).toEqual(inTurn[s]);
      expect(order.batch(s)).toEqual(inTurn[s]);
    }
    expect(new Order({ ...options, seed: 3 }).batch(0)).not.toEqual(inTurn[0]);
    expect(new Order({ ...options, seed: 2 ** 53 - 1 - 2 ** 32 }).batch(0)).not.toEqual(inTurn[0]);
    expect(inTurn[14]).not.toEqual(inTurn[0]);
  });

  it('is a uniform shuffle whose results are fixed', () => {
    const first = new Float64Array(8);
    for (let epoch = 0; epoch < 8000; epoch++) first[shuffle(8, 5, epoch)[0]!]!++;
    for (const n of first) expect(Math.abs(n - 1000)).toBeLessThan(150);
    expect([...shuffle(10, 42, 3)]).toMatchInlineSnapshot(`
      [
        4,
        2,
        7,
        5,
        1,
        8,
        0,
        6,
        3,
        9,
      ]
    `);
  });

  it('refuses a batch larger than the data', () => {
    expect(() => new Order({ length: 100, batchSize: 256, seed: 0 })).toThrow(
      'batchSize is 256, but there are only 100 training images; make it at most 100.',
    );
    for (const bad of [{ batchSize: 0 }, { batchSize: 1.5 }, { seed: -1 }, { seed: Number.NaN }])
      expect(() => new Order({ length: 10, batchSize: 2, seed: 0, ...bad })).toThrow(OptionError);
  });
});

describe('dropLabels', () => {
  it('drops the requested share of labels, depending only on seed, step and position', () => {
    const labels = Uint32Array.from({ length: 20000 }, (_, i) => i % 10);
    const o = { seed: 9, step: 4, rate: 0.1, unconditional: 10 };
    const dropped = dropLabels(labels, o);
    const n = dropped.filter((l) => l === 10).length;
    expect(Math.abs(n - 2000)).toBeLessThan(200);
    expect(dropped.every((l, i) => l === 10 || l === labels[i])).toBe(true);
    // Gradient accumulation gives the same.
    const parts = [0, 7000].map((first) => [...dropLabels(labels.slice(first, first ? 20000 : 7000), { ...o, first })]);
    expect(parts.flat()).toEqual([...dropped]);
    expect(dropLabels(labels, { ...o, step: 5 })).not.toEqual(dropped);
    expect(dropLabels(labels, { ...o, rate: 0 })).toEqual(labels);
    expect(dropLabels(labels, { ...o, rate: 1 }).every((l) => l === 10)).toBe(true);
  });
});

describe('random numbers', () => {
  it('are uniform and differ by stream, step, slot and draw', () => {
    const values = new Set<number>();
    let sum = 0;
    for (let i = 0; i < 4000; i++) {
      const u = uniform(1, 'order', i, 0);
      expect(u >= 0 && u < 1).toBe(true);
      sum += u;
      values.add(u).add(uniform(1, 'dropout', i, 0));
    }
    expect(values.size).toBe(8000);
    expect(Math.abs(sum / 4000 - 0.5)).toBeLessThan(0.03);
    const draws = [imageRandom(1, 0, 0), imageRandom(1, 0, 1), imageRandom(1, 1, 0), imageRandom(2, 0, 0)].flatMap((r) => [
      r(),
      r(),
      r(),
    ]);
    expect(new Set(draws).size).toBe(12);
    const again = imageRandom(1, 0, 1);
    expect([again(), again()]).toEqual(draws.slice(3, 5));
  });
});

describe('learningRate', () => {
  const of = (kind: Schedule['kind'], warmup: number, steps = 10) => {
    const s = { kind, lr: 2, steps, warmup };
    checkSchedule(s);
    return Array.from({ length: steps + 1 }, (_, i) => learningRate(s, i));
  };
  it('warms up, then stays constant or decreases to zero', () => {
    expect(of('constant', 0)).toEqual(new Array(11).fill(2));
    expect(of('constant', 4).slice(0, 5)).toEqual([0.5, 1, 1.5, 2, 2]);
    const linear = of('linear', 2);
    expect(linear.slice(0, 3)).toEqual([1, 2, 2]);
    expect(linear[6]).toBe(1);
    expect(linear[10]).toBe(0);
    const cosine = of('cosine', 0);
    expect(cosine[0]).toBe(2);
    expect(cosine[5]).toBeCloseTo(1, 12);
    expect(cosine[10]).toBeCloseTo(0, 12);
    for (let i = 0; i < 10; i++) expect(cosine[i]!).toBeGreaterThan(cosine[i + 1]!);
    expect(of('linear', 10).slice(8)).toEqual([1.8, 2, expect.any(Number)]);
  });

  it('refuses options that define no schedule', () => {
    const good = { kind: 'linear', lr: 1e-3, steps: 10, warmup: 0 } as const;
    for (const bad of [{ kind: 'step' }, { lr: 0 }, { lr: Number.NaN }, { steps: 0 }, { warmup: 11 }, { warmup: -1 }])
      expect(() => checkSchedule({ ...good, ...bad } as Schedule)).toThrow(OptionError);
  });
});

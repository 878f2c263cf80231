/** What a run records about its data: classes by name, the same data when it is resumed, and held-out images of every class. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { OptionError } from '../../src/core/errors.js';
import type { Codes } from '../../src/data/codes.js';
import { Digest } from '../../src/data/digest.js';
import { classRows, describeRows } from '../../src/train/classes.js';
import { openCheckpointFolder, type SavedCheckpoint, saveCheckpoint } from '../../src/train/folder.js';
import { spread } from '../../src/train/order.js';
import { Trainer } from '../../src/train/trainer.js';
import { CONFIG, codesFor } from './tiny_model.js';

describe("assignment of the data's classes to rows of the label embedding", () => {
  const model = ['emoji', 'faenza', 'file', 'moka', 'oxygen', 'web'];

  it('classes are assigned to the rows of the same names', () => {
    const data = ['emoji', 'faenza', 'moka'];
    const found = classRows(data, model, 6);
    expect(found).toEqual({ rows: [0, 1, 3], names: model, renamed: [] });
    expect(describeRows(found, data)).toBe('classes of the data → of the model: emoji → 0, faenza → 1, moka → 3');
    expect(classRows(['Caf\u00e9'], ['a', 'Cafe\u0301'], 2).rows).toEqual([1]);
  });

  it('new classes are assigned to rows without a name, then to rows whose class the data lacks', () => {
    const data = ['moka', 'new', 'newer'];
    const found = classRows(data, ['emoji', 'moka', '2'], 3);
    expect(found.rows).toEqual([1, 2, 0]);
    expect(found.names).toEqual(['newer', 'moka', 'new']);
    expect(found.renamed).toEqual([{ name: 'newer', row: 0, before: 'emoji' }]);
    expect(describeRows(found, data)).toMatch(/moka → 1, new → 2, newer → 0 \(was emoji\)$/);
  });

  it.each<[string[], string[] | undefined, number, number[], string[]]>([
    [['x', 'y'], undefined, 2, [0, 1], ['x', 'y']],
    [['x', 'y'], undefined, 3, [0, 1], ['x', 'y', '2']],
    [['0', '1', '10', '2'], undefined, 4, [0, 1, 2, 3], ['0', '1', '10', '2']],
    [['0', '1'], ['shirt', 'bag', 'shoe'], 3, [0, 1], ['shirt', 'bag', 'shoe']],
    [['7', '9'], undefined, 10, [7, 9], ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']],
    [['crane', 'crane'], ['a', 'crane', 'crane'], 3, [2, 1], ['a', 'crane', 'crane']],
    [['b', 'a'], ['a', 'b'], 2, [1, 0], ['a', 'b']],
  ])('%j in a model with %j of %i', (data, names, count, rows, after) => {
    const found = classRows(data, names, count);
    expect([...found.rows].sort()).toEqual([...rows].sort());
    expect(found.names).toEqual(after);
    expect(new Set(found.rows).size).toBe(data.length);
    // A run that is resumed finds the same rows.
    expect(classRows(data, found.names, count).rows).toEqual(found.rows);
  });
});

describe('a run', () => {
  let aim: AiM;
  let data: Codes;
  let dir: string;
  let saved: SavedCheckpoint;
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'aim-data-of-run-'));
    aim = await AiM.fromConfig({ ...CONFIG, num_classes: 4 }, { device: 'wasm', seed: 3 });
    aim.classes = ['c', 'x', 'a', 'y'];
    data = await codesFor(aim, 12);
    const trainer = new Trainer({ model: aim, data, ...options });
    for await (const _ of trainer.run()) void _;
    saved = await openCheckpointFolder(await saveCheckpoint(dir, trainer.checkpoint()));
    trainer.dispose();
  });
  afterAll(async () => {
    await aim.dispose();
    rmSync(dir, { recursive: true, force: true });
  });
  const options = { batchSize: 6, steps: 2, evalEvery: 0, lr: 1e-3 };
  const resume = async (changes: Partial<Codes>, given: object = {}, dataChanged?: boolean) => {
    const trainer = new Trainer({ model: aim, data: { ...data, ...changes }, ...options, ...given });
    try {
      await trainer.resume(saved, { dataChanged });
    } finally {
      trainer.dispose();
    }
  };

  it('trains classes by name, and the model has the names', () => {
    expect(aim.classes).toEqual(['c', 'b', 'a', 'y']);
    expect(saved.classes).toEqual(['c', 'b', 'a', 'y']);
  });

  it('trains the embeddings of those rows', async () => {
    const fresh = await AiM.fromConfig({ ...CONFIG, num_classes: 4 }, { device: 'wasm', seed: 3 });
    fresh.classes = ['c', 'x', 'a', 'y'];
    const name = [...fresh.model.named().keys()].find((n) => n.includes('cls_embed'))!;
    const before = await fresh.model.read(name);
    const trainer = new Trainer({
      model: fresh,
      data: { ...data, labels: data.labels.map(() => 0) },
      ...options,
      weightDecay: 0,
    });
    for await (const _ of trainer.run()) void _;
    trainer.dispose();
    const after = await fresh.model.read(name);
    const width = before.length / 5;
    const changed = [0, 1, 2, 3].map((row) =>
      before.subarray(row * width, (row + 1) * width).some((v, i) => v !== after[row * width + i]),
    );
    expect(changed).toEqual([false, false, true, false]);
    await fresh.dispose();
  });

  it('can be resumed on the same data with another lr, number of steps and evaluation', async () => {
    await resume({});
    await resume({}, { lr: 1e-4, steps: 9, evalEvery: 3 });
    await expect(resume({}, { seed: 8 })).rejects.toThrow(/trained with seed 0, now it is 8/);
    await expect(resume({}, { steps: 1 })).rejects.toThrow(/at step 2 already, and 1 steps are asked for/);
    await expect(resume({}, {}, true)).resolves.toBeUndefined();
  });

  it('refuses to resume on other data unless the caller declares that the data changed', async () => {
    const labels = data.labels.slice().reverse();
    const fewer = { codes: data.codes.slice(0, 8 * 16), labels: data.labels.slice(0, 8) };
    for (const [changes, message] of [
      [{ labels }, /not the same; give it the data that it was trained on, or say that the data has changed \(--data-changed;/],
      [{ codes: data.codes.slice().reverse() }, /not the same/],
      [fewer, /trained on 12 images with 14 held out, and the data has 8 and 14/],
      [{ eval: undefined }, /the data has 12 and 0/],
    ] as const) {
      await expect(resume(changes)).rejects.toThrow(OptionError);
      await expect(resume(changes)).rejects.toThrow(message);
      await resume(changes, {}, true);
    }
  });

  it('refuses to resume with other classes even then', async () => {
    for (const changed of [false, true])
      await expect(resume({ classes: ['a', 'b', 'd'] }, {}, changed)).rejects.toThrow(
        /trained on the classes a, b, c, and the data has .*d.*begin a new run from its weights \(--init\)/,
      );
    await expect(resume({ classes: ['b', 'a', 'c'] })).rejects.toThrow(/keeps its classes/);
  });

  it('can be resumed if an earlier version saved it without a record of its data', async () => {
    const { data: _, ...state } = saved.state;
    const trainer = new Trainer({ model: aim, data, ...options });
    await trainer.resume({ ...saved, state });
    trainer.dispose();
  });
});

it('evaluation uses images of every class', () => {
  const labels = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2];
  expect([...spread(labels, 10)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect([...spread(labels, 99)]).toHaveLength(10);
  expect([...spread(labels, 3)]).toEqual([0, 6, 9]);
  expect([...spread(labels, 6)].map((i) => labels[i])).toEqual([0, 0, 0, 1, 1, 2]);
  expect([...spread(labels, 2)].map((i) => labels[i])).toEqual([0, 1]);
  expect([...spread(Array(100).fill(0), 4)]).toEqual([0, 25, 50, 75]);
  expect([
    ...spread(
      Array.from({ length: 100 }, (_, i) => i),
      4,
    ),
  ]).toEqual([0, 25, 50, 75]);
  expect([...spread(labels, 0)]).toEqual([]);
});

it('the hash of data depends on every value, their order and their grouping', () => {
  const hex = (...lists: number[][]) => lists.reduce((d, list) => d.numbers(list), new Digest()).hex();
  const some = Array.from({ length: 1000 }, (_, i) => i);
  const all = [hex(some), hex([...some].reverse()), hex(some.slice(0, 999)), hex([...some, 0]), hex(some, []), hex([], some)];
  for (let i = 0; i < 1000; i++) all.push(hex(some.map((v, k) => (k === i ? v + 1 : v))));
  for (let bit = 0; bit < 32; bit++) all.push(hex(some.map((v, k) => (k === 7 ? (v ^ (1 << bit)) >>> 0 : v))));
  all.push(hex([1, 2], [3]), hex([1], [2, 3]), hex([1, 2, 3]), new Digest().text('a').hex(), new Digest().text('b').hex());
  expect(new Set(all).size).toBe(all.length);
  expect(all.every((h) => /^[0-9a-f]{16}$/.test(h))).toBe(true);
});

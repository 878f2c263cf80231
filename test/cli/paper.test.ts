/** `aim paper`: an experiment from the images to its table, which keeps what is finished. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, it, vi } from 'vitest';
import { AiM } from '../../src/aim.js';
import { parse } from '../../src/cli/command.js';
import { correlation, EXPERIMENTS } from '../../src/cli/paper/experiments.js';
import { paper } from '../../src/cli/paper/index.js';
import type { Material } from '../../src/cli/paper/material.js';
import { SCALES, type Scale } from '../../src/cli/paper/scale.js';
import { train } from '../../src/cli/paper/train.js';
import { OptionError } from '../../src/core/errors.js';
import { folderOf, png } from '../data/data_folders.js';
import { CONFIG, codesFor } from '../train/tiny_model.js';
import { call } from './in_process.js';

const out = folderOf({});
const device = ['--device', 'wasm', '--threads', '1', '--scale', 'tiny', '--out', out];
const results = (name: string) => JSON.parse(readFileSync(`${out}/${name}/results.json`, 'utf8'));

it('an experiment that is interrupted keeps its finished cells, and goes on after them', async () => {
  const data = folderOf(
    Object.fromEntries(
      Array.from({ length: 80 }, (_, i) => [
        `${i % 2 ? 'cat' : 'dog'}/${i}.png`,
        png(8, 8, (x, y) => [i % 2 ? 200 : 30, 9 * x + i, 9 * y]),
      ]),
    ),
  );
  // Smaller than tiny, for speed.
  Object.assign(SCALES.tiny as Scale, { samples: 12, steps: 2, tokenizerSteps: 1 });
  const args = ['ablation', data, '--size', '8', ...device];
  const stop = new AbortController();
  const write = vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    if (String(text).startsWith('2/3')) stop.abort(new Error('stopped'));
    return true;
  });
  await expect(paper.run(parse(paper, args)!, stop.signal)).rejects.toThrow('stopped');
  write.mockRestore();
  expect(readdirSync(`${out}/ablation/cells`)).toHaveLength(1);
  const [first, second] = results('ablation').rows;
  const text = await call(paper, ...args);
  expect(text.match(/done before/g)).toHaveLength(1);
  const { rows, cells } = results('ablation');
  expect(rows.slice(0, 2)).toEqual([first, second]);
  expect(rows.map(({ adaLN, PE, CFG }: Record<string, boolean>) => [adaLN, PE, CFG])).toEqual([
    [false, false, false],
    [false, false, true],
    [false, true, true],
    [true, true, true],
  ]);
  for (const row of rows)
    expect([Number.isFinite(row.FD), row['accuracy %'] >= 0, row.parameters > 0]).toEqual([true, true, true]);
  expect(new Set(rows.map(({ FD }: { FD: number }) => FD)).size).toBe(4);
  expect(readdirSync(`${out}/ablation/samples`)).toEqual(cells.map(({ name }: { name: string }) => `${name}.png`).sort());
  expect(readFileSync(`${out}/ablation/plot.svg`, 'utf8')).toMatch(/<svg.*row of the table/s);
  expect(readFileSync(`${out}/ablation/results.md`, 'utf8')).toContain('| adaLN | PE | CFG | parameters | FD | accuracy % |');
  // Other settings are other cells.
  expect((await call(paper, 'guidance', data, '--size', '8', ...device)).match(/done before/g)).toBeNull();
  expect(results('guidance').rows.map(({ sampling }: { sampling: string }) => sampling)).toContain('positions authors');
});

it('what an ablation takes away is zero after training, and the rest is trained', async () => {
  const aim = await AiM.fromConfig(CONFIG, { device: 'wasm', threads: 1, seed: 3 });
  try {
    const codes = await codesFor(aim);
    const scale = { ...SCALES.tiny, steps: 4, points: 2 };
    const material = { scale, codes: async () => codes, signal: new AbortController().signal } as unknown as Material;
    const points: number[] = [];
    const without = [
      '*.embeddings.position_embeddings.weight',
      '*.adaln_group.1.weight',
      '*.final_layer.adaLN_modulation.1.weight',
    ];
    await train(aim, material, { name: 'x', without, onPoint: async (step) => void points.push(step) });
    expect(points).toEqual([2, 4]);
    const zero = [];
    for (const name of aim.model.named().keys())
      if (name.startsWith('mamba.') && (await aim.model.read(name)).every((v) => v === 0)) zero.push(name);
    expect(zero.sort()).toEqual(without.map((end) => end.replace('*', 'mamba.backbone')).sort());
  } finally {
    await aim.dispose();
  }
});

it('time is measured without images', async () => {
  await call(paper, 'speed', ...device);
  const { rows, notes } = results('speed');
  expect(rows.map(({ model, tokens }: { model: string; tokens: number }) => [model, tokens])).toEqual(
    ['AiM', 'Transformer'].flatMap((model) => SCALES.tiny.tokens.map((tokens) => [model, tokens])),
  );
  // At these few tokens any power may come out, one below zero too.
  for (const model of ['AiM', 'Transformer'])
    expect(notes.join(' ')).toMatch(
      new RegExp(`The time of ${model} grows with the power -?[\\d.]+(e-\\d+)? of the number of tokens`),
    );
});

it('experiments have cells of different names and settings at every scale, and plots of no rows', () => {
  for (const { cells, plot, notes } of EXPERIMENTS)
    for (const scale of Object.values(SCALES)) {
      const all = cells(scale);
      expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
      expect(new Set(all.map(({ settings }) => JSON.stringify(settings))).size).toBe(all.length);
      expect(plot([])).toMatch(/^<svg/);
      expect(notes?.([]) ?? []).toBeInstanceOf(Array);
    }
  expect(
    correlation([
      [1, 3],
      [2, 2],
      [3, 1],
    ]),
  ).toBeCloseTo(-1, 12);
  expect(
    correlation([
      [0, 0],
      [1, 2],
      [2, 1],
    ]),
  ).toBeCloseTo(0.5, 12);
});

it('refuses what it does not know', async () => {
  await expect(call(paper, 'guidence', 'x')).rejects.toThrow(/no experiment guidence; did you mean guidance/);
  await expect(call(paper)).rejects.toThrow(/which experiment\?; it is one of scaling, groups/);
  await expect(call(paper, 'groups', '/nonexistent', '--out', out)).rejects.toThrow(/nonexistent/);
  const flat = folderOf({ 'a/1.png': png(8, 8, () => [1, 2, 3]) });
  await expect(call(paper, 'groups', flat, '--size', '8', '--out', out)).rejects.toBeInstanceOf(OptionError);
});

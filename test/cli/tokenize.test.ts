/** `aim tokenize`, as a user runs it. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { readCodes } from '../../src/data/codes.js';
import { FASHION_MNIST, type Files, folderOf, idxSet, jpg, NO_FASHION_MNIST, png } from '../data/data_folders.js';
import { FASHION } from '../goldens.js';

const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const aim = (...args: string[]) =>
  spawnSync(process.execPath, [cli, 'tokenize', ...args, '--device', 'wasm'], { encoding: 'utf8' });

const images = (): Files => {
  const files: Files = { 'cat/bad.png': 'damaged', 'cat/cut.jpg': jpg(20, 20, () => [1, 2, 3]).subarray(0, 300) };
  for (let i = 0; i < 4; i++) files[`cat/${i}.png`] = png(36, 40, (x, y) => [x * 7, y * 6, i * 60]);
  return files;
};

it('writes the codes of a folder and names skipped files', async () => {
  const dir = folderOf(images());
  const out = `${folderOf({})}/codes.safetensors`;
  const { status, stdout, stderr } = aim(dir, '--out', out, '--holdout', '0', '--augment', '2', '--flip', '--seed', '3');
  expect(status, stderr).toBe(0);
  expect(stdout).toBe(`${out}\n`);
  expect(stderr).toMatch(/6 images of 1 class \(cat\), so every image has the same label/);
  expect(stderr).toMatch(/skipped 2 files:\n {2}cat\/bad\.png: .*\n {2}cat\/cut\.jpg: cat\/cut\.jpg is a damaged JPEG/);
  const codes = await readCodes(out);
  expect([codes.labels.length, codes.classes, codes.eval]).toEqual([8, ['cat'], undefined]);
});

it('names the classes of IDX files and uses their test set as held-out data', async () => {
  const dir = folderOf({ ...idxSet(6), ...idxSet(3, 't10k'), 'names.json': '["x","y","z"]' });
  const [out, named] = [`${dir}/codes.safetensors`, `${dir}/named.safetensors`];
  expect(aim(dir, '--out', out, '--tokenizer', FASHION).status).toBe(0);
  expect(aim(dir, '--out', named, '--classes', `${dir}/names.json`, '--tokenizer', FASHION).status).toBe(0);
  const [codes, other] = [await readCodes(out), await readCodes(named)];
  expect([codes.classes, codes.labels.length, codes.eval!.labels.length]).toEqual([['0', '1', '2'], 6, 3]);
  expect(other).toEqual({ ...codes, classes: ['x', 'y', 'z'] });
});

it('refuses bad input and leaves no files', () => {
  const dir = folderOf(images());
  const idx = folderOf({ ...idxSet(6), 'bad.json': '{' });
  const empty = folderOf({});
  const out = `${empty}/c.safetensors`;
  const cases: [string[], RegExp][] = [
    [[], /which data\?/],
    [['/nonexistent', '--out', out], /there is no file or folder \/nonexistent/],
    [[empty, '--out', out], /holds nothing; data is a folder/],
    [[dir, '--out', 'codes.npz'], /--out is codes\.npz; its name must end/],
    [[dir, '--out', `${empty}/no/c.safetensors`], /its folder does not exist/],
    [[dir, '--out', out, '--holdout', '1'], /--holdout is 1; it must be/],
    [[dir, '--out', out, '--augment', '1.5'], /--augment is 1\.5; it must be an integer/],
    [[dir, '--out', out, '--flip'], /ask for some with --augment/],
    [[dir, '--out', out, '--jitter', '0.2'], /--jitter changes random crops; ask for some with --augment/],
    [[dir, '--out', out, '--classes', 'a'], /rename those instead/],
    [[dir, '--out', out, '--tokenizer', '/nonexistent'], /there is no folder or file \/nonexistent/],
    [[dir, '--out', out, '--dtype', 'int8'], /--dtype is "int8"; it must be one of auto, f32, f16/],
    [[idx, '--out', out, '--classes', 'a,b'], /label 2 has no name among the 2 classes/],
    [[idx, '--out', out, '--classes', `${idx}/bad.json`], /is no JSON list of names/],
    [[idx, '--out', out, '--holdout', '0.1'], /leave it out/],
    [[idx, '--out', out, '--augment', '2'], /images are used whole/],
    [[idx, '--out', out, '--batch', '0'], /--batch is 0/],
  ];
  for (const [args, message] of cases) {
    const { status, stderr } = aim(...args);
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
  }
  expect(readdirSync(empty)).toEqual([]);
});

it('leaves no files when interrupted', async ({ skip }) => {
  if (process.platform === 'win32') return skip('Windows ends processes without these signals');
  if (!existsSync(FASHION_MNIST)) return skip(NO_FASHION_MNIST);
  const dir = folderOf({});
  writeFileSync(`${dir}/c.safetensors`, 'old');
  const child = spawn(process.execPath, [cli, 'tokenize', FASHION_MNIST, '--device', 'wasm', '--out', `${dir}/c.safetensors`]);
  let text = '';
  child.stderr.on('data', (part) => {
    if (!text.includes('encoding') && `${part}`.includes('encoding')) setTimeout(() => child.kill('SIGINT'), 300);
    text += part;
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  expect(code).toBe(130);
  expect(text).toMatch(/aim: interrupted/);
  expect(readdirSync(dir)).toEqual(['c.safetensors']);
});

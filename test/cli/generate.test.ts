/** `aim generate` from a picture, and strips between two classes or seeds. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { generate } from '../../src/cli/generate.js';
import { decodePng } from '../../src/io/images/png.js';
import { encodePng } from '../../src/io/images/png_encode.js';
import { openCheckpointFolder, saveCheckpoint } from '../../src/train/folder.js';
import { Trainer } from '../../src/train/trainer.js';
import { fixture } from '../goldens.js';
import { CONFIG, codesFor } from '../train/tiny_model.js';
import { call } from './in_process.js';

const SMALL = fixture('mamba2-adaln');
let dir: string;
const at = (name: string) => join(dir, name);
const run = (...args: string[]) => call(generate, SMALL, '-d', 'wasm', '--threads', '1', ...args);
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'aim-strip-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

it('--from keeps rows of a picture; --mix and --to-seed draw strips', async () => {
  const data = Uint8Array.from({ length: 20 * 9 * 3 }, (_, i) => (i * 37) % 256);
  writeFileSync(at('photo.png'), await encodePng({ width: 20, height: 9, data }));
  await run('--from', at('photo.png'), '--rows', '4', '-c', '1', '-o', at('same.png'));
  await run('--from', at('photo.png'), '--rows', '2', '-c', '1', '-s', '5', '-o', at('other.png'));
  await run('--mix', '1,4', '--strip', '3', '--to-seed', '9', '-n', '2', '-s', '2', '-o', at('strip.png'));
  await run('--mix', '1,4', '--strip', '3', '--to-seed', '9', '-n', '2', '-s', '2', '-o', at('strips'));

  const aim = await AiM.fromPretrained(SMALL, { device: 'wasm', threads: 1 });
  const image = readFileSync(at('photo.png'));
  const rgb = async (name: string) => (await decodePng(readFileSync(at(name)))).data;
  const drawn = async (options: Parameters<AiM['generate']>[0]) => (await aim.generate(options)).images[0]!.toRGB();
  expect(await rgb('same.png')).toEqual(await drawn({ classes: 1, from: { image, rows: 4 } }));
  expect(await rgb('other.png')).toEqual(await drawn({ classes: 1, seed: 5, from: { image, rows: 2 } }));
  const { image_size: size } = aim.config;
  const strip = await decodePng(readFileSync(at('strip.png')));
  expect([strip.width, strip.height]).toEqual([3 * size + 4, 2 * size + 2]);
  const names = readdirSync(at('strips'));
  expect(names).toHaveLength(6);
  expect(await rgb(`strips/${names[4]}`)).toEqual(
    await drawn({ classes: { from: 1, to: 4, at: 0.5 }, seed: { from: 3, to: 10, at: 0.5 } }),
  );
  expect(names[5]).toMatch(/^5-.*-seed-10\.png$/);
  await aim.dispose();
});

it('--ema draws with the moving average of a run', async () => {
  const aim = await AiM.fromConfig(CONFIG, { device: 'wasm', threads: 1, seed: 3 });
  const trainer = new Trainer({
    model: aim,
    data: await codesFor(aim),
    steps: 3,
    batchSize: 6,
    lr: 0.1,
    emaDecay: 0.9,
    evalEvery: 0,
  });
  for await (const _ of trainer.run());
  await saveCheckpoint(at('run'), trainer.checkpoint());
  const want = await trainer.withEma(async () => (await aim.generate({ count: 2 })).tokens.join());
  const trained = (await aim.generate({ count: 2 })).tokens.join();
  trainer.dispose();
  await aim.dispose();
  expect(want).not.toBe(trained);

  const draw = (...args: string[]) => call(generate, at('run'), '-d', 'wasm', '--threads', '1', '-n', '2', ...args);
  await draw('--ema', '-o', at('averaged.npz'));
  await draw('-o', at('trained.npz'));
  const again = await AiM.fromPretrained(at('run'), { device: 'wasm', threads: 1 });
  expect((await again.generate({ count: 2 })).tokens.join()).toBe(trained);
  await again.loadPart('mamba.', join((await openCheckpointFolder(at('run'))).path, 'ema.safetensors'));
  expect((await again.generate({ count: 2 })).tokens.join()).toBe(want);
  expect(readFileSync(at('averaged.npz')).equals(readFileSync(at('trained.npz')))).toBe(false);
  await again.dispose();
  await expect(call(generate, SMALL, '--ema', '-o', at('none.png'))).rejects.toThrow(/keeps no moving average; leave --ema out/);
  await expect(call(generate, '--ema', '-o', at('none.png'))).rejects.toThrow(/say which/);
});

it('refuses flags that do not fit together', async () => {
  writeFileSync(at('text.png'), 'no picture');
  const out = ['-o', at('none.png')];
  for (const [args, message] of [
    [['--from', at('photo.png')], /--from FILE and --rows N belong together/],
    [['--rows', '2'], /belong together/],
    [['--from', at('photo.png'), '--rows', '5'], /rows is 5; this model has 4 rows/],
    [['--from', at('absent.png'), '--rows', '1'], /no folder or file .*absent\.png/],
    [['--from', at('text.png'), '--rows', '1'], /text\.png is not a/],
    [['--strip', '3'], /--strip needs the two ends/],
    [['--to-seed', '5', '--strip', '1000', '-n', '5000'], /the number of images, .* is 5000000/],
    [['--mix', '1'], /--mix is "1"; give two classes/],
    [['--mix', '1,99'], /no class "99"/],
    [['--mix', '1,2', '-c', '3'], /leave --class out/],
    [['--background', 'black'], /--background is behind a picture/],
  ] as const)
    await expect(run(...args, ...out), args.join(' ')).rejects.toThrow(message);
});

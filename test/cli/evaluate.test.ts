/** `aim evaluate`, as a user runs it. */
import { spawnSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Zippable, zipSync } from 'fflate';
import { expect, it } from 'vitest';
import { inceptionNetwork } from '../../src/evaluate/inception.js';
import { encodeNpz } from '../../src/io/npz.js';
import { type Files, folderOf, png } from '../data/data_folders.js';
import { noise, noiseWeights } from '../evaluate/inception_noise.js';
import { FASHION } from '../goldens.js';

const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const cwd = folderOf({});
const aim = (...args: string[]) =>
  spawnSync(process.execPath, [cli, 'evaluate', ...args, '--device', 'wasm'], { encoding: 'utf8', cwd });

/** n pictures of size × size in two class folders. */
function pictures(n: number, size: number, seed: string): Files {
  const u = noise(seed, n);
  return Object.fromEntries(
    Array.from({ length: n }, (_, i) => {
      const picture = png(size, size, (x, y) => [128 + 100 * u[i]!, (x * 37 + i * 11) % 256, (y * 53 + i) % 256]);
      return [`${i % 2 ? 'cat' : 'dog'}/${i}.png`, picture];
    }),
  );
}

it('compares with the features of the FID network', () => {
  const weights = `${folderOf({ 'inception.safetensors': noiseWeights(inceptionNetwork()) })}/inception.safetensors`;
  const [samples, reference] = [folderOf(pictures(2, 8, 'a')), folderOf(pictures(2, 8, 'b'))];
  const { status, stdout, stderr } = aim(samples, '--reference', reference, '--inception', weights);
  expect(status, stderr).toBe(0);
  expect(stdout).toMatch(/^features: of the FID network$/m);
  expect(stdout).toMatch(/^FID +\d+\.\d{3}$/m);
  expect(stdout).toMatch(/^sFID +\d+\.\d{3}$/m);
  expect(stdout).toMatch(/^no Inception Score: it takes at least 10 samples$/m);
  expect(stdout).toMatch(/^no precision: it takes more than 3 images of both kinds$/m);
  expect(stderr).toMatch(/2 images are fewer than the 2048 features/);
  expect(readdirSync(`${cwd}/out/evaluate`)).toHaveLength(2);
  const json = aim(samples, '-r', reference, '-i', weights, '--json');
  const fid = Number(/^FID +(.*)$/m.exec(stdout)![1]);
  expect(JSON.parse(json.stdout).result.metrics.fid).toBeCloseTo(fid, 2);
});

it('takes zip archives as samples and as reference', () => {
  const archive = (name: string, files: Files) => {
    writeFileSync(`${cwd}/${name}`, zipSync(files as Zippable));
    return name;
  };
  const set = pictures(12, 8, 'e');
  const args = (samples: string, reference: string) => [samples, '-r', reference, '--features', 'own', '--json'];
  const zips = aim(...args(archive('samples.zip', set), archive('reference.zip', pictures(40, 8, 'c'))));
  expect(zips.status, zips.stderr).toBe(0);
  const folders = aim(...args(folderOf(set), folderOf(pictures(40, 8, 'c'))));
  expect(folders.status, folders.stderr).toBe(0);
  expect(JSON.parse(zips.stdout).result.metrics).toEqual(JSON.parse(folders.stdout).result.metrics);
});

it('draws with a model, and continues with what is kept; own features have names of their own', () => {
  const reference = folderOf(pictures(40, 32, 'c'));
  const args = [FASHION, '-r', reference, '--features', 'own', '--cache', `${cwd}/own`, '--shard', '8', '--cfg-scale', '1'];
  const first = aim(...args, '--count', '8');
  expect(first.status, first.stderr).toBe(0);
  expect(first.stdout).toMatch(/these figures are no FID/);
  expect(first.stdout).toMatch(/^own Fréchet distance +\d+\.\d{3}$/m);
  expect(first.stdout).not.toMatch(/^(FID|sFID|Inception|precision|KID)/m);
  const files = readdirSync(`${cwd}/own`).length;
  const more = aim(...args, '--count', '16');
  expect(more.status, more.stderr).toBe(0);
  // One more shard of samples; the classifier and the reference are kept.
  expect(readdirSync(`${cwd}/own`)).toHaveLength(files + 1);
});

it('refuses bad input', async () => {
  const samples = folderOf(pictures(4, 8, 'd'));
  const other = `${cwd}/other.safetensors`;
  writeFileSync(other, noiseWeights(inceptionNetwork({ divisor: 16, side: 75 })));
  const statistics = `${cwd}/statistics.npz`;
  writeFileSync(statistics, await encodeNpz({ arr_1: { dtype: '<f4', shape: [1], data: new Float32Array(1) } }));
  const cases: [string[], RegExp][] = [
    [[], /which samples\?/],
    [[samples], /--reference is missing/],
    [[samples, '-r', samples], /--inception is missing, the weights of the FID network.*--features own/],
    [[samples, '-r', samples, '-i', '/nonexistent.pth'], /nonexistent\.pth/],
    [
      [samples, '-r', samples, '-i', other],
      /Conv2d_1a_3x3\.conv\.weight has shape \[2, 3, 3, 3\] and the FID network \[32, 3, 3, 3\]/,
    ],
    [[samples, '-r', samples, '-i', other, '--count', '9'], /--count is for a model that draws/],
    [[samples, '-r', samples, '--features', 'own', '-i', other], /not both/],
    [[samples, '-r', statistics, '--features', 'own'], /pass a data set with classes/],
    [['/nonexistent', '-r', samples, '-i', other], /there is no folder or file \/nonexistent/],
  ];
  for (const [args, message] of cases) {
    const { status, stderr } = aim(...args);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/at .*:\d+:\d+/);
    expect(status).toBe(2);
  }
});

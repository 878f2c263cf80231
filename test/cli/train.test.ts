/** `aim train` and `aim export` in this process, on a tiny model; signals and exits are tested with the built command. */
import { spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { zipSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AiM } from '../../src/aim.js';
import { parse } from '../../src/cli/command.js';
import { exportModel } from '../../src/cli/export.js';
import { readSettings } from '../../src/cli/train/flags.js';
import { trainModel } from '../../src/cli/train/model.js';
import { trainTokenizer } from '../../src/cli/train/tokenizer.js';
import { CheckpointError, OptionError, TrainingError } from '../../src/core/errors.js';
import { encodeCodes, readCodes } from '../../src/data/codes.js';
import { encodeSafetensors, parseHeader, readFloats } from '../../src/io/safetensors.js';
import { writeAtomic } from '../../src/platform/files.js';
import { saveCheckpoint } from '../../src/train/folder.js';
import { Trainer } from '../../src/train/trainer.js';
import { grey, png } from '../data/data_folders.js';
import { CONFIG, codesFor } from '../train/tiny_model.js';
import { call } from './in_process.js';

const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
let dir: string;
const at = (name: string) => join(dir, name);

beforeAll(async () => {
  if (!existsSync(cli)) throw new Error('dist/cli.js is missing; run `npm run build` first (npm test does)');
  dir = mkdtempSync(join(tmpdir(), 'aim-cli-train-'));
  const model = await AiM.fromConfig(CONFIG, { device: 'wasm', seed: 1 });
  const codes = await codesFor(model, 12);
  await writeAtomic(at('codes.safetensors'), encodeCodes(codes));
  await writeAtomic(at('other.safetensors'), encodeCodes({ ...codes, labels: codes.labels.slice().reverse() }));
  const trainer = new Trainer({ model, data: codes, steps: 1, batchSize: 6 });
  await saveCheckpoint(at('base'), trainer.checkpoint());
  trainer.dispose();
  await model.dispose();
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const train = (out: string, ...args: string[]) => call(trainModel, '--out', at(out), '--device', 'wasm', ...args);
const begin = (out: string, ...args: string[]) =>
  train(out, at('codes.safetensors'), '--init', at('base'), '--batch-size', '6', '--steps', '4', '--eval-every', '2', ...args);

describe('pictures in a zip archive, with a table of their classes and changes of colour', () => {
  const tokenizer = (out: string, ...args: string[]) => call(trainTokenizer, '--out', at(out), '--device', 'wasm', ...args);

  it('train a tokenizer that continues exactly, without the flags again', async () => {
    const names = Array.from({ length: 8 }, (_, i) => `${i}.png`);
    const picture = (i: number) => png(9, 11, (x, y) => [x * 20, y * 20, i * 30]);
    writeFileSync(at('pictures.zip'), zipSync(Object.fromEntries(names.map((name, i) => [`pictures/${name}`, picture(i)]))));
    writeFileSync(
      at('labels.csv'),
      `file,label\n${names.map((name, i) => `${name},${i % 2 ? 'odd' : 'even'}`).join('\n')}\nno.png,odd\n`,
    );
    writeFileSync(at('zip.json'), JSON.stringify({ model: CONFIG }));
    const data = [at('pictures.zip'), '--labels', at('labels.csv'), '--jitter', '0.3', '--holdout', '0'];
    const given = [...data, '--config', at('zip.json'), '--batch-size', '4', '--lr', '1e-3'];
    const said = await tokenizer('whole', ...given, '--steps', '4');
    expect(said).toMatch(/8 images, none held out\n2 classes: even 4, odd 4\n/);
    expect(said).toMatch(/skipped 1 file:\n {2}no\.png: named in .*labels\.csv, but not in .*pictures\.zip\/pictures\n/);
    await tokenizer('halves', ...given, '--steps', '2');
    await tokenizer('halves', '--resume', '--steps', '4');
    const weights = (run: string) => readFileSync(at(`${run}/step-00000004/model.safetensors`));
    expect(weights('halves').equals(weights('whole'))).toBe(true);
    await tokenizer('plain', ...given.filter((arg) => arg !== '--jitter' && arg !== '0.3'), '--steps', '4');
    expect(weights('plain').equals(weights('whole'))).toBe(false);
    await expect(tokenizer('halves', '--resume', '--jitter', '0.1')).rejects.toThrow(/was trained with --jitter 0\.3/);
    await expect(tokenizer('halves', '--resume', '--labels', at('other.csv'))).rejects.toThrow(/was trained with --labels/);
    const model = train('none', at('pictures.zip'), '--labels', at('labels.csv'), '--jitter', '0.1', '--tokenizer', at('whole'));
    await expect(model).rejects.toThrow(/--jitter changes random crops; ask for some with --augment N/);
  });
});

describe('a run', () => {
  beforeAll(() => begin('run'));

  it('refuses flags that contradict it, and accepts the others when resumed', async () => {
    const big = at('big.json');
    const same = at('same.json');
    writeFileSync(big, JSON.stringify({ model: { ...CONFIG, n_layer: 3 } }));
    writeFileSync(same, JSON.stringify({ model: { ...CONFIG, num_classes: 9 } }));
    const refused: [string[], RegExp][] = [
      [['--preset', 'aim-b'], /--preset aim-b is another architecture than that of the run/],
      [['--config', big], /the model in --config is another architecture/],
      [['--init', at('elsewhere')], /was begun with --init .*base and is continued from its own weights; leave --init out/],
      [['--tokenizer', at('base')], /was begun without --tokenizer/],
      [[at('other.safetensors')], /not the same; give it the data .*--data-changed/],
      [['--batch-size', '4'], /trained with batchSize 6, now it is 4; leave --batch-size out/],
    ];
    for (const [args, message] of refused) {
      const error = await train('run', '--resume', ...args).catch((e) => e);
      expect(error).toBeInstanceOf(OptionError);
      expect(error.message).toMatch(message);
      expect(existsSync(at('run/.lock'))).toBe(false);
    }
    await train('run', '--resume', '--config', same, '--init', at('base'), '--lr', '0.001', '--steps', '5');
    await train('run', '--resume', at('other.safetensors'), '--data-changed', '--steps', '6');
    expect(readFileSync(at('run/latest'), 'utf8')).toBe('step-00000006\n');
    await expect(begin('new', '--data-changed')).rejects.toThrow(/--data-changed is for runs that are continued/);
  });

  it('saves as often without held-out images, where nothing is evaluated', async () => {
    await writeAtomic(at('all.safetensors'), encodeCodes({ ...(await readCodes(at('codes.safetensors'))), eval: undefined }));
    const args = ['--init', at('base'), '--batch-size', '6', '--steps', '5', '--eval-every', '2', '--keep', '9'];
    await train('all', at('all.safetensors'), ...args);
    const names = (folder: string, pattern: RegExp) => readdirSync(at(folder)).filter((name) => pattern.test(name));
    expect(names('all', /^step-/)).toEqual(['step-00000002', 'step-00000004', 'step-00000005']);
    expect(names('all/samples', /./)).toHaveLength(3);
  });

  it('that is stopped while it evaluates has the step that it saves in its metrics', async () => {
    const abort = new AbortController();
    const spy = vi.spyOn(Trainer.prototype, 'evaluate').mockImplementation(async () => {
      abort.abort(new Error('stopped'));
      throw abort.signal.reason;
    });
    const args = [at('codes.safetensors'), '--init', at('base'), '--out', at('stopped'), '--device', 'wasm', '--batch-size', '6'];
    const given = parse(trainModel, [...args, '--steps', '4', '--eval-every', '2'])!;
    const mute = vi.spyOn(process.stderr, 'write').mockImplementation(() => true);
    try {
      await expect(trainModel.run(given, abort.signal)).rejects.toThrow('stopped');
    } finally {
      spy.mockRestore();
      mute.mockRestore();
    }
    const steps = () =>
      readFileSync(at('stopped/metrics.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).step);
    expect([readFileSync(at('stopped/latest'), 'utf8'), steps()]).toEqual(['step-00000002\n', [1, 2]]);
    await train('stopped', '--resume');
    expect(steps()).toEqual([1, 2, 3, 4]);
  });

  it('writes the sample and the plot that a kill prevented, and removes temporary files', async () => {
    cpSync(at('run'), at('killed'), { recursive: true });
    rmSync(at('killed/loss.svg'));
    rmSync(at('killed/samples'), { recursive: true });
    mkdirSync(at('killed/samples'));
    writeFileSync(at('killed/samples/step-00000006.png.4194999-abc.tmp'), 'half');
    await train('killed', '--resume');
    expect(readdirSync(at('killed/samples'))).toEqual(['step-00000006.png']);
    expect(readFileSync(at('killed/samples/step-00000006.png'))).toEqual(readFileSync(at('run/samples/step-00000006.png')));
    expect(existsSync(at('killed/loss.svg'))).toBe(true);
  });

  it('reports from which step it continues when its newest checkpoint is damaged', async () => {
    cpSync(at('run'), at('damaged'), { recursive: true });
    const path = at('damaged/step-00000006/optimizer.safetensors');
    const bytes = readFileSync(path);
    bytes.writeFloatLE(Number.NaN, bytes.length - 4);
    writeFileSync(path, bytes);
    const text = await train('damaged', '--resume', at('codes.safetensors'), '--steps', '6');
    expect(text).toMatch(/newest checkpoint of .* is damaged or missing; the run continues from .*step-00000005/);
    expect(readFileSync(at('damaged/latest'), 'utf8')).toBe('step-00000006-2\n');
  });

  it('keeps its good checkpoint when it diverges', async () => {
    const error = await begin('wild', '--lr', '1e30', '--warmup', '0', '--clip-norm', '0', '--keep', '1').catch((e) => e);
    expect(error).toBeInstanceOf(TrainingError);
    expect(error.message).toMatch(/diverged.*--resume --lr 1e\+?29|not saved/);
    expect(readdirSync(at('wild')).filter((name) => /^(step|latest|\.lock)/.test(name))).toEqual([]);
  });

  it('assigns classes by name and reports the assignment', async () => {
    cpSync(at('base/step-00000000'), at('named'), { recursive: true });
    writeFileSync(at('named/classes.json'), '["c","x","a"]');
    const text = await train('by-name', at('codes.safetensors'), '--init', at('named'), '--batch-size', '6', '--steps', '1');
    expect(text).toMatch(/classes of the data → of the model: a → 2, b → 1 \(was x\), c → 0\n/);
    expect(JSON.parse(readFileSync(at('by-name/step-00000001/classes.json'), 'utf8'))).toEqual(['c', 'b', 'a']);
  });

  it('of the tokenizer records its images', async () => {
    for (const name of ['a/1.png', 'a/2.png', 'b/1.png', 'b/2.png']) {
      mkdirSync(at(`images/${name[0]}`), { recursive: true });
      writeFileSync(at(`images/${name}`), png(12, 12, grey(name.charCodeAt(2))));
    }
    const args = (...more: string[]) => ['--out', at('tok'), '--device', 'wasm', ...more];
    const text = await call(trainTokenizer, at('images'), ...args('--init', at('base'), '--batch-size', '2', '--steps', '1'));
    expect(text).toMatch(/step 1: held-out loss .*, [1-9]\d* of 32 codes in use/);
    expect(JSON.parse(readFileSync(at('tok/metrics.jsonl'), 'utf8')).codes_in_use).toBeGreaterThan(0);
    await call(trainTokenizer, ...args('--resume', '--steps', '2'));
    writeFileSync(
      at('images/a/1.png'),
      png(13, 12, (x, y) => [x * y, x, y]),
    );
    const again = call(trainTokenizer, ...args('--resume', '--steps', '3'));
    await expect(again).rejects.toThrow(/not the same/);
  });

  it('of the tokenizer with further losses keeps what they need, and says what they are', async () => {
    for (const name of ['a/1.png', 'a/2.png', 'b/1.png', 'b/2.png']) {
      mkdirSync(at(`losses/${name[0]}`), { recursive: true });
      writeFileSync(at(`losses/${name}`), png(12, 12, grey(name.charCodeAt(0))));
    }
    const args = (...more: string[]) => ['--out', at('losses-run'), '--device', 'wasm', ...more];
    const disc = [
      '--discriminator',
      'patchgan',
      '--disc-channels',
      '2',
      '--disc-start',
      '1',
      '--adaptive',
      '--restart-codes',
      '2',
    ];
    const chosen = ['--batch-size', '2', '--steps', '2', '--perceptual', 'own', ...disc];
    const text = await call(trainTokenizer, at('losses'), ...args('--init', at('base'), ...chosen));
    expect(text).toMatch(
      /\nlosses: l2, own_features × 1, discriminator patchgan \(.* parameters\) × 0.5, adaptive from step 1\n/,
    );
    expect(text).toMatch(/\ncodes restart after 2 steps without use\n/);
    await call(trainTokenizer, ...args('--resume', '--steps', '3'));
    const lines = readFileSync(at('losses-run/metrics.jsonl'), 'utf8').trim().split('\n');
    const [first, , third] = lines.map((line) => JSON.parse(line));
    expect(first).not.toHaveProperty('discriminator');
    for (const name of ['own_features', 'generator', 'discriminator', 'discWeight', 'codesRestarted', 'eval_own_features'])
      expect(third[name], name).toEqual(expect.any(Number));
    const refused: [string[], RegExp][] = [
      [['--perceptual', 'none'], /was trained with --perceptual own; leave --perceptual out/],
      [['--disc-weight', '1'], /trained with discWeight 0.5, now it is 1; leave --disc-weight out/],
      [['--lpips', 'x.pth'], /--lpips gives the weights of LPIPS, and --perceptual is own/],
    ];
    for (const [more, message] of refused)
      await expect(call(trainTokenizer, ...args('--resume', '--steps', '4', ...more))).rejects.toThrow(message);
  });

  it('names the files that it cannot use, also in skipped.txt', async () => {
    for (const name of ['a/1.png', 'a/2.png', 'b/1.png', 'b/2.png']) {
      mkdirSync(at(`partly/${name[0]}`), { recursive: true });
      writeFileSync(at(`partly/${name}`), png(12, 12, grey(9)));
    }
    writeFileSync(at('partly/a/3.png'), png(12, 12, grey(9)).subarray(0, 40));
    writeFileSync(at('partly/b/notes.txt'), 'no image');
    const args = ['--out', at('partly-run'), '--device', 'wasm', '--init', at('base'), '--batch-size', '2', '--steps', '3'];
    const text = await call(trainTokenizer, at('partly'), ...args);
    expect(text).toMatch(/skipped .*\n {2}\S*notes\.txt: /);
    expect(text).toMatch(/\n {2}\S*3\.png: .*damaged PNG/);
    const list = readFileSync(at('partly-run/skipped.txt'), 'utf8').trim().split('\n').sort();
    expect(list).toEqual([expect.stringMatching(/^\S*a\/3\.png\t/), expect.stringMatching(/^\S*b\/notes\.txt\t/)]);
  });
});

describe('options', () => {
  it('are checked before any work starts', async () => {
    for (const value of ['0', '1.5']) expect(() => parse(trainModel, ['--keep', value])).toThrow(/--keep is/);
    for (const [text, message] of [
      ['null', /not a JSON object of options/],
      ['5', /not a JSON object of options/],
      ['[]', /not a JSON object of options/],
      ['{', /not valid JSON/],
      ['{"keep":3}', /there is no option keep/],
      ['{"lr":"x"}', /lr is "x"; it must be/],
    ] as const) {
      writeFileSync(at('options.json'), text);
      const error = await readSettings({ config: at('options.json') }).catch((e) => e);
      expect(error).toBeInstanceOf(OptionError);
      expect(error.message).toMatch(message);
    }
    writeFileSync(at('options.json'), '{"model":null}');
    await expect(begin('none', '--config', at('options.json'))).rejects.toThrow(/model is null; it must be the object/);
    await expect(begin('none', '--preset', 'aim-b')).rejects.toThrow(
      /--preset aim-b is another architecture than that of .*base/,
    );
    expect(existsSync(at('none'))).toBe(false);
  });
});

describe('export', () => {
  const base = () => at('base/step-00000000');
  const copy = (name: string) => {
    rmSync(at(name), { recursive: true, force: true });
    cpSync(base(), at(name), { recursive: true });
    rmSync(at(`${name}/state.json`));
    return at(name);
  };

  it('leaves no files if the source is unusable', async () => {
    for (const [file, text] of [
      ['classes.json', '{'],
      ['classes.json', '["a"]'],
      ['config.json', 'null'],
      ['config.json', '{}'],
    ] as const) {
      const from = copy('bad');
      writeFileSync(`${from}/${file}`, text);
      await expect(call(exportModel, from, '--out', at('exported'))).rejects.toThrow(CheckpointError);
      expect(existsSync(at('exported'))).toBe(false);
    }
  });

  it('removes what a killed export of the same folder left', async () => {
    const left = ['again.4194999-ab1.tmp', 'other.4194999-ab1.tmp'];
    for (const name of left) {
      mkdirSync(at(name));
      utimesSync(at(name), 1, 1);
    }
    await call(exportModel, at('base'), '--out', `${at('again')}/`);
    expect([readdirSync(at('again')).length > 1, ...left.map((name) => existsSync(at(name)))]).toEqual([true, false, true]);
  });

  it('omits integer tensors and replaces an earlier export', async () => {
    const from = copy('integers');
    const source = readFileSync(`${from}/model.safetensors`);
    const header = await parseHeader(source);
    const { bytesSource } = await import('../../src/io/bytes.js');
    const tensors = await Promise.all(
      [...header.tensors].map(async ([name, { shape }]) => ({
        name,
        dtype: 'F32' as const,
        shape,
        data: await readFloats(bytesSource(source, 'x'), header, name),
      })),
    );
    const extra = { name: 'mamba.num_batches_tracked', dtype: 'I64' as const, shape: [1], data: BigInt64Array.of(7n) };
    writeFileSync(`${from}/model.safetensors`, encodeSafetensors([...tensors, extra], Object.fromEntries(header.metadata)));
    expect(await call(exportModel, from, '--out', at('small'))).toMatch(/left out 1 tensor of integers.*num_batches_tracked/);
    const names = (path: string) => readdirSync(path).sort();
    expect(names(at('small'))).toEqual(['classes.json', 'config.json', 'model.safetensors']);
    const small = readFileSync(at('small/model.safetensors'));
    expect([...(await parseHeader(small)).tensors.keys()]).not.toContain('mamba.num_batches_tracked');

    writeFileSync(at('small/README.md'), 'kept');
    const plain = copy('plain');
    rmSync(`${plain}/classes.json`);
    await call(exportModel, plain, '--out', at('small'), '--dtype', 'F32');
    expect(names(at('small'))).toEqual(['README.md', 'config.json', 'model.safetensors']);
    expect(readFileSync(at('small/model.safetensors')).length).toBeGreaterThan(1.5 * small.length);
    const aim = await AiM.fromPretrained(at('small'), { device: 'wasm' });
    await aim.dispose();
  });
});

it('signals that end a process save a checkpoint of the steps done', async ({ skip }) => {
  if (process.platform === 'win32') return skip('Windows ends processes without these signals');
  const one = async (signal: NodeJS.Signals) => {
    const out = at(signal);
    const args = ['train', 'model', at('codes.safetensors'), '--init', at('base'), '--out', out, '--device', 'wasm'];
    const options = ['--threads', '1', '--batch-size', '6', '--steps', '100000', '--eval-every', '0'];
    const child = spawn(process.execPath, [cli, ...args, ...options], { stdio: ['ignore', 'ignore', 'pipe'] });
    let text = '';
    child.stderr.on('data', (part) => {
      text += part;
    });
    const watch = setInterval(() => {
      if (!existsSync(`${out}/metrics.jsonl`) || readFileSync(`${out}/metrics.jsonl`).length === 0) return;
      clearInterval(watch);
      child.kill(signal);
    }, 20);
    const code = await new Promise((resolve) => child.on('close', resolve));
    clearInterval(watch);
    const latest = existsSync(`${out}/latest`) ? readFileSync(`${out}/latest`, 'utf8').trim() : 'nothing';
    const steps = existsSync(`${out}/metrics.jsonl`) ? readFileSync(`${out}/metrics.jsonl`, 'utf8').trim().split('\n').length : 0;
    return { code, text, saved: latest === `step-${String(steps).padStart(8, '0')}`, left: existsSync(`${out}/.lock`) };
  };
  const signals = ['SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1'] as const;
  const [term, ...others] = await Promise.all(signals.map(one));
  expect(term).toMatchObject({ code: 143, saved: true, left: false });
  for (const [i, other] of others.entries())
    expect(other).toMatchObject({ code: 128 + constants.signals[signals[i + 1]!], saved: true, left: false });
  expect(term!.text).toMatch(/saved .*step-0*[1-9]\d*; go on with --resume\naim: interrupted/);
});

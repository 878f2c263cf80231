/** The built `aim` command, as a user runs it. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unzipSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { bytesSource } from '../../src/checkpoint/source.js';
import { decodeJpeg } from '../../src/io/images/jpeg.js';
import { decodePng } from '../../src/io/images/png.js';
import { encodeSafetensors, parseHeader, readFloats } from '../../src/io/safetensors.js';
import { folderOf, idx } from '../data/data_folders.js';
import { FASHION, fixture } from '../goldens.js';
import { CONFIG } from '../train/tiny_model.js';

const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
let dir: string;
const at = (name: string) => join(dir, name);

beforeAll(() => {
  if (!existsSync(cli)) throw new Error('dist/cli.js is missing; run `npm run build` first (npm test does)');
  dir = mkdtempSync(join(tmpdir(), 'aim-cli-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function aim(args: string[], env: Record<string, string | undefined> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  return { status, stdout, stderr };
}

/** Nothing of the run is left behind, not even a temporary file. */
const refused = (args: string[], message: RegExp, env?: Record<string, string | undefined>) => {
  const before = readdirSync(dir).sort();
  const { status, stderr } = aim(args, env);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/at .*\.js:\d+/);
  expect(status).toBe(2);
  expect(readdirSync(dir).sort()).toEqual(before);
};

describe('generate', () => {
  it('writes a grid, an NPZ and a folder', async () => {
    const common = ['--class', '9,Bag', '--count', '4', '--seed', '1', '--device', 'wasm'];
    const png = aim(['generate', FASHION, ...common, '--out', at('grid.png')]);
    expect(png.status, png.stderr).toBe(0);
    expect(png.stdout.trim()).toBe(at('grid.png'));
    const grid = await decodePng(readFileSync(at('grid.png')));
    expect([grid.width, grid.height]).toEqual([66, 66]);

    expect(aim(['generate', FASHION, ...common, '--out', at('set.npz')]).status).toBe(0);
    const npz = unzipSync(readFileSync(at('set.npz')));
    expect(Object.keys(npz).sort()).toEqual(['arr_0.npy', 'arr_1.npy']);
    expect(Buffer.from(npz['arr_0.npy']!).toString('latin1')).toMatch(/'descr': '\|u1'.*'shape': \(4, 32, 32, 3\)/s);
    expect([...new Int32Array(npz['arr_1.npy']!.slice(-16).buffer)]).toEqual([9, 8, 9, 8]);

    expect(aim(['generate', FASHION, ...common, '--out', at('folder')]).status).toBe(0);
    expect(readdirSync(at('folder'))).toEqual([
      '0-Ankle-boot-seed-1.png',
      '1-Bag-seed-2.png',
      '2-Ankle-boot-seed-3.png',
      '3-Bag-seed-4.png',
    ]);
    // The image does not depend on the output format.
    const second = await decodePng(readFileSync(at('folder/1-Bag-seed-2.png')));
    const inGrid = new Uint8Array(32 * 32 * 3);
    for (let y = 0; y < 32; y++) inGrid.set(grid.data.subarray((y * 66 + 34) * 3, (y * 66 + 66) * 3), y * 96);
    expect(second.data).toEqual(inGrid);
  });

  it('takes ImageNet names for a model of 1000 classes without names', async () => {
    const model = await AiM.fromConfig({ ...CONFIG, num_classes: 1000 }, { device: 'wasm' });
    await model.save(at('imagenet'));
    await model.dispose();
    const args = ['generate', at('imagenet'), '-d', 'wasm', '-c', 'Golden Retriever,3', '-o', at('dogs')];
    const { status, stderr } = aim(args);
    expect(status, stderr).toBe(0);
    expect(readdirSync(at('dogs'))).toEqual(['0-golden-retriever-seed-0.png', '1-tiger-shark-seed-1.png']);
    refused([...args.slice(0, 4), '-c', 'retriever', '-o', at('none.png')], /these have the word: flat-coated retriever/);
  });

  it('refuses bad options', () => {
    const out = at('none.png');
    refused(['generate', '--top-p', '0', '--out', out], /--top-p is 0; it must be/);
    refused(['generate', '--count', '0', '--out', out], /--count is 0/);
    refused(['generate', '--count', 'many', '--out', out], /--count is "many"/);
    refused(['generate', FASHION, '--class', 'Hat', '--out', out], /no class "Hat"/);
    // A folder is not made either, nor those around it.
    refused(['generate', FASHION, '--class', 'Hat', '--out', at('new/folder')], /no class "Hat"/);
    refused(['generate', at('absent'), '--out', at('new/other')], /no folder or file/);
    refused(['generate', '--device', 'tpu', '--out', out], /--device is "tpu"/);
    refused(['generate', '--colour', 'red', '--out', out], /--colour/);
    refused(['generate', '--dtype', 'int8', '--out', out], /--dtype is "int8"; it must be one of auto, f32, f16/);
    refused(['generate', '--precision', 'half', '--out', out], /--precision is "half"; it must be one of f32, mixed/);
    refused(['generate', 'a', 'b', '--out', out], /unexpected "b"/);
    refused(['paint'], /no command "paint"/);
    refused(['generate', '--seed', '-1', '--out', out], /--seed is -1; it must be an integer of at least 0/);
    refused(['generate', '--out', at('x.webp')], /x\.webp, which cannot be written; give a \.jpg or \.png/);
    refused(['generate', '--out', at('x.npz'), '--scale', '2'], /--labels, --columns and --scale are of pictures/);
    refused(['train'], /train: say what: `aim train model DATA/);
    refused(['generate', '--out', at('no/such/folder.png')], /folder does not exist/);
    refused(['generate', '--device', 'webgpu', '--out', out], /WebGPU was asked for but no WebGPU adapter/, {
      VK_ICD_FILENAMES: '/nonexistent.json',
      VK_DRIVER_FILES: '/nonexistent.json',
    });
  });

  it('writes an enlarged sheet with labels as JPEG', async () => {
    const drawn = aim(['generate', FASHION, '-n', '10', '-d', 'wasm', '--scale', '3', '--labels', '-o', at('sheet.jpg')]);
    expect(drawn.status, drawn.stderr).toBe(0);
    const { width, height } = await decodeJpeg(readFileSync(at('sheet.jpg')));
    // Five columns of 96 pixels and 6 between, two rows with 7 pixels of text.
    expect([width, height]).toEqual([504, 206 + 6]);
  });

  it('refuses an unwritable place', ({ skip }) => {
    if (process.platform === 'win32') return skip('Windows has no such permissions');
    if (process.getuid?.() === 0) return skip('root may write anywhere');
    mkdirSync(at('locked'));
    chmodSync(at('locked'), 0o500);
    refused(['generate', '--out', at('locked/x.png')], /permission denied/);
  });

  it('refuses bad checkpoints', async () => {
    const out = at('none.png');
    const copy = (name: string) => {
      cpSync(FASHION, at(name), { recursive: true });
      return at(name);
    };
    const weights = readFileSync(`${FASHION}/model.safetensors`);
    const headerLength = Number(weights.readBigUInt64LE(0));
    const header = JSON.parse(weights.subarray(8, 8 + headerLength).toString());
    const rewrite = (folder: string, change: (h: typeof header) => void) => {
      const h = structuredClone(header);
      change(h);
      const json = Buffer.from(JSON.stringify(h).padEnd(headerLength));
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(json.length));
      writeFileSync(`${folder}/model.safetensors`, Buffer.concat([length, json, weights.subarray(8 + headerLength)]));
    };
    const norm = 'mamba.backbone.norm_f.weight';

    refused(['generate', at('absent'), '--out', out], /no folder or file .*absent/);
    const cut = copy('cut');
    truncateSync(`${cut}/model.safetensors`, weights.length - 1000);
    refused(['generate', cut, '--out', out], /1000/);
    const huge = copy('huge');
    const length = Buffer.from(weights.subarray(0, 4096));
    length.writeBigUInt64LE(2n ** 60n);
    writeFileSync(`${huge}/model.safetensors`, length);
    refused(['generate', huge, '--out', out], /huge.*header/s);
    const overlapping = copy('overlapping');
    rewrite(overlapping, (h) => {
      h[norm].data_offsets = h[norm].data_offsets.map((v: number) => v - 2);
    });
    refused(['generate', overlapping, '--out', out], /overlap/);
    const missing = copy('missing');
    rewrite(missing, (h) => {
      h['some.other.name'] = h[norm];
      delete h[norm];
    });
    refused(['generate', missing, '--out', out], /no tensor mamba\.backbone\.norm_f\.weight/);
    const shape = copy('shape');
    rewrite(shape, (h) => {
      h[norm].shape = [16, 16];
    });
    refused(['generate', shape, '--out', out], /norm_f\.weight has shape \[16, 16\], the config asks for \[256\]/);
    const nan = copy('nan');
    const bytes = Buffer.from(weights);
    bytes.writeUInt16LE(0x7e00, 8 + headerLength + header[norm].data_offsets[0] + 6);
    writeFileSync(`${nan}/model.safetensors`, bytes);
    refused(['generate', nan, '--out', out], /norm_f\.weight.*NaN/);
    const config = copy('config');
    writeFileSync(`${config}/config.json`, '{"d_model": 12');
    refused(['generate', config, '--out', out], /config\.json/);
  });

  it('is interrupted cleanly', async ({ skip }) => {
    if (process.platform === 'win32') return skip('Windows ends processes without these signals');
    const { spawn } = await import('node:child_process');
    const child = spawn(process.execPath, [
      cli,
      'generate',
      FASHION,
      '--count',
      '2000',
      '--device',
      'wasm',
      '--out',
      at('long.png'),
    ]);
    let log = '';
    const code = await new Promise((resolve) => {
      child.stderr.on('data', (d) => {
        // Once: a second Ctrl-C ends the process at once.
        if (!/drawing/.test(log) && /drawing/.test(log + d)) child.kill('SIGINT');
        log += d;
      });
      child.on('close', resolve);
    });
    expect(log).toMatch(/aim: interrupted/);
    expect(code).toBe(130);
    expect(existsSync(at('long.png'))).toBe(false);
  });

  it.for([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('into a folder, what is drawn before %s stays', async ([signal, status], { skip }) => {
    if (process.platform === 'win32') return skip('Windows ends processes without these signals');
    const { spawn } = await import('node:child_process');
    const out = at(`until-${signal}`);
    const child = spawn(process.execPath, [cli, 'generate', FASHION, '-n', '2000', '-b', '2', '-d', 'wasm', '-o', out]);
    const watch = setInterval(() => {
      if (!existsSync(out) || readdirSync(out).filter((name) => name.endsWith('.png')).length < 2) return;
      clearInterval(watch);
      child.kill(signal);
    }, 5);
    const code = await new Promise((resolve) => child.on('close', resolve));
    clearInterval(watch);
    expect(code).toBe(status);
    expect(readdirSync(out).sort().slice(0, 2)).toEqual(['0000-T-shirt-top-seed-0.png', '0001-Trouser-seed-1.png']);
  });

  it('ends normally if the reader of its output closes the pipe', ({ skip }) => {
    if (process.platform === 'win32') return skip('Windows has no bash');
    const shell = (line: string) => spawnSync('bash', ['-o', 'pipefail', '-c', line], { encoding: 'utf8' });
    const command = `"${process.execPath}" "${cli}"`;
    expect(shell(`${command} generate --help | true`)).toMatchObject({ status: 0, stderr: '' });
    expect(shell(`${command} generate -n 1 -d wasm -o "${at('closed.png')}" 2>&1 | true`).status).toBe(0);
    expect(existsSync(at('closed.png'))).toBe(true);
  });
});

describe('tune', () => {
  it('takes the number formats that are to be tuned', () => {
    const { status, stderr } = aim(['tune', '-d', 'wasm', '--dtype', 'f16', '--precision', 'mixed']);
    expect(status, stderr).toBe(0);
    expect(stderr).toMatch(/has nothing to tune/);
    refused(['tune', '-d', 'wasm', '--dtype', 'int8'], /--dtype is "int8"/);
  });
});

describe('verify', () => {
  it('passes with correct golden values and fails with wrong ones', async () => {
    const good = aim(['verify', fixture('mamba2-adaln'), '--device', 'wasm']);
    expect(good.status, good.stdout + good.stderr).toBe(0);
    expect(good.stdout).toMatch(/decode\.greedy-tokens\.positions-trained\.cfg2 .* ok/);
    expect(good.stdout).toMatch(/weights float32; products float32\nallowed in mode f32 \(.*\): logits 0\.00010, /);
    cpSync(fixture('mamba2-adaln'), at('wrong'), { recursive: true });
    const bytes = readFileSync(at('wrong/expected.safetensors'));
    const source = bytesSource(new Uint8Array(bytes));
    const header = await parseHeader(source);
    const logits = await readFloats(source, header, 'forward.logits');
    const begin = header.dataOffset + header.tensors.get('forward.logits')!.begin;
    bytes.writeFloatLE(logits[7]! + 0.01, begin + 28);
    writeFileSync(at('wrong/expected.safetensors'), bytes);
    const bad = aim(['verify', at('wrong'), '--device', 'wasm']);
    expect(bad.status).toBe(1);
    expect(bad.stdout).toMatch(/forward\.logits .* FAILED/);
    // A mode that wasm does not have is not reported.
    const asked = aim([
      'verify',
      fixture('mamba2-adaln'),
      '--device',
      'wasm',
      '--dtype',
      'f16',
      '--precision',
      'mixed',
      '--json',
    ]);
    expect(asked.status, asked.stderr).toBe(0);
    expect(JSON.parse(asked.stdout).mode).toMatchObject({ name: 'f32', weights: 'float32', products: 'float32' });
    refused(['verify', at('absent')], /no folder or file/);
    refused(['verify', fixture('mamba2-adaln'), '--dtype', 'bf16'], /--dtype is "bf16"/);
  });

  it('compares two backends where there are no golden values', () => {
    cpSync(fixture('mamba2-adaln'), at('none'), { recursive: true, filter: (name) => !name.endsWith('expected.safetensors') });
    const { status, stdout, stderr } = aim(['verify', at('none'), '--device', 'wasm']);
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/none on wasm.*\ncompared with reference \(float64, single thread\), 1 image\n/);
    for (const name of ['forward.logits', 'decode.greedy-tokens.positions-trained.cfg1.5', 'vq.codes', 'vq.decoded-from-codes'])
      expect(stdout).toMatch(new RegExp(`${name.replaceAll('.', '\\.')} .* ok\n`));
    expect(stdout).toMatch(/5 ok, 0 failed, 0 not checked\n$/);
    refused(['verify', '--device', 'wasm', '--count', '64'], /the float64 reference takes many minutes .* or pass --slow/);
  });

  it('checks golden values of test images with --data, and says so without', async () => {
    const n = 3;
    const pixels = Uint8Array.from({ length: n * 64 }, (_, i) => (i * 89 + (i >> 3)) % 256);
    const labels = [7, 0, 4];
    const data = folderOf({
      't10k-images-idx3-ubyte': idx([n, 8, 8], pixels),
      't10k-labels-idx1-ubyte': idx([n], labels),
    });
    const model = await AiM.fromPretrained(fixture('mamba2-adaln'), { device: 'wasm' });
    const rgba = (i: number) =>
      Uint8Array.from({ length: 256 }, (_, k) => (k % 4 === 3 ? 255 : pixels[i * 64 + Math.floor(k / 4)]!));
    const codes = await model.encode(labels.map((_, i) => ({ width: 8, height: 8, data: rgba(i) })));
    const sum = (await model.logLikelihood(codes, labels)).reduce((a, b) => a + b);
    const loss = -sum / (n * model.config.num_tokens);
    await model.dispose();
    cpSync(fixture('mamba2-adaln'), at('data'), { recursive: true });
    const golden = (value: number) => {
      const tensor = { dtype: 'F32' as const, shape: [], data: Float32Array.of(value) };
      writeFileSync(
        at('data/expected.safetensors'),
        encodeSafetensors([{ name: `forward.loss.first-${n}-test-images`, ...tensor }]),
      );
    };
    const verify = (...args: string[]) => aim(['verify', at('data'), '--device', 'wasm', ...args], { FASHION_MNIST: undefined });
    golden(loss);
    expect(verify('--data', data)).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/forward\.loss\.first-3-test-images .* ok\n1 ok, 0 failed, 0 not checked/),
    });
    expect(verify()).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/not checked: forward.*\n0 ok, 0 failed, 1 not checked/),
    });
    expect(verify('--data', at('absent'))).toMatchObject({ status: 2, stderr: expect.stringMatching(/absent/) });
    golden(loss + 0.01);
    expect(verify('--data', data)).toMatchObject({ status: 1, stdout: expect.stringMatching(/FAILED/) });
  });
});

describe('info', () => {
  it('prints runtime, device and model', () => {
    const { status, stdout } = aim(['info', '--device', 'wasm']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/runtime +node/);
    expect(stdout).toMatch(/device +wasm/);
    expect(stdout).toMatch(/model +\S+emoji\n/);
    expect(stdout).toMatch(/5 bird/);
    expect(stdout).toMatch(/draws with +cfgScale 2.5, topP 0.95\n/);
  });

  it('every command has a help text', () => {
    for (const command of ['generate', 'verify', 'info', 'bench', 'train model', 'train tokenizer']) {
      const { status, stdout } = aim([...command.split(' '), '--help']);
      expect(status).toBe(0);
      expect(stdout).toMatch(new RegExp(`usage: aim ${command}`));
    }
    expect(aim(['train', 'tokenizer', '-h']).stdout).not.toMatch(/label-dropout/);
    expect(aim(['train', '--help']).stdout).toMatch(/train model DATA.*\n {2}train tokenizer DATA/);
    expect(aim([]).stdout).toMatch(/`aim --version` the version/);
    for (const flag of ['--version', '-v']) expect(aim([flag]).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('bench', () => {
  const model = fixture('mamba2-adaln');
  const bench = (...args: string[]) => aim(['bench', model, '--device', 'wasm', '--runs', '2', ...args]);
  type Row = Record<string, number | string>;

  it('measures every requested suite and writes JSON', () => {
    const { status, stdout, stderr } = bench(
      '--batch',
      '1,3',
      '--sampling',
      'plain,authors',
      '--suite',
      'generate,decode,train,gemm',
      '--profile',
      '--json',
      '-',
    );
    expect(status, stderr).toBe(0);
    const { about, complete, tables, profiles } = JSON.parse(stdout);
    expect(complete).toBe(true);
    expect(about).toMatchObject({ device: expect.stringMatching(/^wasm/), toggles: process.env.AIM_DAWN });
    expect(about.commit).toMatch(/^([\da-f]{7,}(\+changes)?|version .*)$/);
    expect(about['copy GB/s']).toBeGreaterThan(0);
    expect(Object.keys(about).filter((key) => /^f32 GEMM \d+³ TFLOP\/s$/.test(key))).toHaveLength(1);

    const drawn: Row[] = tables['Generation of tokens'];
    expect(drawn.map((r) => [r.mixer, r.batch, r.guidance, r['top-k'], r['top-p']])).toEqual([
      ['Mamba2', 1, 1.5, 0, 1],
      ['Mamba2', 1, 5, 600, 0.98],
      ['Mamba2', 3, 1.5, 0, 1],
      ['Mamba2', 3, 5, 600, 0.98],
    ]);
    expect(tables['Tokenizer decode']).toHaveLength(2);
    expect(tables['Training step'].map((r: Row) => r.batch)).toEqual([1, 3]);
    expect(tables['Training step'][0].loss).toBeGreaterThan(1);
    expect(tables['Matrix × matrix']).toHaveLength(2);
    expect(tables['Few rows × matrix']).toHaveLength(9);
    const shares: Record<string, string> = {
      'Generation of tokens': '% of copy',
      'Tokenizer decode': '% of GEMM',
      'Training step': '% of GEMM',
      'Matrix × matrix': '% of GEMM',
      'Few rows × matrix': '% of copy',
    };
    for (const [name, share] of Object.entries(shares))
      for (const row of tables[name] as Row[]) {
        const median = (row.ms ?? row.µs) as number;
        expect(row.fastest).toBeGreaterThan(0);
        expect(row.fastest).toBeLessThanOrEqual(median);
        expect(row.slowest).toBeGreaterThanOrEqual(median);
        expect(row[share]).toBeGreaterThan(0);
      }
    expect(profiles[`generate ${model} Mamba2 batch 3 f32 authors`].map((r: Row) => r.op)).toContain('sample.forward');
  });

  it('shows how time grows along each axis', () => {
    const { status, stdout, stderr } = bench('--suite', 'scaling', '--json', at('scaling.json'));
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/^Growth of a training step\nmixer +axis +sizes +exponent +of the fastest\n/m);
    const { tables } = JSON.parse(readFileSync(at('scaling.json'), 'utf8'));
    for (const of of ['generation', 'a training step']) {
      const sizes = (axis: string) => tables[`Time of ${of}`].filter((r: Row) => r.axis === axis).map((r: Row) => r.size);
      expect(sizes('batch')).toEqual([1, 2, 4, 8, 16, 32, 64]);
      expect(sizes('tokens')).toEqual([64, 144, 256, 576, 1024]);
      expect(sizes('width')).toEqual([32, 64, 96, 128]);
      expect(sizes('depth')).toEqual([1, 2, 3, 6]);
      const growth: Row[] = tables[`Growth of ${of}`];
      expect(growth.map((r) => `${r.axis} ${r.sizes}`)).toEqual([
        'batch 1–64',
        'batch 8–64',
        'tokens 64–1024',
        'tokens 256–1024',
        'width 32–128',
        'width 96–128',
        'depth 1–6',
        'depth 3–6',
      ]);
      for (const row of growth) expect(Number.isFinite(row.exponent) && Number.isFinite(row['of the fastest'])).toBe(true);
    }
  });

  /** Starts the scaling suite, sends `signal` once `rows` rows are written, and waits for the end. */
  const cut = async (signal: 'SIGINT' | 'SIGKILL', file: string, rows: number) => {
    const { spawn } = await import('node:child_process');
    const args = ['bench', model, '--device', 'wasm', '--suite', 'scaling', '--runs', '50', '--json', file];
    const child = spawn(process.execPath, [cli, ...args]);
    let [log, stdout, sent] = ['', '', false];
    child.stdout.on('data', (d) => {
      stdout += d;
    });
    child.stderr.on('data', (d) => {
      log += d;
      if (sent || log.split('Time of generation: ').length <= rows) return;
      sent = true;
      child.kill(signal);
    });
    const code = await new Promise((resolve) => child.on('close', resolve));
    return { code, log, stdout, saved: JSON.parse(readFileSync(file, 'utf8')) };
  };

  it('writes the measured rows when it is interrupted', async ({ skip }) => {
    if (process.platform === 'win32') return skip('Windows ends processes without these signals');
    const { code, log, stdout, saved } = await cut('SIGINT', at('interrupted.json'), 1);
    expect(log).toMatch(/aim: interrupted/);
    expect(code).toBe(130);
    expect(stdout).toMatch(/^Time of generation\nmixer +axis +size +ms +fastest +slowest\nMamba2 +batch +1 /m);
    expect(saved.complete).toBe(false);
    expect(saved.tables['Time of generation'][0]).toMatchObject({ axis: 'batch', size: 1 });
  });

  it('has the measured rows in the file when it is killed', async () => {
    const { saved } = await cut('SIGKILL', at('killed.json'), 2);
    expect(saved.complete).toBe(false);
    expect(saved.tables['Time of generation'][0]).toMatchObject({ axis: 'batch', size: 1 });
  });

  it('refuses invalid values and modes that the device does not have', () => {
    refused(['bench', '--suite', 'speed'], /--suite is "speed"; it must be of generate/);
    refused(['bench', '--batch', '0'], /--batch is "0"/);
    refused(['bench', '--runs', '0.5'], /--runs is 0.5; it must be an integer of at least 1/);
    refused(['bench', '--preset', 'aim-xxl'], /--preset is "aim-xxl"; it must be of aim-b/);
    refused(['bench', '--sampling', 'greedy'], /--sampling is "greedy"; it must be of plain, authors/);
    refused(['bench', '--mixer', 'Mamba3'], /--mixer is "Mamba3"; it must be of Mamba1, Mamba2/);
    refused(['bench', '--weights', 'f16', '--device', 'wasm'], /--weights is f16, but wasm holds weights as f32; leave it out/);
    refused(
      ['bench', '--precision', 'mixed', '--device', 'wasm'],
      /--precision is mixed, but wasm .* no matrix units; leave it out/,
    );
    refused(['bench', '--json', at('no/such/folder.json')], /folder does not exist/);
  });
});

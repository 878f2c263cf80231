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
import { decodePng } from '../../src/io/image.js';
import { parseHeader, readFloats } from '../../src/io/safetensors.js';
import { bytesSource } from '../../src/io/source.js';
import { embedded, fixture } from '../goldens.js';

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
    const png = aim(['generate', ...common, '--out', at('grid.png')]);
    expect(png.status, png.stderr).toBe(0);
    expect(png.stdout.trim()).toBe(at('grid.png'));
    const grid = await decodePng(readFileSync(at('grid.png')));
    expect([grid.width, grid.height]).toEqual([66, 66]);

    expect(aim(['generate', ...common, '--out', at('set.npz')]).status).toBe(0);
    const npz = unzipSync(readFileSync(at('set.npz')));
    expect(Object.keys(npz).sort()).toEqual(['arr_0.npy', 'arr_1.npy']);
    expect(Buffer.from(npz['arr_0.npy']!).toString('latin1')).toMatch(/'descr': '\|u1'.*'shape': \(4, 32, 32, 3\)/s);
    expect([...new Int32Array(npz['arr_1.npy']!.slice(-16).buffer)]).toEqual([9, 8, 9, 8]);

    expect(aim(['generate', ...common, '--out', at('folder')]).status).toBe(0);
    expect(readdirSync(at('folder'))).toEqual([
      '0-Ankle-boot-seed-1.png',
      '1-Bag-seed-2.png',
      '2-Ankle-boot-seed-3.png',
      '3-Bag-seed-4.png',
    ]);
    // The same image, wherever it is drawn.
    const second = await decodePng(readFileSync(at('folder/1-Bag-seed-2.png')));
    const inGrid = new Uint8Array(32 * 32 * 3);
    for (let y = 0; y < 32; y++) inGrid.set(grid.data.subarray((y * 66 + 34) * 3, (y * 66 + 66) * 3), y * 96);
    expect(second.data).toEqual(inGrid);
  });

  it('refuses bad options', () => {
    const out = at('none.png');
    refused(['generate', '--top-p', '0', '--out', out], /topP is 0/);
    refused(['generate', '--count', '0', '--out', out], /count is 0/);
    refused(['generate', '--count', 'many', '--out', out], /--count is "many"/);
    refused(['generate', '--class', 'Hat', '--out', out], /no class "Hat"/);
    refused(['generate', '--device', 'tpu', '--out', out], /--device is "tpu"/);
    refused(['generate', '--colour', 'red', '--out', out], /--colour/);
    refused(['generate', '--dtype', 'int8', '--out', out], /--dtype is "int8"; it must be one of auto, f32, f16/);
    refused(['generate', '--precision', 'half', '--out', out], /--precision is "half"; it must be one of f32, mixed/);
    refused(['generate', 'a', 'b', '--out', out], /unexpected "b"/);
    refused(['paint'], /no command "paint"/);
    refused(['generate', '--out', at('no/such/folder.png')], /folder does not exist/);
    refused(['generate', '--device', 'webgpu', '--out', out], /WebGPU was asked for but no WebGPU adapter/, {
      VK_ICD_FILENAMES: '/nonexistent.json',
      VK_DRIVER_FILES: '/nonexistent.json',
    });
  });

  it('refuses an unwritable place', ({ skip }) => {
    if (process.getuid?.() === 0) return skip('root may write anywhere');
    mkdirSync(at('locked'));
    chmodSync(at('locked'), 0o500);
    refused(['generate', '--out', at('locked/x.png')], /permission denied/);
  });

  it('refuses bad checkpoints', async () => {
    const out = at('none.png');
    const copy = (name: string) => {
      cpSync(embedded, at(name), { recursive: true });
      return at(name);
    };
    const weights = readFileSync(`${embedded}/model.safetensors`);
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

  it('is interrupted cleanly', async () => {
    const { spawn } = await import('node:child_process');
    const child = spawn(process.execPath, [cli, 'generate', '--count', '2000', '--device', 'wasm', '--out', at('long.png')]);
    let log = '';
    const code = await new Promise((resolve) => {
      child.stderr.on('data', (d) => {
        // Once: a second Ctrl-C ends the process at once.
        if (!/drawing/.test(log) && /drawing/.test(log + d)) child.kill('SIGINT');
        log += d;
      });
      child.on('exit', resolve);
    });
    expect(log).toMatch(/aim: interrupted/);
    expect(code).toBe(130);
    expect(existsSync(at('long.png'))).toBe(false);
  });
});

describe('verify', () => {
  it('passes good goldens and fails wrong ones', async () => {
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
    // What wasm does not have is not claimed.
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
    refused(['verify'], /which folder/);
    refused(['verify', at('absent')], /no folder or file/);
    refused(['verify', fixture('mamba2-adaln'), '--dtype', 'bf16'], /--dtype is "bf16"/);
  });
});

describe('info', () => {
  it('tells runtime, device and model', () => {
    const { status, stdout } = aim(['info', '--device', 'wasm']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/runtime +node/);
    expect(stdout).toMatch(/device +wasm/);
    expect(stdout).toMatch(/9 Ankle boot/);
  });

  it('every command has help', () => {
    for (const command of ['generate', 'verify', 'info', 'bench']) {
      const { status, stdout } = aim([command, '--help']);
      expect(status).toBe(0);
      expect(stdout).toMatch(new RegExp(`usage: aim ${command}`));
    }
    expect(aim(['--version']).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('bench', () => {
  it('measures every suite it is asked for, as JSON', () => {
    const model = fileURLToPath(new URL('../fixtures/mamba2-adaln', import.meta.url));
    const { status, stdout } = aim([
      'bench',
      model,
      '--device',
      'wasm',
      '--runs',
      '1',
      '--batch',
      '1,3',
      '--suite',
      'generate,decode,gemm',
      '--profile',
      '--json',
      '-',
    ]);
    expect(status).toBe(0);
    const { about, tables, profiles } = JSON.parse(stdout);
    expect(about).toMatchObject({ device: expect.stringMatching(/^wasm/), toggles: 'default' });
    expect(tables['Generation, guided tokens'].map((r: { batch: number }) => r.batch)).toEqual([1, 3]);
    expect(tables['Tokenizer decode']).toHaveLength(2);
    expect(tables['Matrix × matrix']).toHaveLength(2);
    expect(profiles[`generate ${model} batch 3 f32`].map((r: { op: string }) => r.op)).toContain('sample.forward');
    for (const row of tables['Generation, guided tokens']) expect(row.ms).toBeGreaterThan(0);
  });

  it('refuses what it does not know', () => {
    refused(['bench', '--suite', 'speed'], /--suite is "speed"; it must be of generate/);
    refused(['bench', '--batch', '0'], /--batch is "0"/);
  });
});

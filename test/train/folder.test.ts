import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { openSource } from '../../src/checkpoint/source.js';
import { CheckpointError, IoError, OptionError } from '../../src/core/errors.js';
import { parseHeader, readFloats } from '../../src/io/safetensors.js';
import { openCheckpointFolder, type SavedCheckpoint, saveCheckpoint } from '../../src/train/folder.js';
import { readMetrics } from '../../src/train/metrics.js';
import { fileListOf } from '../data/data_folders.js';
import { fixture } from '../goldens.js';
import { parts } from './checkpoint_writer.js';

let dir: string;
let run: string;
let program: string;
let count = 0;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'aim-run-'));
  program = join(dir, 'writer.mjs');
  const entry = fileURLToPath(new URL('checkpoint_writer.ts', import.meta.url));
  // Writing a checkpoint needs no kernel.
  const loader = { '.wgsl': 'empty' } as const;
  const plugin: Plugin = {
    name: 'no kernels',
    setup(bundle) {
      bundle.onResolve({ filter: /^aim:build$|\.wasm\?raw$/ }, ({ path }) => ({ path, namespace: 'none' }));
      bundle.onLoad({ filter: /.*/, namespace: 'none' }, () => ({
        contents: "export const TRAINING = false; export default '';",
      }));
    },
  };
  await build({
    entryPoints: [entry],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: program,
    loader,
    plugins: [plugin],
    logLevel: 'error',
  });
});
beforeEach(() => {
  run = join(dir, `run-${++count}`);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const save = (step: number, keep?: number) => saveCheckpoint(run, parts(step, 100), { keep });

async function all(saved: SavedCheckpoint, part: 'model' | 'optimizer' | 'ema') {
  const out: Record<string, Float32Array> = {};
  for await (const { name, data } of saved.tensors(part)) out[name] = data;
  return out;
}

/** Every byte of the checkpoint is of its own step. */
async function expectWhole(saved: SavedCheckpoint, size: number) {
  const { step } = saved.state;
  expect(saved.state).toEqual(parts(step).state);
  expect([saved.config, saved.classes, saved.hasEma]).toEqual([{ d_model: 8 }, ['a', 'b'], true]);
  const word = 'mamba.backbone.embeddings.word_embeddings.weight';
  const expected = { model: { [word]: 0, 'vqvae.b': 0.25 }, optimizer: { m: 0.5, v: 0.75 }, ema: { 'vqvae.b': 0.125 } };
  for (const [part, names] of Object.entries(expected)) {
    const tensors = await all(saved, part as 'model');
    expect(Object.keys(tensors).sort()).toEqual(Object.keys(names).sort());
    for (const [name, add] of Object.entries(names)) {
      const data = tensors[name]!;
      expect(data.length).toBe(size);
      expect(data.every((v) => v === Math.fround(step + add))).toBe(true);
    }
  }
}

describe('checkpoint folders', () => {
  it('are listed newest first, and the oldest are removed', async () => {
    for (const step of [10, 20, 30, 40]) expect(await save(step, 2)).toBe(`${run}/step-000000${step}`);
    expect(readdirSync(run).sort()).toEqual(['latest', 'step-00000030', 'step-00000040']);
    const saved = await openCheckpointFolder(run);
    expect(saved.state.step).toBe(40);
    await expectWhole(saved, 100);
    expect((await openCheckpointFolder(`${run}/step-00000030`)).state.step).toBe(30);
    const folder = `${run}/step-00000040`;
    const files = Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(`${folder}/${name}`)]));
    await expectWhole(await openCheckpointFolder(fileListOf(files)), 100);
    delete files['optimizer.safetensors'];
    const missing = await openCheckpointFolder(fileListOf(files, 'given')).catch((e) => e);
    expect(missing).toBeInstanceOf(IoError);
    expect(missing.message).toMatch(/there is no file optimizer\.safetensors in given/);
    const model = await openSource(`${run}/step-00000040/model.safetensors`);
    const { metadata } = await parseHeader(model);
    await model.close();
    expect([...metadata]).toEqual([['mamba.lm_head.weight', 'mamba.backbone.embeddings.word_embeddings.weight']]);
  });

  it('can be resumed from an earlier step without losing the later ones', async () => {
    for (const step of [10, 20, 30]) await save(step, 3);
    await save(20, 3);
    expect(readFileSync(`${run}/latest`, 'utf8')).toBe('step-00000020-2\n');
    expect((await openCheckpointFolder(run)).path).toBe(`${run}/step-00000020-2`);
    await save(25, 2);
    expect(readdirSync(run).sort()).toEqual(['latest', 'step-00000020-2', 'step-00000025', 'step-00000030']);
    expect((await openCheckpointFolder(run)).state.step).toBe(25);
    await save(31, 1);
    expect(readdirSync(run).sort()).toEqual(['latest', 'step-00000031']);
  });

  it.each<[string, () => void]>([
    ['latest is gone', () => rmSync(`${run}/latest`)],
    ['latest names nothing', () => writeFileSync(`${run}/latest`, 'step-00000099\n')],
    ['latest is empty', () => writeFileSync(`${run}/latest`, '')],
  ])('are found when %s', async (_, damage) => {
    for (const step of [1, 2]) await save(step);
    damage();
    expect((await openCheckpointFolder(run)).state.step).toBe(2);
  });

  it.each<[string, (path: string) => void]>([
    ['a file is missing', (path) => rmSync(`${path}/optimizer.safetensors`)],
    ['a file is cut', (path) => truncateSync(`${path}/model.safetensors`, 300)],
    ['the averages are cut', (path) => truncateSync(`${path}/ema.safetensors`, 4)],
    ['the state is cut', (path) => truncateSync(`${path}/state.json`, 5)],
    ['the state is gone', (path) => rmSync(`${path}/state.json`)],
    ['the config is cut', (path) => truncateSync(`${path}/config.json`, 1)],
    ['the state has no step', (path) => writeFileSync(`${path}/state.json`, '{}')],
  ])('fall back to the previous one when %s', async (_, damage) => {
    for (const step of [1, 2, 3]) await save(step);
    damage(`${run}/step-00000003`);
    await expectWhole(await openCheckpointFolder(run), 100);
    expect((await openCheckpointFolder(run)).state.step).toBe(2);
    for (const step of [1, 2]) damage(`${run}/step-0000000${step}`);
    const error = await openCheckpointFolder(run).catch((e) => e);
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(/every checkpoint of .* is damaged: .*step-00000003.*step-00000001.*Begin a new run\.$/s);
  });

  it('are distinguished from other folders', async () => {
    await expect(openCheckpointFolder(run)).rejects.toThrow(/there is no folder .*run-\d+; pass/);
    mkdirSync(run);
    await expect(openCheckpointFolder(run)).rejects.toThrow(IoError);
    await expect(save(-1)).rejects.toThrow(OptionError);
    await expect(save(1, 0)).rejects.toThrow(OptionError);
    expect(readdirSync(run)).toEqual([]);
  });

  it('keep the previous one when a save fails or is aborted', async () => {
    await save(1);
    const failing = parts(2, 100);
    failing.optimizer = [{ name: 'm', shape: [1], data: () => Promise.reject(new Error('device lost')) }];
    await expect(saveCheckpoint(run, failing)).rejects.toThrow('device lost');
    const abort = new AbortController();
    const stopped = parts(3, 100);
    const data = () => {
      abort.abort(new Error('enough'));
      return new Float32Array(1);
    };
    stopped.optimizer = [{ name: 'm', shape: [1], data }];
    await expect(saveCheckpoint(run, stopped, { signal: abort.signal })).rejects.toThrow('enough');
    expect(readdirSync(run).sort()).toEqual(['latest', 'step-00000001']);
    await expectWhole(await openCheckpointFolder(run), 100);
  });

  it('report a full disk and keep the previous one', async ({ skip }) => {
    if (process.platform === 'win32') return skip('Windows has no ulimit');
    await save(1);
    // 512-byte blocks: far less than a checkpoint takes.
    const { stdout, status } = spawnSync('sh', ['-c', `ulimit -f 200; exec "$0" "$@"`, process.execPath, program, 'write', run], {
      encoding: 'utf8',
    });
    expect(stdout).toMatch(/failed: .*model\.safetensors cannot be written: it grows beyond .*\.$/m);
    expect(status).toBe(2);
    expect(
      readdirSync(run)
        .filter((n) => n !== 'metrics.jsonl')
        .sort(),
    ).toEqual(['latest', 'step-00000001']);
    await expectWhole(await openCheckpointFolder(run), 100);
  });

  it('report a folder without write permission', async ({ skip }) => {
    if (process.platform === 'win32') return skip('Windows has no such permissions');
    if (process.getuid?.() === 0) return skip('root may write anywhere');
    await save(1);
    chmodSync(run, 0o555);
    await expect(save(2)).rejects.toThrow(/permission denied/);
    chmodSync(run, 0o755);
  });

  it('survive kill -9 at any moment', async () => {
    const moments = 50;
    const size = 200_000;
    let last = 0;
    // A save takes as long as the machine is busy: moments are drawn from twice the time of the latest first one.
    let cycle = 30;
    const at = { nothing: 0, between: 0, within: 0 };
    for (let i = 0; i < moments; i++) {
      const { done, took } = await killed(run, Math.random() * 2 * cycle);
      cycle = took ?? cycle * 1.2;
      if (!existsSync(run)) continue;
      const names = readdirSync(run);
      at[!names.includes('latest') ? 'nothing' : names.some((n) => n.endsWith('.tmp')) ? 'within' : 'between']++;
      if (!names.includes('latest') && done === 0) continue;
      const saved = await openCheckpointFolder(run);
      await expectWhole(saved, size);
      const { step } = saved.state;
      // Every save that was reported exists, and at most the one in progress.
      expect(step).toBeGreaterThanOrEqual(Math.max(last, done));
      expect(step).toBeLessThanOrEqual(Math.max(last, done) + 1);
      last = step;
      const log = await readMetrics(`${run}/metrics.jsonl`, step);
      expect(log).toEqual(Array.from({ length: step }, (_, k) => ({ step: k + 1, loss: 1 / (k + 1) })));
    }
    // Not all before the first save, nor all between two.
    expect(last).toBeGreaterThan(5);
    expect(at.within).toBeGreaterThan(5);
    // The next save removes the files that crashes left.
    await saveCheckpoint(run, parts(last + 1, 10), { keep: 1 });
    const [latest, log, checkpoint, ...rest] = readdirSync(run).sort();
    expect([latest, log, rest]).toEqual(['latest', 'metrics.jsonl', []]);
    expect(checkpoint).toMatch(new RegExp(`^step-0*${last + 1}(-2)?$`));
  });

  it('can be opened as models, also by the folder of the run', async () => {
    const source = await openSource(`${fixture('mamba1-adaln-group')}/model.safetensors`);
    const header = await parseHeader(source);
    const model = [...header.tensors].map(([name, { shape }]) => ({ name, shape, data: () => readFloats(source, header, name) }));
    const config = JSON.parse(readFileSync(`${fixture('mamba1-adaln-group')}/config.json`, 'utf8'));
    const path = await saveCheckpoint(run, { config, model, optimizer: [], state: { step: 5 } });
    await source.close();
    const draw = async (from: string) => {
      const aim = await AiM.fromPretrained(from, { device: 'wasm' });
      const { tokens } = await aim.generate({ classes: 1, seed: 3 });
      await aim.dispose();
      return tokens;
    };
    const want = await draw(fixture('mamba1-adaln-group'));
    expect(await draw(path)).toEqual(want);
    expect(await draw(run)).toEqual(want);
    const moved = `${run}-moved`;
    renameSync(run, moved);
    expect((await openCheckpointFolder(moved)).hasEma).toBe(false);
  });
});

/** Runs the writer and kills it after `delay` ms. `done`: the last step reported as saved; `took`: ms of the first save. */
function killed(folder: string, delay: number): Promise<{ done: number; took: number | undefined }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, 'write', folder], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    let start = 0;
    let took: number | undefined;
    child.stdout.on('data', (chunk) => {
      if (text === '') {
        start = performance.now();
        setTimeout(() => child.kill('SIGKILL'), delay);
      } else took ??= performance.now() - start;
      text += chunk;
    });
    child.on('error', reject);
    child.on('close', () => {
      if (text.includes('failed')) reject(new Error(text));
      resolve({ done: Number(/(\d+)\n[^\n]*$/.exec(text)?.[1] ?? 0), took });
    });
  });
}

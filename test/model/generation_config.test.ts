/** generation_config.json: the settings that a model recommends are its defaults, from every source, and are kept. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AiM, type GenerateOptions, type LoadOptions } from '../../src/aim.js';
import { convert } from '../../src/cli/convert.js';
import { exportModel } from '../../src/cli/export.js';
import { generate } from '../../src/cli/generate.js';
import { CheckpointError } from '../../src/core/errors.js';
import { drawn } from '../../src/evaluate/drawn.js';
import { parseGenerationConfig } from '../../src/model/generation_config.js';
import { saveCheckpoint } from '../../src/train/folder.js';
import { Trainer } from '../../src/train/trainer.js';
import { call } from '../cli/in_process.js';
import { FaultyServer } from '../io/faulty_server.js';
import { CONFIG, codesFor } from '../train/tiny_model.js';

const SETTINGS = { guidance_scale: 3, temperature: 0.8, top_k: 20, top_p: 0.9, min_p: 0.01 };
const SAMPLING = { cfgScale: 3, temperature: 0.8, topK: 20, topP: 0.9, minP: 0.01 };
const [FILE, WASM] = ['generation_config.json', { device: 'wasm', threads: 1 } as const];
const DRAWN: GenerateOptions = { count: 3, seed: 4 };

let dir: string;
const at = (name: string) => join(dir, name);
const opened: AiM[] = [];
const load = async (...[source, options]: Parameters<typeof AiM.fromPretrained>) => {
  const aim = await AiM.fromPretrained(source, { ...WASM, ...options });
  opened.push(aim);
  return aim;
};
/** A copy of the tiny model with this text as its settings. */
function folder(name: string, settings: string | undefined): string {
  mkdirSync(at(name), { recursive: true });
  for (const file of ['config.json', 'model.safetensors'])
    writeFileSync(at(`${name}/${file}`), readFileSync(at(`plain/${file}`)));
  if (settings !== undefined) writeFileSync(at(`${name}/${FILE}`), settings);
  return at(name);
}
const tokens = async (aim: AiM, options: GenerateOptions = {}) => (await aim.generate({ ...DRAWN, ...options })).tokens.join();

let settled: AiM;
let plain: AiM;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'aim-settings-'));
  const made = await AiM.fromConfig(CONFIG, { ...WASM, seed: 3 });
  await made.save(at('plain'));
  await made.dispose();
  plain = await load(at('plain'));
  settled = await load(folder('settled', JSON.stringify(SETTINGS)));
});
afterAll(async () => {
  for (const aim of opened) await aim.dispose();
  rmSync(dir, { recursive: true, force: true });
});

describe('the settings of a model', () => {
  it('are the defaults of its drawings, and what the caller gives comes first', async () => {
    expect([plain.sampling, settled.sampling]).toEqual([{}, SAMPLING]);
    expect(await tokens(settled)).toBe(await tokens(plain, SAMPLING));
    expect(await tokens(settled)).not.toBe(await tokens(plain));
    expect(await tokens(settled, { cfgScale: 1.5, topK: 0 })).toBe(await tokens(plain, { ...SAMPLING, cfgScale: 1.5, topK: 0 }));
    expect(await tokens(settled, { temperature: 0 })).toBe(await tokens(plain, { ...SAMPLING, temperature: 0 }));
    expect(await tokens(settled, { topP: undefined as never })).toBe(await tokens(settled));
  });

  it('leave the defaults of models without a file as they were', async () => {
    const usual = { cfgScale: 1.5, temperature: 1, topK: 0, topP: 1, minP: 0 };
    expect(await tokens(plain)).toBe(await tokens(plain, usual));
    expect(await tokens(settled, usual)).toBe(await tokens(plain));
  });

  it('are those of the command and of what is evaluated', async () => {
    const run = (model: string, ...args: string[]) =>
      call(generate, model, '-d', 'wasm', '--threads', '1', '-n', '3', '-s', '4', ...args);
    await run(at('settled'), '-o', at('own.npz'));
    await run(at('plain'), '-o', at('given.npz'), ...Object.entries(FLAGS).flat());
    await run(at('plain'), '-o', at('usual.npz'));
    const [own, given, usual] = ['own', 'given', 'usual'].map((name) => readFileSync(at(`${name}.npz`)).toString('base64'));
    expect(own === given && own !== usual).toBe(true);
    expect(await run(folder('greedy', '{ "temperature": 0 }'), '-n', '9', '-o', at('greedy.npz'))).toMatch(
      /with temperature 0 .* every image of a class is the same/,
    );
    const images = async (aim: AiM, options = {}) => (await drawn(aim, { count: 3, ...options }).images(0, 3, {})).data;
    expect(await images(settled)).toEqual(await images(plain, SAMPLING));
  });
  const FLAGS = { '--cfg-scale': '3', '--temperature': '0.8', '--top-k': '20', '--top-p': '0.9', '--min-p': '0.01' };

  it('cannot be changed by who reads them', () => {
    settled.sampling.cfgScale = 9;
    expect(settled.sampling).toEqual(SAMPLING);
  });
});

describe('are read from', () => {
  it('files of a page, and objects', async () => {
    const files = readdirSync(at('settled')).map((name) => new File([readFileSync(at(`settled/${name}`))], name));
    expect((await load(files)).sampling).toEqual(SAMPLING);
    const [config, weights] = [CONFIG, readFileSync(at('plain/model.safetensors'))];
    expect((await load({ config, weights, generationConfig: SETTINGS })).sampling).toEqual(SAMPLING);
    await expect(load({ config, weights, generationConfig: { top_p: 2 } })).rejects.toThrow(/top_p is 2/);
  });

  it('an address and a repository, which may have none', async () => {
    const server = await FaultyServer.start();
    try {
      for (const file of ['config.json', 'model.safetensors', FILE])
        for (const path of ['m', 'ann/model/resolve/main']) {
          const headers = { etag: '"1"' };
          server.files[`/${path}/${file}`] = { body: readFileSync(at(`settled/${file}`)), headers };
        }
      const options: LoadOptions = { cacheDir: at('cache'), endpoint: server.url };
      expect((await load(`${server.url}/m`, options)).sampling).toEqual(SAMPLING);
      expect((await load('ann/model', options)).sampling).toEqual(SAMPLING);
      delete server.files[`/m/${FILE}`];
      expect((await load(`${server.url}/m`, { cache: false })).sampling).toEqual({});
      expect(server.take().filter((request) => request === `GET /m/${FILE}`)).toHaveLength(2);
    } finally {
      await server.close();
    }
  });

  it('a file with a byte order mark; fields that are null count as left out', () => {
    expect(parseGenerationConfig('\uFEFF{ "top_k": null, "top_p": 0.5, "temperature": 0 }', 'f')).toEqual({
      sampling: { topP: 0.5, temperature: 0 },
      ignored: [],
    });
  });
});

describe('a file', () => {
  it('with other fields is taken, and they are named', async () => {
    const warnings: string[] = [];
    const text = JSON.stringify({ do_sample: true, top_p: 0.9, toString: 1, eos_token_id: 2 });
    const aim = await load(folder('further', text), { onWarning: (message) => warnings.push(message) });
    expect(aim.sampling).toEqual({ topP: 0.9 });
    expect(warnings).toEqual([`${at('further')}: ${FILE} has fields that are not used: do_sample, toString, eos_token_id.`]);
  });

  it.each([
    ['{ "guidance_scale": -1 }', /guidance_scale is -1; it must be a finite number from 0 to 1000000/],
    ['{ "temperature": "0.9" }', /temperature is "0.9"; it must be a finite number/],
    ['{ "top_k": 1.5 }', /top_k is 1.5; it must be an integer of at least 0/],
    ['{ "top_p": 0 }', /top_p is 0; it must be a finite number above 0 and at most 1/],
    ['{ "top_p": 1e-60 }', /top_p is 1e-60/],
    ['{ "min_p": 1.1 }', /min_p is 1.1; it must be a finite number from 0 to 1/],
    ['{ "top_p": [0.9] }', /top_p is \[0.9\]/],
    ['[0.9]', /must be a JSON object, such as/],
    ['null', /must be a JSON object/],
    ['{', /must be a JSON object/],
  ])('%s is refused when the model is loaded, with the file and the field', async (text, message) => {
    const error = await load(folder('wrong', text)).catch((e) => e);
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toContain(`${at('wrong')}: ${FILE}`);
    expect(error.message).toMatch(message);
    await expect(call(exportModel, at('wrong'), '--out', at('none'))).rejects.toThrow(message);
    await expect(call(convert, at('wrong'), at('none'))).rejects.toThrow(message);
  });
});

describe('are kept', () => {
  const saved = (path: string) => JSON.parse(readFileSync(`${path}/${FILE}`, 'utf8'));

  it('by save and toFiles; a model without any takes those of an earlier one away', async () => {
    await settled.save(at('saved'));
    expect(saved(at('saved'))).toEqual(SETTINGS);
    expect((await settled.toFiles()).map((f) => f.name)).toEqual(['config.json', FILE, 'model.safetensors']);
    await plain.save(at('saved'));
    expect(readdirSync(at('saved')).sort()).toEqual(['config.json', 'model.safetensors']);
  });

  it('by aim export and aim convert, with fields that are not read here', async () => {
    const all = { ...SETTINGS, top_k: null, do_sample: true };
    const from = folder('all', JSON.stringify(all));
    await call(exportModel, from, '--out', at('exported'));
    await call(convert, from, at('converted'));
    expect([saved(at('exported')), saved(at('converted'))]).toEqual([all, all]);
    await call(exportModel, at('plain'), '--out', at('exported'));
    expect(readdirSync(at('exported')).sort()).toEqual(['config.json', 'model.safetensors']);
  });

  it('by training from the model, in its checkpoints and when it is resumed', async () => {
    const trainer = new Trainer({ model: settled, data: await codesFor(settled), steps: 1, batchSize: 4, evalEvery: 0 });
    for await (const _ of trainer.run());
    const step = await saveCheckpoint(at('run'), trainer.checkpoint());
    trainer.dispose();
    expect(saved(step)).toEqual(SETTINGS);
    expect((await load(at('run'))).sampling).toEqual(SAMPLING);
  });
});

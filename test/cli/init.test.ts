/** `aim init` writes files that `aim train` accepts and that say what their fields are. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Command } from '../../src/cli/command.js';
import { configText, FIELDS, init } from '../../src/cli/init.js';
import { readSettings } from '../../src/cli/train/flags.js';
import { parseJsonc } from '../../src/cli/train/jsonc.js';
import { trainModel } from '../../src/cli/train/model.js';
import { trainTokenizer } from '../../src/cli/train/tokenizer.js';
import { OptionError } from '../../src/core/errors.js';
import { parseConfig } from '../../src/model/config.js';
import { checkSettings } from '../../src/train/options.js';
import { PRESET_NAMES, recipe, stage2For, tokenizerFor } from '../../src/train/recipe.js';
import { grey, png } from '../data/data_folders.js';
import { call } from './in_process.js';

let dir: string;
const at = (name: string) => join(dir, name);
const json = (name: string) => JSON.parse(readFileSync(at(name), 'utf8'));

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'aim-cli-init-'));
  for (const name of ['a/1.png', 'a/2.png', 'a/3.png', 'b/1.png', 'b/2.png', 'b/3.png']) {
    mkdirSync(at(`data/${name[0]}`), { recursive: true });
    writeFileSync(at(`data/${name}`), png(12, 12, grey(name.charCodeAt(2))));
  }
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const train = (command: Command, run: string, ...args: string[]) =>
  call(command, at('data'), '--out', at(run), '--device', 'wasm', '--threads', '1', '--steps', '1', ...args);

it('its files hold what the flags choose', async () => {
  for (const stage of ['tokenizer', 'model'] as const)
    for (const preset of PRESET_NAMES) {
      writeFileSync(at('chosen.json'), configText(stage, 64, preset));
      const { settings, size, preset: named, architecture } = await readSettings({ config: at('chosen.json') });
      expect([size, named]).toEqual([64, stage === 'model' ? preset : undefined]);
      const facts = { images: 700, heldOut: 30, size: 64, preset };
      const options = checkSettings(recipe(stage, { ...facts, given: settings }));
      expect(options).toEqual(checkSettings(recipe(stage, { ...facts, given: {} })));
      const stage2 = parseConfig({ ...tokenizerFor(64), ...stage2For(preset), num_classes: 2 });
      const written = parseConfig({ ...tokenizerFor(64), ...stage2For(preset), ...architecture, num_classes: 2 });
      expect({ ...written, json: {} }).toEqual({ ...stage2, json: {} });
    }
});

it('its files train, and what is changed in them is what is trained, also in a resumed run', async () => {
  const said = await call(init, '--size', '8', '--preset', 'tiny', '--out', at('files'));
  expect(said).toMatch(/aim train tokenizer DATA --config .*tokenizer\.jsonc\naim train model DATA --config .*model\.jsonc\n/);
  await train(trainTokenizer, 'tok', '--config', at('files/tokenizer.jsonc'));
  expect(json('tok/step-00000001/config.json')).toMatchObject(tokenizerFor(8));
  const of = ['--tokenizer', at('tok')];
  const file = readFileSync(at('files/model.jsonc'), 'utf8').replace('"n_layer": 6', '"n_layer": 1');
  writeFileSync(at('own.jsonc'), file.replace('"lr": 0.002', '"lr": 0.0004'));
  await train(trainModel, 'own', '--config', at('own.jsonc'), ...of);
  expect([json('own/step-00000001/config.json').n_layer, json('own/step-00000001/state.json').options.lr]).toEqual([1, 4e-4]);
  await train(trainModel, 'own', '--resume', '--config', at('own.jsonc'), '--steps', '2');
  const contradiction = train(trainModel, 'no', '--config', at('own.jsonc'), '--preset', 'small', ...of);
  await expect(contradiction).rejects.toThrow(/--preset small has d_model 256, and the model in --config 192/);
});

it('refuses to write over files, and what it cannot write', async () => {
  writeFileSync(at('model.jsonc'), '{}');
  for (const [args, message] of [
    [[], /model\.jsonc is there already/],
    [['run'], /no file for "run"; say tokenizer or model/],
    [['model', '--size', '30'], /multiple of 4, such as 28 or 32/],
  ] as const) {
    const error = await call(init, ...args, '--out', dir).catch((e) => e);
    expect(error).toBeInstanceOf(OptionError);
    expect(error.message).toMatch(message);
  }
  expect(readdirSync(dir).filter((name) => name.endsWith('.jsonc'))).toEqual(['model.jsonc', 'own.jsonc']);
});

it('explains every value', () => {
  for (const stage of ['tokenizer', 'model'] as const)
    for (const size of [8, 16, 32, 64, 128, 256])
      for (const preset of PRESET_NAMES) {
        const text = configText(stage, size, preset);
        expect(parseJsonc(text)).toMatchObject({ size });
        const bare = text.split('\n').filter((line) => /^ .*": [^{]*$/.test(line) && !line.includes(' // '));
        expect(bare).toEqual([]);
        expect(text).not.toContain('undefined');
      }
});

it('the guide explains the same fields', () => {
  const guide = readFileSync(fileURLToPath(new URL('../../docs/training.md', import.meta.url)), 'utf8');
  const names = (texts: object): string[] =>
    Object.entries(texts).flatMap(([name, text]) => (typeof text === 'string' ? [name] : names(text)));
  expect(names(FIELDS).filter((name) => !guide.includes(`\`${name}\``))).toEqual([]);
});

it('comments and last commas are read, and nothing in strings is taken for them', () => {
  const text = '\uFEFF{ // one\n "a": "// no /* comment */, }", /* two\n lines */ "b": [1, 2, // last\n ], "c": "\\"//", }';
  expect(parseJsonc(text)).toEqual({ a: '// no /* comment */, }', b: [1, 2], c: '"//' });
  for (const bad of ['{ "a": 1 /* open }', '{ "a": 1 // }', '{,}x', '']) expect(() => parseJsonc(bad)).toThrow(SyntaxError);
});

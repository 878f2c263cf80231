/** A model of this library has the tensors of the checkpoint that the authors published, AiM-B, by name and shape. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { aimParams } from '../../src/model/aim.js';
import { parseConfig } from '../../src/model/config.js';
import * as layers from '../../src/model/extra_layers.js';
import { haveLayers } from '../../src/model/mixers.js';
import { countParams, walk } from '../../src/model/params.js';
import { PRESETS } from '../../src/model/presets.js';
import { extraTensors } from '../../src/model/save.js';
import { tokenizerOf } from '../../src/model/tokenizers.js';
import { fixture } from '../goldens.js';

it('AiM-B has the tensor names and shapes of the published checkpoint', () => {
  const official = fixture('official');
  const config = parseConfig(JSON.parse(readFileSync(`${official}/aim-b-config.json`, 'utf8')));
  const { tensors } = JSON.parse(gunzipSync(readFileSync(`${official}/aim-b-tensors.json.gz`)).toString());
  const tree = { mamba: { backbone: aimParams(config) }, vqvae: tokenizerOf(config.tokenizer).params(config.tokenizer) };
  const ours = Object.fromEntries([...walk(tree)].map(([name, { shape }]) => [name, [...shape]]));
  for (const { name, shape } of extraTensors(config)) ours[name] = [...shape];
  const theirs = Object.fromEntries(Object.entries<{ shape: number[] }>(tensors).map(([name, { shape }]) => [name, shape]));
  expect(ours).toEqual(theirs);
  expect(countParams(tree.mamba)).toBe(147_622_080);
});

it('the Transformer to compare with has about as many parameters as AiM-B', () => {
  haveLayers(layers);
  const count = countParams(aimParams(parseConfig(PRESETS['transformer-b'])));
  expect(Math.abs(count / 147_622_080 - 1)).toBeLessThan(0.02);
});

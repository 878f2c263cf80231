/** The names and shapes of what we write are those of the authors' AiM-B checkpoint, tensor by tensor. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { aimParams } from '../../src/model/aim.js';
import { parseConfig } from '../../src/model/config.js';
import { countParams, walk } from '../../src/model/params.js';
import { tokenizerOf } from '../../src/model/tokenizers.js';
import { extraTensors } from '../../src/train/folder.js';

const official = fileURLToPath(new URL('../../../shared/official', import.meta.url));

it('AiM-B', ({ skip }) => {
  if (!existsSync(official)) return skip('the list of the official checkpoint (../shared/official) is not here');
  const config = parseConfig(JSON.parse(readFileSync(`${official}/aim-b-config.json`, 'utf8')));
  const { tensors } = JSON.parse(readFileSync(`${official}/aim-b-tensors.json`, 'utf8'));
  const tree = { mamba: { backbone: aimParams(config) }, vqvae: tokenizerOf(config.tokenizer).params(config.tokenizer) };
  const ours = Object.fromEntries([...walk(tree)].map(([name, { shape }]) => [name, [...shape]]));
  for (const { name, shape } of extraTensors(config)) ours[name] = [...shape];
  const theirs = Object.fromEntries(Object.entries<{ shape: number[] }>(tensors).map(([name, { shape }]) => [name, shape]));
  expect(ours).toEqual(theirs);
  expect(countParams(tree.mamba)).toBe(147_622_080);
});

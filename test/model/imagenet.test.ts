/** The names of ImageNet's 1000 classes. */
import { expect, it } from 'vitest';
import { OptionError } from '../../src/core/errors.js';
import { IMAGENET_CLASSES, IMAGENET_SYNONYMS, imagenetClassIndex } from '../../src/model/imagenet.js';

it('lists 1000 classes in the order of ILSVRC 2012 with distinct first names', () => {
  expect(IMAGENET_CLASSES).toHaveLength(1000);
  expect(new Set(IMAGENET_CLASSES.map((name) => name.toLowerCase())).size).toBe(1000);
  const known = { 0: 'tench', 1: 'goldfish', 207: 'golden retriever', 281: 'tabby', 388: 'giant panda', 417: 'balloon' };
  for (const [index, name] of Object.entries(known)) expect(IMAGENET_CLASSES[Number(index)]).toBe(name);
  expect(IMAGENET_SYNONYMS[999]).toEqual(['toilet tissue', 'toilet paper', 'bathroom tissue']);
  for (const names of IMAGENET_SYNONYMS) for (const name of names) expect(name).toMatch(/^\S(.*\S)?$/);
});

it('finds every class by its first name and by synonyms, ignoring case', () => {
  for (const [index, name] of IMAGENET_CLASSES.entries()) expect(imagenetClassIndex(name)).toBe(index);
  expect(imagenetClassIndex('Golden_Retriever')).toBe(207);
  expect(imagenetClassIndex('toilet  paper')).toBe(999);
  expect(imagenetClassIndex('man eating shark')).toBe(2);
  expect(imagenetClassIndex('partridge')).toBe(86);
  expect(imagenetClassIndex('cardigan')).toBe(474);
  expect(imagenetClassIndex('unicorn')).toBeUndefined();
});

it('the error for an ambiguous synonym names the classes that share it', () => {
  expect(() => imagenetClassIndex('panda')).toThrow(OptionError);
  expect(() => imagenetClassIndex('panda')).toThrow(/"lesser panda" \(387\) and "giant panda" \(388\)/);
  expect(() => imagenetClassIndex('crane')).toThrow(/"crane \(bird\)" \(134\) and "crane \(machine\)" \(517\)/);
});

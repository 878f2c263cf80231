/** Class names and numbers. */
import { describe, expect, it } from 'vitest';
import { CheckpointError, OptionError } from '../../src/core/errors.js';
import { type ClassChoice, classNames, findClasses, parseClasses, resolveClasses } from '../../src/model/classes.js';

describe('resolveClasses', () => {
  const composed = 'Caf\u00e9';
  const names = ['Polish', 'polish', 'crane', 'crane', ' padded ', composed, '2', 'Bag'];
  const resolve = (classes: ClassChoice) => resolveClasses(classes, names.length, names);

  it('takes numbers, names and "all"', () => {
    expect(resolve('all')).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(resolve([3, 'Bag', 'bag', ' BAG '])).toEqual([3, 7, 7, 7]);
    expect(resolveClasses('12', 20, undefined)).toEqual([12]);
    expect(resolveClasses([' 3 '], 20, ['a'])).toEqual([3]);
  });

  it('prefers an exact name to other spellings and to numbers', () => {
    expect(resolve('Polish')).toEqual([0]);
    expect(resolve('polish')).toEqual([1]);
    expect(resolve('2')).toEqual([6]);
  });

  it('ignores case, Unicode normalisation and blanks if no name matches exactly', () => {
    expect(resolve('padded')).toEqual([4]);
    expect(resolve('cafe\u0301')).toEqual([5]);
    expect(resolve('  CAF\u00c9 ')).toEqual([5]);
  });

  it('refuses a name that several classes share and lists their numbers', () => {
    expect(() => resolve('crane')).toThrow(OptionError);
    expect(() => resolve('crane')).toThrow('class "crane" may be 2 (crane) or 3 (crane); give the number');
    expect(() => resolve('POLISH')).toThrow('0 (Polish) or 1 (polish)');
  });

  it('refuses values that are no class', () => {
    const wrong: [unknown, RegExp][] = [
      [8, /no class 8; use a number from 0 to 7 or one of Polish/],
      [-1, /no class -1/],
      [1.5, /no class 1.5/],
      [Number.NaN, /no class NaN/],
      ['99', /no class "99"/],
      [[], /classes is empty/],
      [[null], /no class null/],
    ];
    for (const [classes, message] of wrong) {
      expect(() => resolve(classes as ClassChoice)).toThrow(OptionError);
      expect(() => resolve(classes as ClassChoice)).toThrow(message);
    }
    expect(() => resolveClasses('cat', 3, undefined)).toThrow(/this model has no class names/);
  });
});

describe('classes.json', () => {
  it('may begin with a byte order mark', () => {
    expect(parseClasses('\uFEFF["a", "b"]', 2)).toEqual(['a', 'b']);
    expect(parseClasses(undefined, 2)).toBeUndefined();
  });

  it('is refused unless it lists one name per class', () => {
    for (const text of ['["a"]', '["a", 1]', '{', 'null']) expect(() => parseClasses(text, 2)).toThrow(CheckpointError);
  });
});

describe('names of a model of 1000 classes without classes.json', () => {
  const find = (classes: ClassChoice | undefined) => findClasses(classes, 1000, undefined);

  it("are ImageNet's, with their synonyms, beside numbers", async () => {
    expect(await find(['golden retriever', 'Toilet_Paper', 3, ' 12 '])).toEqual([207, 999, 3, 12]);
    expect(await find('Golden Retriever')).toEqual([207]);
    expect(await find(undefined)).toHaveLength(1000);
    expect((await classNames(1000, undefined))?.[207]).toBe('golden retriever');
  });

  it('are refused with the classes that are meant', async () => {
    await expect(find('golden retreiver')).rejects.toThrow(
      /ImageNet has no class "golden retreiver"; did you mean "golden retriever"\?/,
    );
    await expect(find('retriever')).rejects.toThrow(
      /have the word: flat-coated retriever, curly-coated retriever, golden retriever/,
    );
    await expect(find('xyzzyxyzzy')).rejects.toThrow(/no class "xyzzyxyzzy" \(or give a number from 0 to 999\)\.$/);
    await expect(find([])).rejects.toThrow(/classes is empty/);
    await expect(find(1000)).rejects.toThrow(OptionError);
  });

  it('are not those of other models', async () => {
    await expect(findClasses('golden retriever', 999, undefined)).rejects.toThrow(/no class names/);
    const own = Array.from({ length: 1000 }, (_, i) => `c${i}`);
    await expect(findClasses('golden retriever', 1000, own)).rejects.toThrow(/one of c0, c1/);
    expect(await findClasses('c3', 1000, own)).toEqual([3]);
    expect(await classNames(1000, own)).toBe(own);
    expect(await classNames(10, undefined)).toBeUndefined();
  });
});

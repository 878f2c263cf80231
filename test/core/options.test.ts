/** Checking options against their table. */
import { describe, expect, it } from 'vitest';
import { OptionError } from '../../src/core/errors.js';
import { checkOptions, defaultsOf, nearest, type OptionTable } from '../../src/core/options.js';

interface Options {
  count?: number;
  share?: number;
  rate?: number;
  mode?: 'fast' | 'slow';
  name?: string;
  flags?: string[];
  verbose?: boolean;
  place?: string | URL;
  onStep?: () => void;
  signal?: AbortSignal;
  any?: unknown;
}

const TABLE = {
  count: { type: 'integer', min: 1, max: 10, default: 4, about: 'how many' },
  share: { type: 'number', min: 0, exclusiveMin: true, max: 1, default: 1, about: 'which share' },
  rate: { type: 'number', min: 0, max: 1, exclusiveMax: true, about: 'a rate' },
  mode: { type: 'choice', choices: ['fast', 'slow'], default: 'fast', about: 'how' },
  name: { type: 'string', about: 'a name' },
  flags: { type: 'strings', about: 'some flags' },
  verbose: { type: 'boolean', about: 'say more' },
  place: { type: 'url', about: 'where' },
  onStep: { type: 'function', about: 'called' },
  signal: { type: 'signal', about: 'stops' },
  any: { type: 'other', about: 'anything' },
} as const satisfies OptionTable<Options>;

const check = (given: unknown) => checkOptions<Options, typeof TABLE>('draw', given as Options, TABLE);

describe('checkOptions', () => {
  it('fills in defaults and treats undefined as not given', () => {
    expect(check(undefined)).toEqual({ count: 4, share: 1, mode: 'fast' });
    expect(check({ count: undefined, share: 0.5, name: 'x' })).toEqual({ count: 4, share: 0.5, mode: 'fast', name: 'x' });
    expect(defaultsOf(TABLE)).toEqual({ count: 4, share: 1, mode: 'fast' });
  });

  it('takes every value in range', () => {
    const all: Options = {
      count: 10,
      share: 1,
      mode: 'slow',
      name: '',
      flags: ['a'],
      verbose: false,
      place: new URL('https://example.org'),
      onStep: () => {},
      signal: new AbortController().signal,
      any: 0,
    };
    expect(check(all)).toEqual(all);
  });

  for (const [given, message] of [
    [{ count: 0 }, 'count is 0; it must be an integer from 1 to 10 (how many).'],
    [{ count: 11 }, 'count is 11;'],
    [{ count: 1.5 }, 'count is 1.5;'],
    [{ count: '5' }, 'count is "5";'],
    [{ count: null }, 'count is null;'],
    [{ count: Number.NaN }, 'count is NaN;'],
    [{ share: Number.POSITIVE_INFINITY }, 'share is Infinity;'],
    [{ share: 1e39 }, 'share is 1e+39;'],
    [{ share: 1e-50 }, 'share is 1e-50;'],
    [{ rate: 1e39 }, 'rate is 1e+39; it must be a finite number of at least 0 and below 1 (a rate).'],
    [{ rate: 1 - 1e-12 }, 'rate is 0.999999999999;'],
    [{ count: 2 ** 32 + 1 }, 'count is 4294967297;'],
    [{ count: 1n }, 'count is 1n;'],
    [{ share: 0 }, 'share is 0; it must be a finite number above 0 and at most 1 (which share).'],
    [{ share: -0 }, 'share is 0;'],
    [{ mode: 'medium' }, `mode is "medium"; it must be 'fast' or 'slow' (how).`],
    [{ name: 3 }, 'name is 3; it must be a string'],
    [{ flags: 'a' }, 'flags is "a"; it must be a list of strings'],
    [{ verbose: 1 }, 'verbose is 1; it must be true or false'],
    [{ place: 7 }, 'place is 7; it must be a URL'],
    [{ onStep: 3 }, 'onStep is 3; it must be a function'],
    [{ signal: {} }, 'signal is {}; it must be an AbortSignal'],
    [{ any: null }, 'any is null;'],
    [{ Count: 3 }, 'draw: there is no option "Count"; did you mean count?'],
    [{ cuont: 3 }, 'did you mean count?'],
    [{ prefix: 3 }, 'there is no option "prefix"; it takes count, share, rate, mode'],
    [null, 'draw: the options are null; pass an object, or nothing.'],
    [[], 'the options are []'],
    [3, 'the options are 3'],
  ] as const)
    it(`refuses ${message}`, () => {
      expect(() => check(given)).toThrow(OptionError);
      expect(() => check(given)).toThrow(message);
    });

  it('returns zero for negative zero', () => {
    const table = { x: { type: 'number', about: 'a number' } } as const;
    const { x } = checkOptions<{ x?: number }, typeof table>('f', { x: -0 }, table);
    expect(Object.is(x, 0)).toBe(true);
  });
});

it('the nearest name is suggested up to one error in three letters', () => {
  const names = ['topK', 'topP', 'temperature', 'cfgScale'];
  expect(nearest('topk', names)).toBe('topK');
  expect(nearest('temprature', names)).toBe('temperature');
  expect(nearest('cfg_scale', names)).toBe('cfgScale');
  expect(nearest('prefix', names)).toBeUndefined();
});

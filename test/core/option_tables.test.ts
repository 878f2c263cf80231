/** Every number among the options, in the library and on the command line, refuses what is no number in its range. */
import { describe, expect, it } from 'vitest';
import { DEVICE } from '../../src/backend/create.js';
import { parse } from '../../src/cli/command.js';
import * as commands from '../../src/cli/commands.js';
import { OptionError } from '../../src/core/errors.js';
import { accepted, checkOptions, type OptionSpec, type OptionTable } from '../../src/core/options.js';
import { TOKENIZE } from '../../src/data/codes.js';
import { IMAGE_FOLDER } from '../../src/data/image_folder.js';
import { DATA } from '../../src/data/open.js';
import { SOURCE } from '../../src/io/bytes.js';
import { GENERATE } from '../../src/model/generate.js';
import { LOAD } from '../../src/model/model.js';
import { START_FROM } from '../../src/model/start_from.js';
import { TUNE } from '../../src/model/tune.js';
import { TRAINER } from '../../src/train/options.js';

const TABLES: Record<string, OptionTable> = {
  GENERATE,
  TUNE,
  DEVICE,
  LOAD,
  SOURCE,
  TRAINER,
  TOKENIZE,
  DATA,
  IMAGE_FOLDER,
  START_FROM,
};
const isNumber = (spec: OptionSpec | undefined) => spec?.type === 'integer' || spec?.type === 'number';
/** Beyond the range of this option, or of every option. */
const beyond = (spec: OptionSpec): number[] => {
  const { min, max } = spec as { min?: number; max?: number };
  const odd = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e39, 1e308];
  return [...odd, ...(min === undefined ? [] : [min - 1]), ...(max === undefined ? [] : [max + 1, 2 ** 32 + 1])];
};

describe('in the library', () => {
  for (const [table, specs] of Object.entries(TABLES))
    it(table, () => {
      for (const [name, spec] of Object.entries(specs)) {
        const refused = (value: unknown) =>
          expect(() => checkOptions('call', { [name]: value }, specs), `${name} ${String(value)}`).toThrow(OptionError);
        refused(null);
        if (!isNumber(spec)) continue;
        for (const value of [...beyond(spec), '5', '', true, [], [1], {}, 1n, () => 1]) refused(value);
        if (spec.type === 'integer') for (const value of [1.5, 2 ** 53]) refused(value);
      }
      expect(() => checkOptions('call', { nothingOfTheKind: 1 } as object, specs)).toThrow(
        /there is no option "nothingOfTheKind"/,
      );
    });
});

describe('on the command line', () => {
  it.each(Object.values(commands).map((command) => [command.name, command] as const))('%s', (_, command) => {
    for (const [name, { spec }] of Object.entries(command.flags)) {
      if (!spec || !isNumber(spec)) continue;
      const refused = (text: string) =>
        expect(() => parse(command, [`--${name}=${text}`]), `--${name}=${text}`).toThrow(OptionError);
      for (const text of [...beyond(spec).map(String), '', ' ', 'x', '1,5', 'null', '5x']) refused(text);
      if (spec.type === 'integer') for (const text of ['1.5', String(2 ** 53)]) refused(text);
      expect(accepted(spec)).toMatch(/^an? (integer|finite number)/);
    }
    expect(() => parse(command, ['--nothing-of-the-kind'])).toThrow(/there is no option --nothing-of-the-kind/);
  });

  it('numbers of every command are in tables', () => {
    const free = Object.values(commands).flatMap(({ name, flags }) =>
      Object.entries(flags).flatMap(([flag, { value, spec }]) => (value === 'N' && !spec ? [`${name} --${flag}`] : [])),
    );
    expect(free).toEqual([]);
  });
});

/** Unit tests of the command-line code, which need no process of their own. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Command, flag, helpOf, number, parse } from '../../src/cli/command.js';
import * as commands from '../../src/cli/commands.js';
import { checkNpz } from '../../src/cli/generate.js';
import { background } from '../../src/cli/options.js';
import { progressText } from '../../src/cli/progress.js';
import { checkSheet, sheet, squareColumns } from '../../src/cli/sheet.js';
import { duration, escaped } from '../../src/cli/terminal.js';
import { heldOutText } from '../../src/cli/train/run.js';
import { OptionError } from '../../src/core/errors.js';
import { lacksVulkan } from '../../src/platform/vulkan.js';
import { folderOf } from '../data/data_folders.js';

describe('command lines', () => {
  const demo: Command = {
    name: 'demo',
    usage: '[X]',
    summary: '',
    about: 'About.',
    flags: {
      seed: flag({ type: 'integer', min: 0, default: 3, about: 'of it' }, { short: 's' }),
      out: { type: 'string', short: 'o', value: 'F', help: 'where' },
      deep: { type: 'boolean', help: 'deep' },
      kind: flag({ type: 'choice', choices: ['a', 'b'], about: 'a kind' }),
    },
    run: async () => 0,
  };
  const refused = (args: string[], message: RegExp) => {
    expect(() => parse(demo, args)).toThrow(OptionError);
    expect(() => parse(demo, args)).toThrow(message);
  };

  it('accept short and long flags, both for help too', () => {
    const { flags, args } = parse(demo, ['-s', '4', '-o=x', 'm', '--deep'])!;
    expect([number(flags, 'seed'), flags.out, flags.deep, args]).toEqual([4, '=x', true, ['m']]);
    expect(parse(demo, ['-h'])).toBeUndefined();
    expect(helpOf(demo)).toBe(
      'usage: aim demo [X] [options]\n\nAbout.\n\n  -s, --seed N    of it (default 3)\n  -o, --out F     where\n' +
        '      --deep      deep\n      --kind a|b  a kind\n  -h, --help      this text\n',
    );
  });

  it('are checked before the command runs', () => {
    refused(['--seed', '-1'], /^--seed is -1; it must be an integer of at least 0 \(of it\)/);
    refused(['-s', '-1'], /^--seed is -1/);
    refused(['--seed', '1.5'], /^--seed is 1\.5; it must be an integer/);
    refused(['--seed', 'x'], /--seed is "x"; it must be a number/);
    refused(['--seed'], /demo: --seed needs a value; see `aim demo --help`/);
    refused(['--seed', '--deep'], /demo: --seed needs a value/);
    refused(['--deep=1'], /demo: --deep takes no value/);
    refused(['--sed', '1'], /there is no option --sed \(did you mean --seed\?\)/);
    refused(['-x'], /there is no option -x/);
    refused(['--kind', 'c'], /--kind is "c"; it must be one of a, b/);
    refused(['a', 'b'], /unexpected "b"/);
  });

  it('name each command once, with flags that do not share a letter', () => {
    const COMMANDS = Object.values(commands);
    expect(new Set(COMMANDS.map((c) => c.name)).size).toBe(COMMANDS.length);
    for (const { flags, name } of COMMANDS) {
      const letters = Object.values(flags).flatMap((f) => f.short ?? []);
      expect([name, new Set(letters).size]).toEqual([name, letters.length]);
      expect(letters).not.toContain('h');
    }
  });

  it('accept colours by name and number', () => {
    expect(background({})).toBeUndefined();
    expect([background({ background: 'Black' }), background({ background: '#10fF03' })]).toEqual([
      [0, 0, 0],
      [16, 255, 3],
    ]);
    expect(() => background({ background: 'red' })).toThrow(/--background is "red"; it must be white, black, grey or #rrggbb/);
  });
});

describe('text for the terminal', () => {
  it('escapes control characters from outside', () => {
    expect(escaped('a\u001b]0;x\u0007\tb\r\u009b2J\u202ec\n')).toBe('a\\u001b]0;x\\u0007\tb\\u000d\\u009b2J\\u202ec\n');
    expect(JSON.parse(escaped(JSON.stringify({ name: '\u202ex\u009b' })))).toEqual({ name: '\u202ex\u009b' });
    expect(escaped('Größe 日本 👗')).toBe('Größe 日本 👗');
  });

  it('shows durations in readable units', () => {
    expect([0, 45, 59.7, 1162, 3600, 7500, 47 * 3600, 260000].map(duration)).toEqual([
      '0 s',
      '45 s',
      '1 min',
      '19 min',
      '1 h',
      '2 h 5 min',
      '47 h',
      '3 days',
    ]);
  });

  it('computes speed and remaining time from the step at which a run was resumed', () => {
    expect(progressText('training', [234, 300, 232, 1], 'steps', 8)).toMatch(/ 234\/300 steps · 0\.25 steps\/s · 4 min left$/);
    expect(progressText('drawing', [0, 6400, 0, 1], 'tokens', 0)).toMatch(/░ 0\/6,400 tokens$/);
    expect(progressText('loading', [5e6, 11e6, 0, 1e6], 'MB', 1)).toMatch(/ 5\/11 MB · 5 MB\/s · 1 s left$/);
    expect(progressText('drawing', [64, 64, 0, 1], 'tokens', 2)).toMatch(/█ 64\/64 tokens · 32 tokens\/s$/);
  });

  it('shows each held-out value once', () => {
    expect(heldOutText({ loss: 2.5, crossEntropy: 2.5, emaLoss: 2.4 })).toBe('held-out loss 2.5000, emaLoss 2.4000');
  });
});

describe('sheets of images', () => {
  const flat = (v: number) => ({ width: 2, height: 1, data: new Uint8Array(6).fill(v) });

  it('are about square, with a complete last row if possible', () => {
    expect([1, 2, 4, 7, 10, 12, 40, 100].map(squareColumns)).toEqual([1, 2, 2, 3, 5, 4, 8, 10]);
  });

  it('place and enlarge images', () => {
    const { width, height, data } = sheet([flat(1), flat(2), flat(3)], { columns: 2, scale: 2 });
    expect([width, height]).toEqual([12, 8]);
    const row = (y: number) => Array.from({ length: width }, (_, x) => data[(y * width + x) * 3]);
    expect(row(1)).toEqual([1, 1, 1, 1, 255, 255, 255, 255, 2, 2, 2, 2]);
    expect(row(2)).toEqual(Array(12).fill(255));
    expect(row(7)).toEqual([3, 3, 3, 3, ...Array(8).fill(255)]);
  });

  it('have labels below, cut to the width of the image', () => {
    const image = { width: 8, height: 1, data: new Uint8Array(24) };
    const { width, height, data } = sheet([image], { columns: 1, scale: 1, labels: ['L1?x'] });
    expect([width, height]).toEqual([8, 8]);
    const text = Array.from({ length: 5 }, (_, y) =>
      Array.from({ length: 8 }, (_, x) => (data[((y + 2) * 8 + x) * 3] ? '.' : '#')).join(''),
    );
    expect(text).toEqual(['#....#..', '#...##..', '#....#..', '#....#..', '###.###.']);
  });

  it('are refused when they are too large', () => {
    expect(() => checkNpz(50000, 256)).toThrow(/50,000 images of 256×256 take 9\.8 GB, .* draw at most 21\d\d\d at once/);
    expect(() => checkNpz(20000, 256)).not.toThrow();
    expect(() => checkSheet(50000, 256, 256, { columns: 10, scale: 1 })).toThrow(/would have \d+×\d+ pixels; draw fewer/);
  });
});

it('the search for a Vulkan driver is skipped if the environment names one', async ({ skip }) => {
  if (process.platform !== 'linux') return skip('only Linux has manifests of Vulkan drivers in folders');
  const { VK_DRIVER_FILES, VK_ICD_FILENAMES } = process.env;
  const dir = folderOf({ 'driver.json': '{}' });
  mkdirSync(`${dir}/empty`);
  writeFileSync(`${dir}/empty/readme`, '');
  try {
    delete process.env.VK_DRIVER_FILES;
    for (const [path, lacks] of [
      [`${dir}/driver.json`, false],
      [dir, false],
      [`${dir}/none.json`, true],
      [`${dir}/empty`, true],
      [`${dir}/none.json:${dir}/driver.json`, false],
    ] as const) {
      process.env.VK_ICD_FILENAMES = path;
      expect([path, await lacksVulkan()]).toEqual([path, lacks]);
    }
  } finally {
    for (const [name, value] of Object.entries({ VK_DRIVER_FILES, VK_ICD_FILENAMES }))
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
  }
});

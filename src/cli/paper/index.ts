/** `aim paper`: the paper's experiments at a scale that a laptop or one GPU allows. Finished cells are kept. */
import { resolve } from 'node:path';
import { CheckpointError, OptionError } from '../../core/errors.js';
import { nearest } from '../../core/options.js';
import { imageGrid } from '../../io/image.js';
import { sha256Text } from '../../io/sha256.js';
import { exists, makeFolder, readText, writeAtomic } from '../../platform/files.js';
import { environment } from '../../platform/runtime.js';
import { RECIPE } from '../../train/recipe.js';
import { type Command, choice, type Flags, flag, number, type Parsed, string } from '../command.js';
import { COMMON, modelOptions, NUMERICS } from '../options.js';
import { print, say } from '../terminal.js';
import type { Cell, Experiment, Row } from './experiment.js';
import { EXPERIMENTS } from './experiments.js';
import { Material } from './material.js';
import { SCALES, type ScaleName } from './scale.js';

const NAMES = Object.keys(SCALES) as ScaleName[];

const FLAGS: Flags = {
  scale: flag(
    { type: 'choice', choices: NAMES, about: 'how large' },
    { help: 'tiny: a minute, to see that it works; laptop: some hours; gpu: some minutes on a large GPU (default laptop)' },
  ),
  size: flag(RECIPE.size, { help: 'side of the images in pixels (default 32)' }),
  tokenizer: {
    type: 'string',
    value: 'MODEL',
    help: 'a model whose tokenizer is used (default: a new one is trained)',
  },
  model: {
    type: 'string',
    value: 'MODEL',
    help: 'what `guidance` draws with (default: a new one is trained)',
  },
  out: { type: 'string', short: 'o', value: 'FOLDER', help: 'where to write (default out/paper)' },
  ...NUMERICS,
  ...COMMON,
};

export const paper: Command = {
  name: 'paper',
  usage: 'NAME [DATA]',
  summary: "repeat the paper's experiments at a small scale",
  about:
    `NAME is one of:\n${EXPERIMENTS.map(({ name, about }) => `  ${name.padEnd(10)}${about}`).join('\n')}\n\n` +
    'DATA is a data set with classes, as for `train` (default: environment variable FASHION_MNIST). Writes results.md, results.json,\n' +
    'plot.svg and samples into FOLDER/NAME. Started again after an interruption, it keeps what is finished.',
  maxArgs: 2,
  flags: FLAGS,
  run,
};

/** A finished cell. */
interface Done {
  name: string;
  rows: Row[];
  seconds: number;
  date: string;
}

/** A change of what cells mean gets another number. */
const FORMAT = 'aim-js paper 1';

async function run({ flags, args }: Parsed, signal: AbortSignal): Promise<number> {
  const [name = '', given] = args;
  const experiment = EXPERIMENTS.find((e) => e.name === name);
  const names = EXPERIMENTS.map((e) => e.name);
  if (!experiment) {
    const near = nearest(name, names);
    throw new OptionError(
      `paper: ${name ? `there is no experiment ${name}` : 'which experiment?'}; ${near ? `did you mean ${near}?` : `it is one of ${names.join(', ')}.`}`,
    );
  }
  const path = given ?? environment('FASHION_MNIST');
  if (experiment.data && path === undefined)
    throw new OptionError(`paper: on which data? Pass a folder: \`aim paper ${name} DATA\`, or set FASHION_MNIST.`);
  const scaleName = choice(flags, 'scale', NAMES) ?? 'laptop';
  const scale = SCALES[scaleName];
  const root = string(flags, 'out') ?? 'out/paper';
  const out = `${root}/${experiment.name}`;
  const load = { ...modelOptions(flags), signal };
  const models = { tokenizer: string(flags, 'tokenizer'), model: string(flags, 'model') };
  const size = number(flags, 'size') ?? 32;
  const m = new Material({ path: path ?? '', size, ...models, keep: `${root}/shared`, scale, load, signal });
  try {
    const data = experiment.data ? [(await m.data()).id, size, models] : [];
    const keyOf = (cell: Cell) =>
      sha256Text(JSON.stringify([FORMAT, experiment.name, cell.name, cell.settings, scale, data, load.device ?? ''])).slice(
        0,
        16,
      );
    const cells = experiment.cells(scale);
    const facts = {
      experiment: experiment.name,
      scale: scaleName,
      ...(experiment.data && { data: resolve(path!).split(/[/\\]/).at(-1)!, size }),
    };
    await makeFolder(`${out}/cells`);
    const done: Done[] = [];
    for (const [i, cell] of cells.entries()) {
      signal.throwIfAborted();
      const file = `${out}/cells/${keyOf(cell)}.json`;
      const kept = await readCell(file);
      if (kept) {
        say(`${i + 1}/${cells.length} ${cell.name}: done before\n`);
        done.push(kept);
      } else {
        say(`${i + 1}/${cells.length} ${cell.name}\n`);
        done.push(await compute(cell, m, file, out));
      }
      await write(out, experiment, done, facts);
    }
    print(`${await readText(`${out}/results.md`)}\n${out}\n`);
    return 0;
  } finally {
    await m.dispose();
  }
}

async function compute(cell: Cell, m: Material, file: string, out: string): Promise<Done> {
  const start = performance.now();
  const { rows, samples } = await cell.run(m);
  const done = {
    name: cell.name,
    rows,
    seconds: Math.round((performance.now() - start) / 100) / 10,
    date: new Date().toISOString(),
  };
  if (samples?.length) {
    await makeFolder(`${out}/samples`);
    await writeAtomic(`${out}/samples/${cell.name}.png`, await imageGrid(samples, 10).toPNG());
  }
  // Last, so that what a finished cell names is there.
  await writeAtomic(file, text(JSON.stringify(done)));
  return done;
}

/** A finished cell, or undefined if there is none. Throws CheckpointError for a file that is damaged. */
async function readCell(file: string): Promise<Done | undefined> {
  if (!(await exists(file))) return undefined;
  try {
    return JSON.parse(await readText(file)) as Done;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new CheckpointError(`${file} is damaged; remove it, and its cell is computed again.`, { cause: error });
  }
}

async function write(
  out: string,
  experiment: Experiment,
  done: readonly Done[],
  facts: Record<string, string | number>,
): Promise<void> {
  const rows = done.flatMap((cell) => cell.rows);
  const notes = experiment.notes?.(rows) ?? [];
  const head = Object.entries(facts).map(([name, value]) => `${name} ${value}`);
  const lines = [
    `# ${experiment.name}`,
    '',
    `${head.slice(1).join(', ')}`,
    '',
    table(rows),
    '',
    ...notes,
    ...(notes.length ? [''] : []),
  ];
  await writeAtomic(`${out}/results.md`, text(lines.join('\n')));
  await writeAtomic(`${out}/results.json`, text(`${JSON.stringify({ ...facts, rows, notes, cells: done }, undefined, 2)}\n`));
  await writeAtomic(`${out}/plot.svg`, text(experiment.plot(rows)));
}

/** The rows as Markdown. */
function table(rows: readonly Row[]): string {
  const columns = [...new Set(rows.flatMap(Object.keys))];
  const cell = (value: Row[string] | undefined) =>
    value === undefined
      ? ''
      : typeof value === 'boolean'
        ? value
          ? 'yes'
          : 'no'
        : typeof value === 'number'
          ? value.toLocaleString('en', { maximumFractionDigits: 4 })
          : value;
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(columns), line(columns.map(() => '---')), ...rows.map((row) => line(columns.map((c) => cell(row[c]))))].join('\n');
}

const text = (value: string) => new TextEncoder().encode(value);

/** `aim verify`: golden values of a checkpoint folder against a backend. */

import { OptionError } from '../core/errors.js';
import { greyToRgb, readIdx } from '../data/idx.js';
import { openFile } from '../io/file_source.js';
import { environment } from '../platform/runtime.js';
import { type TestSet, type VerifyRow, verify as verifyModel } from '../verify/run.js';
import { type VerifyMode, verifyMode } from '../verify/tolerance.js';
import { type Command, type Flags, type Parsed, string } from './command.js';
import { loadModel } from './model.js';
import { COMMON, modelOptions, NUMERICS } from './options.js';
import { print } from './terminal.js';

const FLAGS: Flags = {
  data: {
    type: 'string',
    value: 'FOLDER',
    help: "Fashion-MNIST's IDX files, for goldens that name test images (default: environment variable FASHION_MNIST)",
  },
  slow: { type: 'boolean', help: 'also run checks that take minutes on a slow device' },
  json: { type: 'boolean', help: 'print JSON instead of a table' },
  ...NUMERICS,
  ...COMMON,
  device: { ...COMMON.device!, value: 'auto|webgpu|wasm|reference', help: 'where to compute; reference is float64 TypeScript' },
};

export const verify: Command = {
  name: 'verify',
  usage: 'FOLDER',
  summary: "check a backend against a checkpoint's golden values",
  about:
    'Runs FOLDER/model.safetensors against every tensor of FOLDER/expected.safetensors that it knows how to check.\n' +
    'These are values that another implementation computed with the model; a clone of aim-js has such folders in test/fixtures.\n' +
    'What is allowed depends on how the model computes there (--dtype, --precision), which the first lines tell.\n' +
    'Exits 0 when all are within their allowance, 1 when any is not.',
  flags: FLAGS,
  run,
};

async function run({ flags, args }: Parsed, signal: AbortSignal): Promise<number> {
  const folder = args[0];
  if (!folder)
    throw new OptionError('verify: which folder? Pass one that holds config.json, model.safetensors and expected.safetensors.');
  const source = await openFile(`${folder}/expected.safetensors`);
  const aim = await loadModel(folder, { ...modelOptions(flags), signal }).catch(async (error) => {
    await source.close();
    throw error;
  });
  try {
    if (!flags.json) print(`${folder} on ${aim.device}\n${modeLines(verifyMode(aim))}${HEADER}`);
    const { mode, rows, skipped } = await verifyModel(aim, source, {
      testSet: await testSet(string(flags, 'data') ?? environment('FASHION_MNIST'), aim.config.image_size),
      slow: flags.slow === true,
      signal,
      onRow: (row) => !flags.json && print(line(row)),
    });
    const failed = rows.filter((r) => !r.ok).length;
    if (flags.json) print(`${JSON.stringify({ folder, device: aim.device, mode, rows, skipped })}\n`);
    else {
      for (const { name, reason } of summarise(skipped)) print(`not checked: ${name} (${reason})\n`);
      print(`${rows.length - failed} ok, ${failed} failed, ${skipped.length} not checked\n`);
    }
    return failed ? 1 : 0;
  } finally {
    await source.close();
    await aim.dispose();
  }
}

const HEADER = `${'tensor'.padEnd(48)} ${'max abs'.padStart(10)} ${'max rel'.padStart(10)} ${'allowed'.padStart(10)}\n`;

function modeLines({ name, weights, products, reason, allowed }: VerifyMode): string {
  const figures = Object.entries(allowed).map(([what, v]) => `${what} ${v.toPrecision(2)}`);
  return `weights ${weights}; products ${products}\nallowed in mode ${name} (${reason}): ${figures.join(', ')}\n`;
}

function line({ name, maxAbs, maxRel, allowed, ok, note }: VerifyRow): string {
  const figure = (v: number) => v.toExponential(2).padStart(10);
  return `${name.padEnd(48)} ${figure(maxAbs)} ${figure(maxRel)} ${figure(allowed)} ${ok ? 'ok' : 'FAILED'}${note ? ` (${note})` : ''}\n`;
}

/** Many tensors of one kind share a line. */
function summarise(skipped: { name: string; reason: string }[]) {
  const groups = new Map<string, { name: string; reason: string; count: number }>();
  for (const { name, reason } of skipped) {
    const key = `${name.split('.')[0]} ${reason}`;
    const group = groups.get(key);
    if (group) group.count++;
    else groups.set(key, { name, reason, count: 1 });
  }
  return [...groups.values()].map(({ name, reason, count }) => ({
    name: count > 1 ? `${name} and ${count - 1} more of ${name.split('.')[0]}.*` : name,
    reason,
  }));
}

async function testSet(folder: string | undefined, size: number): Promise<TestSet | undefined> {
  if (folder === undefined) return undefined;
  const images = await readIdx(folder, 't10k-images-idx3-ubyte', 3);
  const labels = await readIdx(folder, 't10k-labels-idx1-ubyte', 1);
  return {
    images: async (index) => ({ width: size, height: size, pixels: greyToRgb(images, index, size) }),
    labels: async (index) => Uint32Array.from(index, (i) => labels.data[i]!),
  };
}

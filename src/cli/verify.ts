/** `aim verify`: a backend against the golden values of a checkpoint, or against another backend. */
import type { AiM, LoadOptions } from '../aim.js';
import { ReferenceBackend } from '../backend/reference.js';
import { OptionError } from '../core/errors.js';
import type { OptionSpec } from '../core/options.js';
import { greyToRgb, readIdx } from '../data/idx.js';
import { bytesSource } from '../io/bytes.js';
import { openFile } from '../io/file_source.js';
import { exists } from '../platform/files.js';
import { environment } from '../platform/runtime.js';
import { goldensOf } from '../verify/goldens.js';
import { type TestSet, type VerifyRow, verify as verifyModel } from '../verify/run.js';
import { type VerifyMode, verifyMode } from '../verify/tolerance.js';
import { type Command, type Flags, flag, number, type Parsed, string } from './command.js';
import { embeddedModel, loadModel } from './model.js';
import { COMMON, modelOptions, NUMERICS } from './options.js';
import { counted, print, say } from './terminal.js';

const EXPECTED = 'expected.safetensors';

const COUNT = { type: 'integer', min: 1, max: 64, default: 4, about: 'images' } as const satisfies OptionSpec;

/** Parameters × tokens with which the reference takes minutes: 30 times those of models/fashion-mnist, which take 5 seconds. */
const SLOW = 1e10;

const FLAGS: Flags = {
  count: flag(COUNT, { short: 'n', help: 'images that two backends are compared on (default 4; with the reference 1)' }),
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
  usage: '[MODEL]',
  summary: 'check a backend against golden values, or against another backend',
  about:
    'Runs MODEL (default: the embedded one) against every tensor of its expected.safetensors, if it is a folder that has one. These are\n' +
    'values that another implementation computed with the model; a clone of aim-js has such folders in test/fixtures.\n' +
    'Without it, two backends are compared: WebGPU with WASM or, where there is no GPU or --device says so, WASM with a slow reference in\n' +
    'float64; --device reference and --device webgpu are compared with WASM. What the other one computes is then expected: logits of fixed\n' +
    'codes, tokens drawn greedily with guidance, and features, codes and the reconstruction of images, of --count images.\n' +
    'What is allowed depends on how the model computes there (--dtype, --precision), which the first lines tell.\n' +
    'Exits 0 when all are within their allowance, 1 when any is not.',
  flags: FLAGS,
  run,
};

async function run({ flags, args }: Parsed, signal: AbortSignal): Promise<number> {
  const folder = args[0] ?? embeddedModel();
  const file = `${folder}/${EXPECTED}`;
  const own = (await exists(file)) ? await openFile(file) : undefined;
  const options = { ...modelOptions(flags), signal };
  const aim = await loadModel(folder, options).catch(async (error) => {
    await own?.close();
    throw error;
  });
  let source = own;
  try {
    const other = own ? undefined : await otherBackend(folder, flags, { aim, options });
    source ??= bytesSource(other!.goldens, other!.device);
    const against = other && `${other.device}, ${counted(other.count, 'image')}`;
    if (!flags.json)
      print(`${folder} on ${aim.device}\n${against ? `compared with ${against}\n` : ''}${modeLines(verifyMode(aim))}${HEADER}`);
    const { mode, rows, skipped } = await verifyModel(aim, source, {
      testSet: await testSet(string(flags, 'data') ?? environment('FASHION_MNIST'), aim.config.image_size),
      slow: flags.slow === true,
      signal,
      onRow: (row) => !flags.json && print(line(row)),
    });
    const failed = rows.filter((r) => !r.ok).length;
    const result = { folder, device: aim.device, ...(other && { against: other.device }), mode, rows, skipped };
    if (flags.json) print(`${JSON.stringify(result)}\n`);
    else {
      for (const { name, reason } of summarise(skipped)) print(`not checked: ${name} (${reason})\n`);
      print(`${rows.length - failed} ok, ${failed} failed, ${skipped.length} not checked\n`);
    }
    return failed ? 1 : 0;
  } finally {
    await source?.close();
    await aim.dispose();
  }
}

/** What the other backend computes: WASM, for a model on WASM the reference. */
async function otherBackend(
  folder: string,
  flags: Parsed['flags'],
  { aim, options }: { aim: AiM; options: LoadOptions },
): Promise<{ goldens: Uint8Array; device: string; count: number }> {
  const { backend: _, ...rest } = options;
  const onWasm = aim.model.be.name === 'wasm';
  const count = number(flags, 'count') ?? (onWasm || aim.model.be.name === 'reference' ? 1 : COUNT.default);
  const slow = aim.model.be.name !== 'webgpu' && aim.parameters.model * aim.config.num_tokens * count > SLOW;
  if (slow && !flags.slow)
    throw new OptionError(
      `verify: the float64 reference takes many minutes for a model of ${aim.parameters.model.toLocaleString('en')} parameters; compare a ` +
        'GPU with WASM (--device webgpu), or pass --slow.',
    );
  const second = onWasm ? { backend: () => new ReferenceBackend() } : { device: 'wasm' as const };
  // As its weights are stored: rounded ones are to be compared with exact ones.
  const other = await loadModel(folder, { ...rest, dtype: 'auto', precision: 'f32', ...second });
  try {
    if (!flags.json) say(`computing what is expected: ${other.device}\n`);
    return { goldens: await goldensOf(other, { count, signal: options.signal }), device: other.device, count };
  } finally {
    await other.dispose();
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

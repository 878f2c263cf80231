/** `aim convert`: any checkpoint that can be read, such as a file of PyTorch, as a folder with model.safetensors. */
import { CLASSES, GENERATION } from '../checkpoint/folder.js';
import { modelHeader } from '../checkpoint/names.js';
import { openCheckpoint, openSource } from '../checkpoint/source.js';
import { IoError, OptionError } from '../core/errors.js';
import type { ByteSource } from '../io/bytes.js';
import { type Dtype, isFloat } from '../io/dtype.js';
import {
  parseHeader,
  readFloats,
  readInts,
  type SafetensorsHeader,
  type TensorData,
  writeSafetensors,
} from '../io/safetensors.js';
import { exists, isDirectory, writeAtomic } from '../platform/files.js';
import { inFolder } from '../platform/folders.js';
import { type Command, choice, type Flags, type Parsed, string } from './command.js';
import { generationConfig, withBar } from './model.js';
import { print } from './terminal.js';

const FLAGS: Flags = {
  dtype: { type: 'string', value: 'f32|f16', help: 'precision of the numbers written (default: that of the file)' },
  part: {
    type: 'string',
    value: 'NAME',
    help: 'which dict of a PyTorch file to take, e.g. ema or model (default: found by itself)',
  },
};

export const convert: Command = {
  name: 'convert',
  usage: 'IN OUT',
  maxArgs: 2,
  summary: 'a PyTorch file or another checkpoint as safetensors',
  about:
    'Writes a checkpoint (.pt, .pth, .bin, .safetensors, folder, URL or repository id) as the folder OUT with model.safetensors,\n' +
    'config.json, classes.json and generation_config.json. Python objects in a file are never executed.',
  flags: FLAGS,
  run,
};

async function run({ flags, args }: Parsed, signal: AbortSignal): Promise<number> {
  const [from, out] = args;
  if (!from || !out) throw new OptionError('convert: say what and where to: `aim convert model.pt FOLDER`.');
  const dtype = choice(flags, 'dtype', ['f32', 'f16'] as const);
  const part = string(flags, 'part');
  if ((await exists(out)) && !(await isDirectory(out)))
    throw new IoError(`${out} is a file, and a folder is written; give another name.`);

  await withBar(async (onProgress) => {
    const files = await openCheckpoint(from, { signal, onProgress });
    let weights: ByteSource | undefined;
    try {
      weights = part === undefined ? await files.weights() : await openPart(from, part, signal);
      const header = modelHeader(await parseHeader(weights, { signal }), weights.name);
      const { ignored = [] } = weights as { ignored?: readonly string[] };
      if (ignored.length) process.stderr.write(`left out: ${few(ignored)}\n`);
      const config = await configText(files);
      const classes = await files.text(CLASSES);
      const generation = await generationConfig(files);
      const file = stream(weights, header, dtype, signal);
      await inFolder(out, () => writeAtomic(`${out}/model.safetensors`, file, { signal }));
      const encoder = new TextEncoder();
      if (config !== undefined) await writeAtomic(`${out}/config.json`, encoder.encode(config));
      else process.stderr.write(`${from} has no config.json: put one into ${out} before it is loaded as a model\n`);
      if (classes !== undefined) await writeAtomic(`${out}/${CLASSES}`, encoder.encode(classes));
      if (generation !== undefined) await writeAtomic(`${out}/${GENERATION}`, encoder.encode(generation));
    } finally {
      if (part !== undefined) await weights?.close();
      await files.close();
    }
  });
  print(`${out}\n`);
  return 0;
}

async function openPart(from: string, part: string, signal: AbortSignal): Promise<ByteSource> {
  const { asSafetensors } = await import('../io/torch.js');
  const source = await openSource(from, { signal });
  const weights = await asSafetensors(source, { part, signal });
  if (weights !== source) return weights;
  await source.close();
  throw new OptionError(`${from} is not a PyTorch file, so it has no parts; leave --part out.`);
}

/** The config.json beside the weights as text; a tokenizer of PyTorch has none. */
async function configText(files: { text(file: string): Promise<string | undefined>; config(): Promise<unknown> }) {
  const text = await files.text('config.json');
  if (text !== undefined) await files.config();
  return text;
}

/** The file, tensor by tensor: one of them is in memory at a time. */
async function* stream(
  weights: ByteSource,
  header: SafetensorsHeader,
  dtype: 'f32' | 'f16' | undefined,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const tensors = [...header.tensors].map(([name, entry]): TensorData => {
    const { shape } = entry;
    if (isFloat(entry.dtype)) {
      const stored: Dtype = entry.dtype === 'F64' ? 'F32' : entry.dtype;
      const to = dtype ? (dtype.toUpperCase() as 'F32' | 'F16') : stored;
      return { name, dtype: to, shape, data: () => readFloats(weights, header, name, { finite: true, signal }) };
    }
    const to = entry.dtype.startsWith('I') ? 'I32' : 'U32';
    return { name, dtype: to, shape, data: () => readInts(weights, header, name, { signal }) };
  });
  yield* writeSafetensors(tensors, { ...Object.fromEntries(header.metadata), format: 'pt' });
  // A wrong hash throws here, before the file gets its name.
  await weights.finish?.();
}

function few(names: readonly string[]): string {
  return names.slice(0, 8).join(', ') + (names.length > 8 ? ` and ${names.length - 8} more` : '');
}

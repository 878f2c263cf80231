/** `aim export`: writes a checkpoint without its training state, in the precision asked for. */
import { rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { openCheckpoint } from '../checkpoint/source.js';
import { OptionError } from '../core/errors.js';
import { isFloat } from '../io/dtype.js';
import { openFile } from '../io/file_source.js';
import { parseHeader, readFloats, type TensorData, writeSafetensors } from '../io/safetensors.js';
import { parseClasses } from '../model/classes.js';
import { type AimConfigJson, parseConfig } from '../model/config.js';
import {
  ensureWritable,
  exists,
  makeFolder,
  removeDeadTemporaries,
  removeFolder,
  translate,
  writeFolderAtomic,
} from '../platform/files.js';
import { json, openCheckpointFolder } from '../train/folder.js';
import { type Command, choice, type Flags, type Parsed } from './command.js';
import { withBar } from './model.js';
import { counted, print, say } from './terminal.js';

const FLAGS: Flags = {
  out: { type: 'string', short: 'o', value: 'FOLDER', help: 'where to write config.json, classes.json and model.safetensors' },
  dtype: {
    type: 'string',
    value: 'F16|BF16|F32',
    help: 'precision of the file (default F16)',
    spec: { type: 'choice', choices: ['F16', 'BF16', 'F32'], about: 'precision of the file' },
  },
  ema: { type: 'boolean', help: 'take the moving average of the weights, where the run keeps one' },
};

export const exportModel: Command = {
  name: 'export',
  usage: 'RUN|CHECKPOINT --out FOLDER',
  summary: 'a trained model for use, without the training state',
  about: 'Writes a trained model for use: small, without the optimizer’s state.',
  flags: FLAGS,
  run,
};

async function run({ flags, args }: Parsed, signal: AbortSignal): Promise<number> {
  const out = flags.out as string | undefined;
  if (!args[0] || !out) throw new OptionError('export: say what and where to: `aim export RUN --out FOLDER`.');
  const dtype = choice(flags, 'dtype', ['F16', 'BF16', 'F32'] as const) ?? 'F16';
  const isRun = (await exists(`${args[0]}/latest`)) || (await exists(`${args[0]}/state.json`));
  const path = isRun ? (await openCheckpointFolder(args[0])).path : args[0];
  const averaged = `${path}/ema.safetensors`;
  if (flags.ema && !(await exists(averaged))) throw new OptionError(`${path} keeps no moving average; leave --ema out.`);

  await withBar(async (onProgress) => {
    const files = await openCheckpoint(path, { signal, onProgress });
    const ema = flags.ema ? await openFile(averaged) : undefined;
    try {
      const config = await files.config();
      const { num_classes } = parseConfig(config as AimConfigJson, `${files.name}: config.json`);
      const classes = parseClasses(await files.text('classes.json'), num_classes);
      const weights = await files.weights();
      const header = await parseHeader(weights, { signal });
      const emaHeader = ema && (await parseHeader(ema, { signal }));
      const all = [...header.tensors];
      const left = all.filter(([, { dtype }]) => !isFloat(dtype)).map(([name]) => name);
      if (left.length)
        say(`left out ${counted(left.length, 'tensor')} of integers, which no model needs: ${left.slice(0, 5).join(', ')}\n`);
      const tensors = all
        .filter(([, { dtype: stored }]) => isFloat(stored))
        .map(
          ([name, { shape }]): TensorData => ({
            name,
            dtype,
            shape,
            data: () =>
              ema && emaHeader?.tensors.has(name)
                ? readFloats(ema, emaHeader, name)
                : readFloats(weights, header, name, { signal }),
          }),
        );
      const metadata = { format: 'pt', ...Object.fromEntries(header.metadata) };
      const file = async function* () {
        yield* writeSafetensors(tensors, metadata);
        // Throws if the hash of what was read is wrong; nothing is then written.
        await weights.finish?.();
      };
      const written = [
        { name: 'model.safetensors', data: file() },
        { name: 'config.json', data: json(config) },
        ...(classes ? [{ name: 'classes.json', data: json(classes) }] : []),
      ];
      await writeModel(out, written, signal);
    } finally {
      await ema?.close();
      await files.close();
    }
  });
  print(`${out}\n`);
  return 0;
}

/**
 * Writes the files of a model so that a crash leaves no part of them: a new folder appears as a whole. In a folder that exists the
 * files are replaced once all of them are complete.
 */
async function writeModel(
  out: string,
  list: { name: string; data: Uint8Array | AsyncIterable<Uint8Array> }[],
  signal: AbortSignal,
): Promise<void> {
  await makeFolder(dirname(resolve(out)));
  await ensureWritable(out);
  if (!(await exists(out))) return writeFolderAtomic(out, list, { signal });
  await removeDeadTemporaries(out);
  const stage = `${out}/export.${process.pid}-${Math.random().toString(36).slice(2, 12)}.tmp`;
  try {
    await writeFolderAtomic(stage, list, { signal });
    for (const { name } of list) await translate(`${out}/${name}`, 'write', () => rename(`${stage}/${name}`, `${out}/${name}`));
    // Names of an earlier model do not belong to this one.
    if (!list.some(({ name }) => name === 'classes.json')) await rm(`${out}/classes.json`, { force: true });
  } finally {
    await removeFolder(stage);
  }
}

/** `aim export`: writes a checkpoint without its training state, in the precision asked for. */
import { CLASSES, GENERATION } from '../checkpoint/folder.js';
import { openCheckpoint } from '../checkpoint/source.js';
import { OptionError } from '../core/errors.js';
import { jsonFile } from '../core/json.js';
import { isFloat } from '../io/dtype.js';
import { openFile } from '../io/file_source.js';
import { parseHeader, readFloats, type TensorData } from '../io/safetensors.js';
import { parseClasses } from '../model/classes.js';
import { type AimConfigJson, parseConfig } from '../model/config.js';
import { modelFile, putModel } from '../model/save.js';
import { removeDeadTemporaries } from '../platform/files.js';
import { averagesIn, checkpointOf } from './checkpoints.js';
import { type Command, choice, type Flags, type Parsed } from './command.js';
import { generationConfig, withBar } from './model.js';
import { counted, print, say } from './terminal.js';

const FLAGS: Flags = {
  out: { type: 'string', short: 'o', value: 'FOLDER', help: 'where to write model.safetensors and the small files beside it' },
  dtype: {
    type: 'string',
    value: 'F16|BF16|F32',
    help: 'precision of the file (default F16)',
    spec: { type: 'choice', choices: ['F16', 'BF16', 'F32'], about: 'precision of the file' },
  },
  newest: {
    type: 'boolean',
    help: 'take the newest checkpoint of a run that keeps its best (train --best), which is taken otherwise',
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
  const path = await checkpointOf(args[0], flags.newest === true);
  const averaged = flags.ema ? await averagesIn(path) : undefined;

  await withBar(async (onProgress) => {
    const files = await openCheckpoint(path, { signal, onProgress });
    const ema = averaged === undefined ? undefined : await openFile(averaged);
    try {
      const config = await files.config();
      const { num_classes } = parseConfig(config as AimConfigJson, `${files.name}: config.json`);
      const classes = parseClasses(await files.text(CLASSES), num_classes);
      const generation = await generationConfig(files);
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
        yield* modelFile(tensors, metadata);
        // Throws if the hash of what was read is wrong; nothing is then written.
        await weights.finish?.();
      };
      const written = [
        { name: 'model.safetensors', data: file() },
        { name: 'config.json', data: jsonFile(config) },
        ...(classes ? [{ name: CLASSES, data: jsonFile(classes) }] : []),
        ...(generation === undefined ? [] : [{ name: GENERATION, data: new TextEncoder().encode(generation) }]),
      ];
      await removeDeadTemporaries(out);
      await putModel(out, written, signal);
    } finally {
      await ema?.close();
      await files.close();
    }
  });
  print(`${out}\n`);
  return 0;
}

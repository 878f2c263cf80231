/** `aim export`: a checkpoint without its training state, in the precision asked for; what others load. */

import { openCheckpoint } from '../checkpoint/source.js';
import { OptionError } from '../core/errors.js';
import { openFile } from '../io/file_source.js';
import { parseHeader, readFloats, type TensorData, writeSafetensors } from '../io/safetensors.js';
import { exists, makeFolder, writeAtomic } from '../platform/files.js';
import { json, openCheckpointFolder } from '../train/folder.js';
import { type Command, choice, type Flags, type Parsed } from './command.js';
import { withBar } from './model.js';
import { print } from './terminal.js';

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
      const weights = await files.weights();
      const header = await parseHeader(weights, { signal });
      const emaHeader = ema && (await parseHeader(ema, { signal }));
      const tensors = [...header.tensors].map(
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
      await makeFolder(out);
      const metadata = { format: 'pt', ...Object.fromEntries(header.metadata) };
      const file = async function* () {
        yield* writeSafetensors(tensors, metadata);
        // A hash that is wrong leaves nothing.
        await weights.finish?.();
      };
      await writeAtomic(`${out}/model.safetensors`, file(), { signal });
      await writeAtomic(`${out}/config.json`, json(config));
      const classes = await files.text('classes.json');
      if (classes) await writeAtomic(`${out}/classes.json`, json(JSON.parse(classes)));
    } finally {
      await ema?.close();
      await files.close();
    }
  });
  print(`${out}\n`);
  return 0;
}

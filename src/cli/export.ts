/** `aim export`: a checkpoint without its training state, in the precision asked for; what others load. */

import { openCheckpoint } from '../checkpoint/source.js';
import { OptionError } from '../core/errors.js';
import { openFile } from '../io/file_source.js';
import { parseHeader, readFloats, type TensorData, writeSafetensors } from '../io/safetensors.js';
import { exists, makeFolder, writeAtomic } from '../platform/files.js';
import { json, openCheckpointFolder } from '../train/folder.js';
import { withBar } from './model.js';
import { choice, type Flags, helpText, parse } from './options.js';

const FLAGS: Flags = {
  out: { type: 'string', value: 'FOLDER', help: 'where to write config.json, classes.json and model.safetensors' },
  dtype: { type: 'string', value: 'F16|BF16|F32', help: 'precision of the file (default F16)' },
  ema: { type: 'boolean', help: 'take the moving average of the weights, where the run keeps one' },
  help: { type: 'boolean', help: 'this text' },
};

const HELP = helpText(
  'aim export RUN|CHECKPOINT --out FOLDER [options]',
  'Writes a trained model for use: small, without the optimizer’s state.',
  FLAGS,
);

export async function exportCommand(argv: string[], signal: AbortSignal): Promise<number> {
  const { flags, args } = parse('export', argv, FLAGS);
  if (flags.help) {
    process.stdout.write(HELP);
    return 0;
  }
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
  process.stdout.write(`${out}\n`);
  return 0;
}

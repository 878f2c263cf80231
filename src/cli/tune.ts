/** `aim tune`: finds the fastest launches for this GPU, for all later commands and programs. */
import { OptionError } from '../core/errors.js';
import { loadModel } from './model.js';
import { COMMON, commonOptions, type Flags, helpText, number, parse } from './options.js';
import { progress } from './progress.js';

const FLAGS: Flags = {
  batch: { type: 'string', value: 'N,N', help: 'images that will be drawn at once (default 1)' },
  'cfg-scale': { type: 'string', value: 'W', help: 'guidance that will be used; what matters is whether it is 1 (default 1.5)' },
  ...COMMON,
};

const HELP = helpText(
  'aim tune [MODEL] [options]',
  'Measures which launches of its kernels are the fastest on this GPU for drawing with MODEL, and keeps them beside the downloads.\n' +
    'Whatever loads the model on this GPU, with the same --dawn flags, uses them from then on. Only speed depends on it.',
  FLAGS,
);

export async function tuneCommand(argv: string[], signal: AbortSignal): Promise<number> {
  const { flags, args } = parse('tune', argv, FLAGS);
  if (flags.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const batchSize = String(flags.batch ?? '1')
    .split(',')
    .map(Number);
  if (batchSize.some((n) => !(Number.isInteger(n) && n > 0)))
    throw new OptionError(`--batch is ${JSON.stringify(flags.batch)}; it must be positive integers, e.g. 1,16.`);
  const cfgScale = number(flags, 'cfg-scale');
  const aim = await loadModel(args[0], { ...commonOptions(flags), signal });
  let bar: ReturnType<typeof progress> | undefined;
  try {
    const tuned = await aim.tune({
      batchSize,
      ...(cfgScale !== undefined && { cfgScale }),
      signal,
      onProgress: ({ loaded, total }) => {
        if (total) bar ??= progress('tuning', total, 'kernels');
        bar?.update(loaded);
      },
    });
    bar?.stop();
    for (const { kernel, usual, chosen, ms } of tuned) {
      const times = Object.entries(ms).map(([c, t]) => `${c}: ${(t * 1000).toFixed(1)} µs`);
      process.stdout.write(`${kernel}\n  ${times.join(', ')} → ${chosen}${chosen === usual ? '' : ` instead of ${usual}`}\n`);
    }
    const nothing = aim.backend === 'webgpu' ? 'everything asked for is tuned already' : `${aim.device} has nothing to tune`;
    process.stderr.write(tuned.length ? `${tuned.length} kernels tuned on ${aim.device}\n` : `${nothing}\n`);
  } finally {
    bar?.stop();
    await aim.dispose();
  }
  return 0;
}

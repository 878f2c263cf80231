/** `aim tune`: finds the fastest launches for this GPU, for all later commands and programs. */
import { OptionError } from '../core/errors.js';
import { SAMPLING } from '../model/sampler.js';
import { type Command, type Flags, flag, number, type Parsed } from './command.js';
import { loadModel } from './model.js';
import { COMMON, modelOptions, NUMERICS } from './options.js';
import { progress } from './progress.js';
import { print, say } from './terminal.js';

const FLAGS: Flags = {
  batch: { type: 'string', value: 'N,N', help: 'images that will be drawn at once (default 1)' },
  'cfg-scale': flag(SAMPLING.cfgScale, {
    value: 'W',
    help: "guidance that will be used; what matters is whether it is 1 (default: the model's own, else 1.5)",
  }),
  ...NUMERICS,
  ...COMMON,
};

export const tune: Command = {
  name: 'tune',
  usage: '[MODEL]',
  summary: 'find the fastest kernels for this GPU, once',
  about:
    'Measures which launches of its kernels are the fastest on this GPU for drawing with MODEL, and keeps them beside the downloads.\n' +
    'Whatever loads the model on this GPU, with the same --dawn flags, uses them from then on. Only speed depends on it. Kernels\n' +
    'differ with --dtype and --precision: give those that will be used.',
  flags: FLAGS,
  run,
};

async function run({ flags, args }: Parsed, signal: AbortSignal): Promise<number> {
  const batchSize = String(flags.batch ?? '1')
    .split(',')
    .map(Number);
  if (batchSize.some((n) => !(Number.isInteger(n) && n > 0)))
    throw new OptionError(`--batch is ${JSON.stringify(flags.batch)}; it must be positive integers, e.g. 1,16.`);
  const cfgScale = number(flags, 'cfg-scale');
  const aim = await loadModel(args[0], { ...modelOptions(flags), signal });
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
      print(`${kernel}\n  ${times.join(', ')} → ${chosen}${chosen === usual ? '' : ` instead of ${usual}`}\n`);
    }
    const nothing = aim.backend === 'webgpu' ? 'everything asked for is tuned already' : `${aim.device} has nothing to tune`;
    say(tuned.length ? `${tuned.length} kernels tuned on ${aim.device}\n` : `${nothing}\n`);
  } finally {
    bar?.stop();
    await aim.dispose();
  }
  return 0;
}

/** `aim tokenize`: encodes a data set's images once, into a codes file that training reads and that can be shared. */

import { OptionError } from '../core/errors.js';
import { tokenize as encode, encodeCodes, TOKENIZE } from '../data/codes.js';
import { describeImages } from '../data/dataset.js';
import { IMAGE_FOLDER } from '../data/image_folder.js';
import { openData } from '../data/open.js';
import { readableFormats } from '../io/images/index.js';
import { ensureWritable, readText, writeAtomic } from '../platform/files.js';
import { type Command, type Flags, flag, number, type Parsed, string } from './command.js';
import { loadModel } from './model.js';
import { BACKGROUND, background, COMMON, JITTER, LABELS, modelOptions, NUMERICS } from './options.js';
import { progress } from './progress.js';
import { skipsOf } from './skips.js';
import { print, say } from './terminal.js';

const FLAGS: Flags = {
  tokenizer: { type: 'string', value: 'MODEL', help: 'the model whose tokenizer encodes (default: the embedded one)' },
  out: { type: 'string', short: 'o', value: 'FILE', help: 'where to write (default codes.safetensors)' },
  augment: flag(TOKENIZE.augment, { help: 'N random crops of each image (default 0: its centre crop alone)' }),
  flip: { type: 'boolean', help: 'mirror half of the random crops' },
  holdout: flag(IMAGE_FOLDER.holdout, {
    value: 'SHARE',
    help: 'share of each class held out for evaluation (default 0.05; IDX: its t10k files)',
  }),
  jitter: JITTER,
  background: BACKGROUND,
  labels: LABELS,
  classes: { type: 'string', value: 'a,b,…|FILE.json', help: 'names of the classes of IDX files (default: their numbers)' },
  seed: flag(TOKENIZE.seed, { value: 'S', short: 's' }),
  batch: flag(TOKENIZE.batchSize, { value: 'B', short: 'b' }),
  ...NUMERICS,
  ...COMMON,
};

export const tokenize: Command = {
  name: 'tokenize',
  usage: 'DATA',
  summary: "encode a data set's images once, for training",
  about:
    'Encodes every image of DATA: a folder of IDX files (Fashion-MNIST), or one with a sub-folder of images per class (or\n' +
    `with these in its folders train and val, of which val is held out): ${readableFormats()}. A .zip of such a\n` +
    'folder does too. With --labels the images lie side by side, and a table has their classes.\n' +
    'Training reads the codes instead of the images, with any model that has this tokenizer.',
  flags: FLAGS,
  run,
};

async function run({ flags, args }: Parsed, signal: AbortSignal): Promise<number> {
  const path = args[0];
  if (!path) throw new OptionError('tokenize: which data? Pass a folder of images.');
  const out = (flags.out as string | undefined) ?? 'codes.safetensors';
  if (!/\.safetensors$/i.test(out)) throw new OptionError(`--out is ${out}; its name must end with .safetensors.`);
  const [augment, seed, batchSize, holdout] = ['augment', 'seed', 'batch', 'holdout'].map((name) => number(flags, name));
  if (flags.flip && !augment) throw new OptionError('--flip mirrors random crops; ask for some with --augment N.');
  const jitter = number(flags, 'jitter');
  if (jitter && !augment) throw new OptionError('--jitter changes random crops; ask for some with --augment N.');
  const behind = background(flags);
  const classes = await classNames(flags);
  await ensureWritable(out);
  const aim = await loadModel(flags.tokenizer as string | undefined, { ...modelOptions(flags), signal });
  try {
    const data = await openData(path, {
      size: aim.config.image_size,
      flip: flags.flip === true,
      jitter,
      holdout,
      background: behind,
      labels: string(flags, 'labels'),
      classes,
      signal,
    });
    if (data.kind === 'codes') throw new OptionError(`${path} holds codes already; pass a folder of images.`);
    if (data.kind === 'idx' && holdout !== undefined)
      throw new OptionError('--holdout is for class folders; with IDX files the t10k files are held out: leave it out.');
    say(`device: ${aim.device}\ndata: ${describeImages(data.train)}${data.eval ? `, ${data.eval.length} held out` : ''}\n`);
    const skips = skipsOf(data.train);
    let bar: ReturnType<typeof progress> | undefined;
    const codes = await encode(aim, data, {
      augment,
      seed,
      batchSize,
      signal,
      onProgress(done, total) {
        bar ??= progress('encoding', total, 'images');
        bar.update(done);
      },
    }).finally(() => bar?.stop());
    skips.report();
    await writeAtomic(out, encodeCodes(codes), { signal });
    const held = codes.eval ? ` and ${codes.eval.labels.length} held out` : '';
    say(
      `${codes.labels.length} rows${held} of ${codes.tokens} codes, ${codes.classes.length} classes, ` +
        `tokenizer ${codes.fingerprint.slice(0, 12)}\n`,
    );
    print(`${out}\n`);
    return 0;
  } finally {
    await aim.dispose();
  }
}

async function classNames(flags: Parsed['flags']): Promise<string[] | undefined> {
  const text = flags.classes as string | undefined;
  if (text === undefined) return undefined;
  if (!/\.json$/i.test(text)) return text.split(',').map((name) => name.trim());
  const fail = (cause?: unknown) =>
    new OptionError(`--classes: ${text} is no JSON list of names; correct it, or give them as a,b,…`, { cause });
  let names: unknown;
  try {
    names = JSON.parse(await readText(text));
  } catch (error) {
    if (error instanceof SyntaxError) throw fail(error);
    throw error;
  }
  if (!Array.isArray(names) || !names.every((n) => typeof n === 'string')) throw fail();
  return names;
}

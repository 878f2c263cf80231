/** `aim tokenize`: encodes a data set's images once, into a codes file that training reads and that can be shared. */

import { OptionError } from '../core/errors.js';
import { encodeCodes, tokenize } from '../data/codes.js';
import { describeImages, type ImageDataset } from '../data/dataset.js';
import { openData } from '../data/open.js';
import { ensureWritable, readText, writeAtomic } from '../platform/files.js';
import { loadModel } from './model.js';
import { COMMON, type Flags, helpText, modelOptions, NUMERICS, number, type Parsed, parse } from './options.js';
import { progress } from './progress.js';

const FLAGS: Flags = {
  tokenizer: { type: 'string', value: 'MODEL', help: 'the model whose tokenizer encodes (default: the embedded one)' },
  out: { type: 'string', value: 'FILE', help: 'where to write (default codes.safetensors)' },
  augment: { type: 'string', value: 'N', help: 'N random crops of each image (default 0: its centre crop alone)' },
  flip: { type: 'boolean', help: 'mirror half of the random crops' },
  holdout: {
    type: 'string',
    value: 'SHARE',
    help: 'share of each class held out for evaluation (default 0.05; IDX: its t10k files)',
  },
  classes: { type: 'string', value: 'a,b,…|FILE.json', help: 'names of the classes of IDX files (default: their numbers)' },
  seed: { type: 'string', value: 'S', help: 'of the random crops (default 0)' },
  batch: { type: 'string', value: 'B', help: 'images encoded at once; changes speed and memory only (default 32)' },
  ...NUMERICS,
  ...COMMON,
};

const HELP = helpText(
  'aim tokenize DATA [options]',
  'Encodes every image of DATA: a folder of IDX files (Fashion-MNIST), or one with a sub-folder of PNG or JPEG images per class.\n' +
    'Training reads the codes instead of the images, with any model that has this tokenizer.',
  FLAGS,
);

/** Unreadable images shown by name. */
const SHOWN = 10;

export async function tokenizeCommand(argv: string[], signal: AbortSignal): Promise<number> {
  const { flags, args } = parse('tokenize', argv, FLAGS);
  if (flags.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const path = args[0];
  if (!path) throw new OptionError('tokenize: which data? Pass a folder of images.');
  const out = (flags.out as string | undefined) ?? 'codes.safetensors';
  if (!/\.safetensors$/i.test(out)) throw new OptionError(`--out is ${out}; its name must end with .safetensors.`);
  const [augment, seed, batchSize, holdout] = ['augment', 'seed', 'batch', 'holdout'].map((name) => number(flags, name));
  if (flags.flip && !augment) throw new OptionError('--flip mirrors random crops; ask for some with --augment N.');
  const classes = await classNames(flags);
  await ensureWritable(out);
  const aim = await loadModel(flags.tokenizer as string | undefined, { ...modelOptions(flags), signal });
  try {
    const data = await openData(path, { size: aim.config.image_size, flip: flags.flip === true, holdout, classes, signal });
    if (data.kind === 'codes') throw new OptionError(`${path} holds codes already; pass a folder of images.`);
    if (data.kind === 'idx' && holdout !== undefined)
      throw new OptionError('--holdout is for class folders; with IDX files the t10k files are held out: leave it out.');
    process.stderr.write(
      `device: ${aim.device}\ndata: ${describeImages(data.train)}${data.eval ? `, ${data.eval.length} held out` : ''}\n`,
    );
    let bar: ReturnType<typeof progress> | undefined;
    const codes = await tokenize(aim, data, {
      augment,
      seed,
      batchSize,
      signal,
      onProgress(done, total) {
        bar ??= progress('encoding', total, 'images');
        bar.update(done);
      },
    }).finally(() => bar?.stop());
    tellSkipped(data.train);
    await writeAtomic(out, encodeCodes(codes), { signal });
    const held = codes.eval ? ` and ${codes.eval.labels.length} held out` : '';
    process.stderr.write(
      `${codes.labels.length} rows${held} of ${codes.tokens} codes, ${codes.classes.length} classes, ` +
        `tokenizer ${codes.fingerprint.slice(0, 12)}\n`,
    );
    process.stdout.write(`${out}\n`);
    return 0;
  } finally {
    await aim.dispose();
  }
}

function tellSkipped({ skipped }: ImageDataset): void {
  if (!skipped.length) return;
  process.stderr.write(`skipped ${skipped.length} ${skipped.length === 1 ? 'file' : 'files'}:\n`);
  for (const { name, reason } of skipped.slice(0, SHOWN)) process.stderr.write(`  ${name}: ${reason}\n`);
  if (skipped.length > SHOWN) process.stderr.write(`  and ${skipped.length - SHOWN} more\n`);
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

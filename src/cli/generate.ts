/** `aim generate`: draws images into one picture, an .npz file, or a folder of pictures. */
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { AiM, GenerateOptions } from '../aim.js';
import { OptionError } from '../core/errors.js';
import { checkOption, type OptionSpec } from '../core/options.js';
import { decodeImage, formatOfName, type ImageFormat, type RgbImage, writableExtensions } from '../io/images/index.js';
import { png } from '../io/images/png.js';
import { encodeNpz, MAX_NPZ_BYTES } from '../io/npz.js';
import { classNames } from '../model/classes.js';
import { START_FROM } from '../model/start_from.js';
import { assertRegularFile, ensureWritable, exists, isDirectory, translate, writeAtomic } from '../platform/files.js';
import { inFolder } from '../platform/folders.js';
import { averagedPart, averagesIn, checkpointOf } from './checkpoints.js';
import { type Command, type Flags, flag, number, type Parsed, string } from './command.js';
import { loadModel } from './model.js';
import { BACKGROUND, background, COMMON, modelOptions, NUMERICS, SAMPLES, samplingOptions } from './options.js';
import { progress } from './progress.js';
import { checkSheet, sheet, squareColumns } from './sheet.js';
import { counted, print, say } from './terminal.js';

const MANY: OptionSpec = { type: 'integer', min: 1, max: 1e6, about: 'number of images' };

const FLAGS: Flags = {
  class: {
    type: 'string',
    short: 'c',
    value: '11,heart|all',
    help: "class numbers or names, taken in turn (default all); models of ImageNet take its names: 'golden retriever'",
  },
  count: flag(MANY, { short: 'n', help: 'number of images (default: one per class given)' }),
  seed: flag(
    { type: 'integer', min: 0, about: 'of the first image' },
    { value: 'S', short: 's', help: 'image i is drawn with seed S + i (default 0)' },
  ),
  from: {
    type: 'string',
    short: 'f',
    value: 'FILE',
    help: 'a picture of any size, whose upper --rows are kept (cropped to a square); the rest is drawn',
  },
  rows: flag(START_FROM.rows, { help: 'with --from: rows of tokens that are kept, from 0 to all' }),
  background: BACKGROUND,
  mix: { type: 'string', value: 'A,B', help: 'a strip of pictures from class A to class B, all of one seed' },
  'to-seed': flag(
    { type: 'integer', min: 0, about: 'of the last picture of a strip' },
    { value: 'S', help: 'a strip of pictures from the random numbers of --seed to those of S' },
  ),
  strip: flag(
    { type: 'integer', min: 2, max: 1000, default: 8, about: 'pictures in a strip' },
    { help: 'pictures in a strip of --mix or --to-seed (default 8); --count is then the number of strips' },
  ),
  ...SAMPLES,
  batch: flag(
    { type: 'integer', min: 1, max: 4096, about: 'images drawn at once' },
    { value: 'B', short: 'b', help: 'images drawn at once; changes speed and memory only' },
  ),
  out: {
    type: 'string',
    short: 'o',
    value: 'PATH',
    help: `a ${writableExtensions()} picture of all images, an .npz (arr_0 images, arr_1 labels) or a FOLDER (default aim.png)`,
  },
  columns: flag(
    { type: 'integer', min: 1, max: 10000, about: 'images in a row of the picture' },
    { help: 'images in a row of the picture (default: one class a column, or about a square)' },
  ),
  scale: flag({ type: 'integer', min: 1, max: 64, default: 1, about: 'enlarges each pixel of a picture to N×N' }),
  labels: { type: 'boolean', help: 'write the class below each image of the picture' },
  ema: {
    type: 'boolean',
    help: 'draw with the moving average of the weights, where the run keeps one (of its best checkpoint, where it keeps that)',
  },
  ...NUMERICS,
  ...COMMON,
};

/** Extensions that mean a file of a kind that is not written. A folder may have any other name. */
const OTHER_FILES = /\.(tiff?|avif|heic|jxl|svg|ico|ppm|pdf|zip|tar|gz|npy|json|txt|pt|pth|safetensors)$/i;

export const generate: Command = {
  name: 'generate',
  usage: '[MODEL]',
  summary: 'draw images',
  about:
    'Draws images with MODEL: a folder or URL with config.json and model.safetensors, a .safetensors beside its config.json, or\n' +
    'the id owner/name of a Hugging Face repository. Downloads are kept (`aim cache`). HF_TOKEN, HF_ENDPOINT and AIM_CACHE count.\n' +
    'Without MODEL the embedded one (emoji of 50 classes) is used. Into a folder images are written as they are drawn.',
  flags: FLAGS,
  run,
};

async function open(source: string | undefined, flags: Parsed['flags'], signal: AbortSignal): Promise<AiM> {
  const options = { ...modelOptions(flags), signal };
  if (!flags.ema) return loadModel(source, options);
  if (source === undefined) throw new OptionError('--ema is of a run; say which: `aim generate RUN --ema`.');
  const folder = await checkpointOf(source, false);
  const averages = await averagesIn(folder);
  const aim = await loadModel(folder, options);
  try {
    await aim.loadPart(await averagedPart(averages), averages, { signal });
    return aim;
  } catch (error) {
    await aim.dispose();
    throw error;
  }
}

async function run({ flags, args }: Parsed, signal: AbortSignal): Promise<number> {
  const out = string(flags, 'out') ?? 'aim.png';
  const target = await targetOf(out);
  if (target === 'folder' && (flags.labels || flags.columns !== undefined))
    throw new OptionError('--labels and --columns are of one picture of all images; give --out a picture, or leave them out.');
  if (target === 'npz' && (flags.labels || flags.columns !== undefined || flags.scale !== undefined))
    throw new OptionError('--labels, --columns and --scale are of pictures; leave them out, or give --out a picture.');
  await ensureWritable(target === 'folder' ? await nearest(out) : out);
  const aim = await open(args[0], flags, signal);
  try {
    say(`device: ${aim.device}\n`);
    const plan = await planOf(aim, flags);
    const { classes, count } = plan.options;
    const { temperature = 1, topK } = { ...aim.sampling, ...plan.options };
    const different = new Set([classes].flat().map((one) => JSON.stringify(one))).size;
    if ((temperature < 1e-4 || topK === 1) && count > different)
      say('with temperature 0 or top-k 1 every image of a class is the same\n');
    const names = await classNames(aim.config.num_classes, aim.classes);
    const sink = openSink(target, out, plan, flags, { ...aim.config, names });
    const drawn = () => draw(aim, plan, sink, signal);
    // The folder is made when everything is checked.
    const seconds = await (target === 'folder' ? inFolder(out, drawn) : drawn());
    await sink.close();
    say(`${counted(count, 'image')} in ${seconds.toFixed(2)} s (${(count / seconds).toPrecision(3)} images/s)\n`);
    print(`${out}\n`);
    return 0;
  } finally {
    await aim.dispose();
  }
}

/** The path, or the nearest folder around it that is there. */
async function nearest(path: string): Promise<string> {
  const up = dirname(path);
  return up === path || (await exists(path)) ? path : nearest(up);
}

/** The kind of output that --out names: a picture's format, an .npz file or a folder. Throws OptionError for other files. */
async function targetOf(out: string): Promise<ImageFormat | 'npz' | 'folder'> {
  if (await isDirectory(out)) return 'folder';
  if (/\.npz$/i.test(out)) return 'npz';
  const format = formatOfName(out);
  if (format?.encode) return format;
  if (format || OTHER_FILES.test(out))
    throw new OptionError(`--out is ${out}, which cannot be written; give a ${writableExtensions()} or .npz file, or a folder.`);
  return 'folder';
}

interface Plan {
  options: GenerateOptions & { count: number };
  /** Images in a row of the picture, if nothing else is asked for. */
  columns: number;
}

/** All that is drawn. Throws OptionError now, not after the first images. */
async function planOf(aim: AiM, flags: Parsed['flags']): Promise<Plan> {
  const list = listed(flags, 'class');
  const all = list === undefined || (list.length === 1 && list[0] === 'all');
  const classes = all ? Array.from({ length: aim.config.num_classes }, (_, i) => i) : list;
  const count = number(flags, 'count') ?? classes.length;
  const seed = number(flags, 'seed') ?? 0;
  const strip = stripOf(flags, classes, seed);
  const [from, batchSize] = [await startOf(flags), number(flags, 'batch')];
  const options = {
    ...samplingOptions(flags),
    ...(from && { from }),
    ...(batchSize !== undefined && { batchSize }),
    ...(strip?.options ?? { classes, seed, count }),
  };
  // Stopped before its first batch, it checks everything and draws nothing.
  const checked = new Error('checked');
  await aim.generate({ ...options, signal: AbortSignal.abort(checked) }).catch((error) => {
    if (error !== checked) throw error;
  });
  return { options, columns: strip?.columns ?? usualColumns(count, classes.length) };
}

/** A list separated by commas. */
const listed = (flags: Parsed['flags'], name: string) =>
  string(flags, name)
    ?.split(',')
    .map((c) => c.trim());

/** What --from and --rows keep. */
async function startOf(flags: Parsed['flags']): Promise<GenerateOptions['from']> {
  const [path, rows] = [string(flags, 'from'), number(flags, 'rows')];
  if ((path === undefined) !== (rows === undefined))
    throw new OptionError('--from FILE and --rows N belong together: the picture, and how many of its rows of tokens are kept.');
  const behind = background(flags);
  if (path === undefined) {
    if (behind) throw new OptionError('--background is behind a picture that is given by --from; leave it out.');
    return undefined;
  }
  await assertRegularFile(path);
  // Its pixels, not its bytes, so that errors name the file.
  const { width, height, data } = await decodeImage(await translate(path, 'read', () => readFile(path)), path, {
    background: behind,
  });
  const rgba = new Uint8Array(width * height * 4).fill(255);
  for (let i = 0; i < width * height; i++) rgba.set(data.subarray(3 * i, 3 * i + 3), 4 * i);
  return { image: { width, height, data: rgba }, rows: rows! };
}

/** The classes and seeds of --count strips; undefined if none is asked for. */
function stripOf(flags: Parsed['flags'], classes: readonly (number | string)[], seed: number) {
  const [ends, to, length] = [listed(flags, 'mix'), number(flags, 'to-seed'), number(flags, 'strip') ?? 8];
  if (ends === undefined && to === undefined) {
    if (flags.strip !== undefined)
      throw new OptionError('--strip needs the two ends of the strip: give --mix A,B or --to-seed S.');
    return undefined;
  }
  if (ends && ends.length !== 2)
    throw new OptionError(`--mix is ${JSON.stringify(flags.mix)}; give two classes, as in --mix 7,9.`);
  if (ends && flags.class !== undefined) throw new OptionError('--mix names the classes; leave --class out.');
  const strips = number(flags, 'count') ?? (ends ? 1 : classes.length);
  checkOption('the number of images, --count times --strip', strips * length, MANY);
  const points = Array.from({ length: strips * length }, (_, i) => ({
    strip: Math.floor(i / length),
    at: (i % length) / (length - 1),
  }));
  const options = {
    classes: points.map(({ strip, at }) => (ends ? { from: ends[0]!, to: ends[1]!, at } : classes[strip % classes.length]!)),
    seed: points.map(({ strip, at }) => (to === undefined ? seed + strip : { from: seed + strip, to: to + strip, at })),
    count: points.length,
  };
  return { options, columns: length };
}

/** Draws the images and hands each on when its batch is drawn. Returns the seconds that it took. */
async function draw(aim: AiM, { options }: Plan, sink: Sink, signal: AbortSignal): Promise<number> {
  const { count } = options;
  const tokens = aim.config.num_tokens;
  const start = performance.now();
  let bar: ReturnType<typeof progress> | undefined;
  try {
    const images = aim.generateEach({
      ...options,
      batchSize: options.batchSize ?? (aim.backend === 'webgpu' ? 64 : 10),
      signal,
      onStep({ step, first, batch }) {
        bar ??= progress('drawing', count * tokens, 'tokens');
        bar.update(first * tokens + batch * step, `${first.toLocaleString('en')} of ${counted(count, 'image')} drawn`);
      },
    });
    for await (const { image, label, seed, index } of images) {
      const { width, height } = image;
      await sink.take({ width, height, data: image.toRGB() }, { label, seed, index });
    }
  } finally {
    bar?.stop();
  }
  return (performance.now() - start) / 1000;
}

/** Receives the images one by one. It stores them as bytes, because floats take four times as much memory. */
interface Sink {
  take(image: RgbImage, drawn: { label: number; seed: number; index: number }): Promise<void>;
  close(): Promise<void>;
}

/** What the sinks know of the model. */
interface Subject {
  image_size: number;
  num_classes: number;
  names: readonly string[] | undefined;
}

function openSink(
  target: ImageFormat | 'npz' | 'folder',
  out: string,
  plan: Plan,
  flags: Parsed['flags'],
  subject: Subject,
): Sink {
  if (target === 'npz') return npzSink(out, plan.options.count, subject.image_size);
  const scale = number(flags, 'scale') ?? 1;
  if (target === 'folder') return folderSink(out, plan.options.count, scale, subject.names);
  return sheetSink(target, out, plan, { scale, columns: number(flags, 'columns'), labelled: flags.labels === true }, subject);
}

/** Throws OptionError where `count` images of size × size are more than an .npz holds. */
export function checkNpz(count: number, size: number): void {
  const bytes = size * size * 3;
  const most = Math.floor(MAX_NPZ_BYTES / (bytes + 4));
  if (count > most)
    throw new OptionError(
      `${counted(count, 'image')} of ${size}×${size} take ${((count * bytes) / 1e9).toFixed(1)} GB, and an .npz holds 4 GiB; ` +
        `draw at most ${most} at once, moving --seed on by as many.`,
    );
}

function npzSink(out: string, count: number, size: number): Sink {
  checkNpz(count, size);
  const bytes = size * size * 3;
  const data = new Uint8Array(count * bytes);
  const labels = new Int32Array(count);
  return {
    async take(image, { label, index }) {
      data.set(image.data, index * bytes);
      labels[index] = label;
    },
    async close() {
      const npz = await encodeNpz({
        arr_0: { dtype: '|u1', shape: [count, size, size, 3], data },
        arr_1: { dtype: '<i4', shape: [count], data: labels },
      });
      await writeAtomic(out, npz);
    },
  };
}

function folderSink(out: string, count: number, scale: number, classes: readonly string[] | undefined): Sink {
  const format = png;
  const digits = String(count - 1).length;
  return {
    async take(image, { label, seed, index }) {
      const name = classes?.[label]?.replace(/[^\p{L}\p{N}_-]+/gu, '-') ?? `class-${label}`;
      const file = `${String(index).padStart(digits, '0')}-${name}-seed-${seed}.${format.extensions[0]}`;
      await writeAtomic(`${out}/${file}`, await format.encode!(scale === 1 ? image : sheet([image], { columns: 1, scale })));
    },
    async close() {},
  };
}

function sheetSink(
  format: ImageFormat,
  out: string,
  { options: { count }, columns: usual }: Plan,
  { scale, columns, labelled }: { scale: number; columns: number | undefined; labelled: boolean },
  { image_size: size, num_classes, names }: Subject,
): Sink {
  const images: RgbImage[] = [];
  const labels: string[] = [];
  const named = (label: number) => names?.[label] ?? String(label);
  const longest = labelled ? Array.from({ length: num_classes }, (_, i) => named(i)) : undefined;
  const options = { scale, columns: columns ?? usual };
  checkSheet(count, size, size, { ...options, labels: longest });
  return {
    async take(image, { label }) {
      images.push(image);
      labels.push(named(label));
    },
    async close() {
      const all = sheet(images, { ...options, labels: labelled ? labels : undefined });
      await writeAtomic(out, await format.encode!(all));
    },
  };
}

/** A class stands in a column where there are several rows of them; else about a square. */
function usualColumns(count: number, classes: number): number {
  return classes > 1 && classes <= 40 && count > classes ? classes : squareColumns(count);
}

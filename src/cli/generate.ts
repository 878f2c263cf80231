/** `aim generate`: draws images into one picture, an .npz file, or a folder of pictures. */
import { dirname } from 'node:path';
import type { AiM, GenerateOptions } from '../aim.js';
import { OptionError } from '../core/errors.js';
import type { OptionSpec } from '../core/options.js';
import { formatOfName, type ImageFormat, type RgbImage, writableExtensions } from '../io/images/index.js';
import { png } from '../io/images/png.js';
import { encodeNpz, MAX_NPZ_BYTES } from '../io/npz.js';
import { classNames } from '../model/classes.js';
import { SAMPLING } from '../model/sampler.js';
import { ensureWritable, exists, isDirectory, writeAtomic } from '../platform/files.js';
import { inFolder } from '../platform/folders.js';
import { type Command, choice, type Flags, flag, number, type Parsed, string } from './command.js';
import { loadModel } from './model.js';
import { COMMON, modelOptions, NUMERICS } from './options.js';
import { progress } from './progress.js';
import { checkSheet, sheet, squareColumns } from './sheet.js';
import { counted, print, say } from './terminal.js';

const MANY: OptionSpec = { type: 'integer', min: 1, max: 1e6, about: 'number of images' };

const FLAGS: Flags = {
  class: {
    type: 'string',
    short: 'c',
    value: '9,Bag|all',
    help: "class numbers or names, taken in turn (default all); models of ImageNet take its names: 'golden retriever'",
  },
  count: flag(MANY, { short: 'n', help: 'number of images (default: one per class given)' }),
  seed: flag(
    { type: 'integer', min: 0, about: 'of the first image' },
    { value: 'S', short: 's', help: 'image i is drawn with seed S + i (default 0)' },
  ),
  'cfg-scale': flag(SAMPLING.cfgScale, {
    value: 'W',
    help: 'classifier-free guidance; 1 is off (default 1.5); far above 3 many models draw noise',
  }),
  temperature: flag(SAMPLING.temperature, { value: 'T' }),
  'top-k': flag(SAMPLING.topK, { value: 'K' }),
  'top-p': flag(SAMPLING.topP, { value: 'P' }),
  positions: flag(SAMPLING.positions),
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
    'Without MODEL the embedded one (Fashion-MNIST) is used. Into a folder images are written as they are drawn.',
  flags: FLAGS,
  run,
};

async function run({ flags, args }: Parsed, signal: AbortSignal): Promise<number> {
  const out = string(flags, 'out') ?? 'aim.png';
  const target = await targetOf(out);
  if (target === 'folder' && (flags.labels || flags.columns !== undefined))
    throw new OptionError('--labels and --columns are of one picture of all images; give --out a picture, or leave them out.');
  if (target === 'npz' && (flags.labels || flags.columns !== undefined || flags.scale !== undefined))
    throw new OptionError('--labels, --columns and --scale are of pictures; leave them out, or give --out a picture.');
  await ensureWritable(target === 'folder' ? await nearest(out) : out);
  const aim = await loadModel(args[0], { ...modelOptions(flags), signal });
  try {
    say(`device: ${aim.device}\n`);
    const plan = await planOf(aim, flags);
    const { temperature = 1, topK } = plan.options;
    if ((temperature < 1e-4 || topK === 1) && plan.count > new Set(plan.classes).size)
      say('with temperature 0 or top-k 1 every image of a class is the same\n');
    const names = await classNames(aim.config.num_classes, aim.classes);
    const sink = openSink(target, out, plan, flags, { ...aim.config, names });
    const drawn = () => draw(aim, plan, sink, signal);
    // The folder is made when everything is checked.
    const seconds = await (target === 'folder' ? inFolder(out, drawn) : drawn());
    await sink.close();
    say(`${counted(plan.count, 'image')} in ${seconds.toFixed(2)} s (${(plan.count / seconds).toPrecision(3)} images/s)\n`);
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
  options: GenerateOptions;
  /** Class numbers or names, taken in turn. */
  classes: readonly (number | string)[];
  count: number;
  seed: number;
}

/** All that is drawn. Throws OptionError now, not after the first images. */
async function planOf(aim: AiM, flags: Parsed['flags']): Promise<Plan> {
  const list = string(flags, 'class')
    ?.split(',')
    .map((c) => c.trim());
  const all = list === undefined || (list.length === 1 && list[0] === 'all');
  const classes = all ? Array.from({ length: aim.config.num_classes }, (_, i) => i) : list;
  const count = number(flags, 'count') ?? classes.length;
  const seed = number(flags, 'seed') ?? 0;
  const given = {
    cfgScale: number(flags, 'cfg-scale'),
    temperature: number(flags, 'temperature'),
    topK: number(flags, 'top-k'),
    topP: number(flags, 'top-p'),
    positions: choice(flags, 'positions', ['trained', 'authors'] as const),
    batchSize: number(flags, 'batch'),
  };
  const options = Object.fromEntries(Object.entries(given).filter(([, v]) => v !== undefined));
  // Stopped before its first batch, it checks everything and draws nothing.
  const checked = new Error('checked');
  await aim.generate({ ...options, classes, count, seed, signal: AbortSignal.abort(checked) }).catch((error) => {
    if (error !== checked) throw error;
  });
  return { options, classes, count, seed };
}

/** Draws the images and hands each on when its batch is drawn. Returns the seconds that it took. */
async function draw(aim: AiM, { options, classes, count, seed }: Plan, sink: Sink, signal: AbortSignal): Promise<number> {
  const tokens = aim.config.num_tokens;
  const start = performance.now();
  let bar: ReturnType<typeof progress> | undefined;
  try {
    const images = aim.generateEach({
      ...options,
      classes,
      count,
      seed,
      batchSize: options.batchSize ?? (aim.backend === 'webgpu' ? 64 : 10),
      signal,
      onStep({ step, first, batch }) {
        bar ??= progress('drawing', count * tokens, 'tokens');
        bar.update(first * tokens + batch * step, `${first.toLocaleString('en')} of ${counted(count, 'image')} drawn`);
      },
    });
    for await (const { image, label, index } of images) {
      const { width, height } = image;
      await sink.take({ width, height, data: image.toRGB() }, label, index);
    }
  } finally {
    bar?.stop();
  }
  return (performance.now() - start) / 1000;
}

/** Receives the images one by one. It stores them as bytes, because floats take four times as much memory. */
interface Sink {
  take(image: RgbImage, label: number, index: number): Promise<void>;
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
  if (target === 'npz') return npzSink(out, plan.count, subject.image_size);
  const scale = number(flags, 'scale') ?? 1;
  if (target === 'folder') return folderSink(out, plan, scale, subject.names);
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
    async take(image, label, i) {
      data.set(image.data, i * bytes);
      labels[i] = label;
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

function folderSink(out: string, { count, seed }: Plan, scale: number, classes: readonly string[] | undefined): Sink {
  const format = png;
  const digits = String(count - 1).length;
  return {
    async take(image, label, i) {
      const name = classes?.[label]?.replace(/[^\p{L}\p{N}_-]+/gu, '-') ?? `class-${label}`;
      const file = `${String(i).padStart(digits, '0')}-${name}-seed-${seed + i}.${format.extensions[0]}`;
      await writeAtomic(`${out}/${file}`, await format.encode!(scale === 1 ? image : sheet([image], { columns: 1, scale })));
    },
    async close() {},
  };
}

function sheetSink(
  format: ImageFormat,
  out: string,
  { count, classes }: Plan,
  { scale, columns, labelled }: { scale: number; columns: number | undefined; labelled: boolean },
  { image_size: size, num_classes, names }: Subject,
): Sink {
  const images: RgbImage[] = [];
  const labels: string[] = [];
  const named = (label: number) => names?.[label] ?? String(label);
  const longest = labelled ? Array.from({ length: num_classes }, (_, i) => named(i)) : undefined;
  const options = { scale, columns: columns ?? usualColumns(count, classes.length) };
  checkSheet(count, size, size, { ...options, labels: longest });
  return {
    async take(image, label) {
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

/** `aim generate`: draws images and writes one PNG grid, an NPZ, or a folder of PNGs. */
import type { AiM, Generated, GenerateOptions } from '../aim.js';
import { grid } from '../io/image.js';
import { encodeNpz } from '../io/npz.js';
import { ensureWritable, makeFolder, writeAtomic } from '../platform/files.js';
import { loadModel } from './model.js';
import { COMMON, choice, type Flags, helpText, modelOptions, NUMERICS, number, type Parsed, parse } from './options.js';
import { progress } from './progress.js';

const FLAGS: Flags = {
  class: { type: 'string', value: '9,Bag|all', help: 'class numbers or names, taken in turn (default all)' },
  count: { type: 'string', value: 'N', help: 'number of images (default: one per class given)' },
  seed: { type: 'string', value: 'S', help: 'image i is drawn with seed S + i (default 0)' },
  'cfg-scale': { type: 'string', value: 'W', help: 'classifier-free guidance; 1 is off (default 1.5)' },
  temperature: { type: 'string', value: 'T', help: 'divides the logits; 0 is greedy (default 1)' },
  'top-k': { type: 'string', value: 'K', help: 'keep the K most likely tokens; 0 keeps all (default 0)' },
  'top-p': { type: 'string', value: 'P', help: 'keep the most likely tokens up to probability P in (0, 1] (default 1)' },
  positions: {
    type: 'string',
    value: 'trained|authors',
    help: "position rows as in training, or the authors' off-by-one (default trained)",
  },
  batch: { type: 'string', value: 'B', help: 'images drawn at once; changes speed and memory only' },
  out: {
    type: 'string',
    value: 'PATH',
    help: 'FILE.png (a grid), FILE.npz (arr_0 images, arr_1 labels) or a FOLDER (default aim.png)',
  },
  ...NUMERICS,
  ...COMMON,
};

/** Any other --out is a folder. */
const IS_FILE = /\.(png|npz)$/i;

const HELP = helpText(
  'aim generate [MODEL] [options]',
  'Draws images with MODEL: a folder or URL with config.json and model.safetensors, a .safetensors beside its config.json, or\n' +
    'the id owner/name of a Hugging Face repository. Downloads are kept (`aim cache`). HF_TOKEN, HF_ENDPOINT and AIM_CACHE count.\n' +
    'Without MODEL the embedded one (Fashion-MNIST) is used.',
  FLAGS,
);

export async function generateCommand(argv: string[], signal: AbortSignal): Promise<number> {
  const { flags, args } = parse('generate', argv, FLAGS);
  if (flags.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const out = (flags.out as string | undefined) ?? 'aim.png';
  const options = generateOptions(flags);
  if (!IS_FILE.test(out)) await makeFolder(out);
  await ensureWritable(out);
  const aim = await loadModel(args[0], { ...modelOptions(flags), signal });
  try {
    process.stderr.write(`device: ${aim.device}\n`);
    const { result, seconds } = await withProgress(aim, options, signal);
    const n = result.images.length;
    const written = await writeImages(out, result, columns(flags, n, aim.config.num_classes), aim.classes);
    process.stderr.write(
      `${n} ${n === 1 ? 'image' : 'images'} in ${seconds.toFixed(2)} s (${(n / seconds).toPrecision(3)} images/s)\n`,
    );
    process.stdout.write(`${written}\n`);
    return 0;
  } finally {
    await aim.dispose();
  }
}

function generateOptions(flags: Parsed['flags']): GenerateOptions {
  const classes = (flags.class as string | undefined)?.split(',').map((c) => c.trim());
  const given = {
    classes: classes?.length === 1 && classes[0] === 'all' ? 'all' : classes,
    count: number(flags, 'count'),
    seed: number(flags, 'seed'),
    cfgScale: number(flags, 'cfg-scale'),
    temperature: number(flags, 'temperature'),
    topK: number(flags, 'top-k'),
    topP: number(flags, 'top-p'),
    positions: choice(flags, 'positions', ['trained', 'authors'] as const),
    batchSize: number(flags, 'batch'),
  };
  return Object.fromEntries(Object.entries(given).filter(([, v]) => v !== undefined));
}

async function withProgress(aim: AiM, options: GenerateOptions, signal: AbortSignal) {
  let bar: ReturnType<typeof progress> | undefined;
  const start = performance.now();
  try {
    const result = await aim.generate({
      ...options,
      signal,
      onStep({ step, steps, first, batch, count }) {
        bar ??= progress('drawing', count * steps, 'images', steps);
        bar.update(first * steps + batch * step);
      },
    });
    return { result, seconds: (performance.now() - start) / 1000 };
  } finally {
    bar?.stop();
  }
}

/** One column per class drawn, so that a class stands in a column; a square when there is one class. */
function columns(flags: Parsed['flags'], count: number, classes: number): number {
  const list = (flags.class as string | undefined) ?? 'all';
  const wide = list === 'all' ? classes : list.split(',').length;
  return wide > 1 && wide <= 40 ? Math.min(wide, count) : Math.ceil(Math.sqrt(count));
}

async function writeImages(out: string, { images, labels, seeds }: Generated, cols: number, classes?: string[]): Promise<string> {
  if (/\.npz$/i.test(out)) {
    const { width, height } = images[0]!;
    const pixels = new Uint8Array(images.length * width * height * 3);
    images.forEach((image, i) => {
      pixels.set(image.toRGB(), i * width * height * 3);
    });
    const npz = await encodeNpz({
      arr_0: { dtype: '|u1', shape: [images.length, height, width, 3], data: pixels },
      arr_1: { dtype: '<i4', shape: [labels.length], data: Int32Array.from(labels) },
    });
    await writeAtomic(out, npz);
    return out;
  }
  if (/\.png$/i.test(out)) {
    await writeAtomic(out, await grid(images, cols).toPNG());
    return out;
  }
  const digits = String(images.length - 1).length;
  for (const [i, image] of images.entries()) {
    const label = classes?.[labels[i]!]?.replace(/[^\w-]+/g, '-') ?? `class-${labels[i]}`;
    await writeAtomic(`${out}/${String(i).padStart(digits, '0')}-${label}-seed-${seeds[i]}.png`, await image.toPNG());
  }
  return out;
}

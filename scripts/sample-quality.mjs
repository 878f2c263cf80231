/**
 * `npm run quality -- [MODEL] [options]` measures the quality of a model's samples with a classifier that is trained on real images:
 * the share of samples that it assigns to the class they were drawn for, and the Fréchet distance between the features of samples and
 * of real images. The same figures of real images, before and after the model's tokenizer, are printed for comparison. The classifier
 * is trained once and cached in out/quality.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { FASHION_MNIST } from './data.mjs';
import { measuring, note, table } from './measuring.mjs';
import { root } from './setup.mjs';

const CACHE = 'out/quality';
const HELP = `usage: npm run quality -- [MODEL] [options]

  --data FOLDER                 IDX files (default ${FASHION_MNIST}) or one sub-folder of images per class
  --count N                     samples; image i has seed i and class i modulo the number of classes (default 1000)
  --cfg-scale W                 guidance (default 1.5)
  --top-p P                     draw from the likeliest tokens of this share of the probability (default 1)
  --neighbours FILE.png         measure how far samples and held-out images are from their nearest training image, and write a sheet of
                                samples, each above its neighbour
  --positions trained|authors   position rows as in training, or the authors' off-by-one (default trained)
  --device auto|webgpu|wasm     where to compute (default auto)
  --dtype auto|f32|f16          number format of weights on a GPU (default auto)
  --precision f32|mixed         of matrix products on a GPU (default f32)
  --dawn FLAG                   a Dawn instance flag; may be repeated
  --against auto|webgpu|wasm    draw again on this device in float32, and compare the tokens
`;

const OPTIONS = {
  data: { type: 'string', default: FASHION_MNIST },
  count: { type: 'string', default: '1000' },
  'cfg-scale': { type: 'string', default: '1.5' },
  'top-p': { type: 'string', default: '1' },
  neighbours: { type: 'string' },
  positions: { type: 'string', default: 'trained' },
  device: { type: 'string', default: 'auto' },
  dtype: { type: 'string', default: 'auto' },
  precision: { type: 'string', default: 'f32' },
  dawn: { type: 'string', multiple: true },
  against: { type: 'string' },
};

async function main(values, positionals) {
  const { AiM, AimImage, OptionError } = await import('aim-js');
  const { openData } = await import('aim-js/train');
  const { Classifier, FEATURES, frechetDistance, moments } = await import('../build/quality.js');

  const model = positionals[0] ?? `${root}models/fashion-mnist`;
  const { device, dtype, precision, dawn, positions, against } = values;
  const options = {
    count: Number(values.count),
    cfgScale: Number(values['cfg-scale']),
    topP: Number(values['top-p']),
    positions,
  };
  const aim = await AiM.fromPretrained(model, { device, dtype, precision, dawn });
  const { image_size: size, num_classes: K } = aim.config;
  const found = await openData(values.data, { size });
  // A folder has names of its own.
  const data = found.kind === 'idx' ? await openData(values.data, { size, classes: aim.classes }) : found;
  const isFolder = data.kind === 'folder';
  const isOther = isFolder && data.train.classes.join('\n') !== aim.classes.join('\n');
  if (data.eval?.classes.length !== K || size % 4 || isOther)
    throw new OptionError(
      `${model} draws ${K} classes at ${size}×${size}, ${values.data} has ${data.eval?.classes.length ?? 'no'} classes of test ` +
        'images; pass the data that it was trained on, of sides that are multiples of 4.',
    );
  const eye = isFolder ? colours(size) : grey(size);
  const trained = await load(data.train, eye);
  const judge = await classifier(data.train, trained, eye, Classifier);
  const test = await load(data.eval, eye);

  note(`drawing ${options.count} images on ${aim.device}`);
  const drawn = await aim.generate(options);
  // As many real images of each class as there are samples are held out, but at most half. The others are the reference for
  // distances. A folder has too few held-out images for that, so that its training images are the reference.
  const each = Math.ceil(options.count / K);
  const { held, rest } = split(test.labels, K, isFolder ? each : Math.min(each, Math.floor(test.labels.length / K / 2)));
  const real = await Promise.all(held.map((i) => data.eval.image(i, { kind: 'eval' })));
  const codes = await aim.encode(real.map((image) => new AimImage({ width: size, height: size, data: image })));
  const decoded = await aim.decode(codes);
  await aim.dispose();

  const labels = held.map((i) => test.labels[i]);
  const all = judge.classify(test.pixels);
  const others = isFolder
    ? judge.classify(trained.pixels).features
    : rest.flatMap((i) => [...all.features.subarray(i * FEATURES, (i + 1) * FEATURES)]);
  const reference = moments(others, FEATURES);
  const columns = [
    ['real', real, labels],
    ['through tokenizer', decoded.map((image) => image.data), labels],
    ['samples', drawn.images.map((image) => image.data), drawn.labels],
  ].map(([name, images, wanted]) => {
    const { labels: seen, features } = judge.classify(eye.pixels(images));
    return [
      name,
      String(wanted.length),
      ...accuracies(seen, wanted, K),
      frechetDistance(moments(features, FEATURES), reference, { onWarning: note }).toFixed(2),
    ];
  });
  const names = ['', 'images', ...aim.classes, 'all', 'Fréchet distance'];
  const right = accuracies(all.labels, test.labels, K).at(-1);
  process.stdout.write(
    `${model} on ${aim.device}, dtype ${dtype}, precision ${precision}, guidance ${options.cfgScale}, ${positions} positions\n` +
      `The classifier assigns ${right} of all ${test.labels.length} test images to their class.\n\n${table([names, ...columns])}\n` +
      `Percentages are the shares of images that are assigned to their class. Distances compare ${FEATURES} features of this classifier with\n` +
      `those of ${isFolder ? `the ${trained.labels.length} training` : `the other ${rest.length} test`} images. Other features give distances on another scale; fewer images give larger ones.\n`,
  );
  if (values.neighbours) process.stdout.write(await neighbours(data.train, real, drawn.images, values.neighbours));
  if (!against) return;
  const same = await compare(await AiM.fromPretrained(model, { device: against, dtype: 'f32', dawn }), options, drawn.tokens);
  process.stdout.write(`${same}\n`);
}

/**
 * How the classifier sees an image of a data set [size, size, 3] in [-1, 1], and how it is trained. Of IDX files: grey, as they are. The
 * pictures of a folder are few and in colour: their colours at 32×32 pixels, shifted and mirrored at random.
 */
function grey(size) {
  const of = (rgb) => Float64Array.from({ length: size * size }, (_, i) => (rgb[3 * i] + rgb[3 * i + 1] + rgb[3 * i + 2]) / 3);
  return eyeOf(size, 1, {}, of);
}

function colours(size) {
  const side = size % 32 === 0 ? 32 : size;
  return eyeOf(side, 3, { epochs: 12, shift: 3 }, (rgb) => shrunk(rgb, size, side));
}

/** `pixels` are bytes of images one after the other, with the rounding of PNG files. */
function eyeOf(side, channels, training, seen) {
  const per = side * side * channels;
  const pixels = (images) => {
    const out = new Uint8ClampedArray(images.length * per);
    for (const [i, rgb] of images.entries())
      out.set(
        seen(rgb).map((v) => (v + 1) * 127.5),
        i * per,
      );
    return out;
  };
  return { side, channels, training, pixels };
}

/** Returns the classifier for these training images, from the cache of an earlier run or newly trained. */
async function classifier({ classes }, { pixels, labels }, { side, channels, training }, Classifier) {
  const source = readFileSync(new URL('../src/evaluate/classifier.ts', import.meta.url));
  const hash = createHash('sha256').update(source).update(JSON.stringify(training)).update(pixels).update(labels);
  const file = `${CACHE}/classifier-${hash.digest('hex').slice(0, 16)}.f32`;
  const made = (weights) => new Classifier(side, classes.length, weights, channels);
  if (existsSync(file)) return made(new Float32Array(new Uint8Array(readFileSync(file)).buffer));
  note(`training the classifier on ${labels.length} images; it is cached as ${file}`);
  const net = made();
  await net.train(pixels, labels, { ...training, onEpoch: (epoch, loss) => note(`epoch ${epoch}: loss ${loss.toFixed(4)}`) });
  mkdirSync(CACHE, { recursive: true });
  writeFileSync(`${file}.tmp-${process.pid}`, net.save());
  renameSync(`${file}.tmp-${process.pid}`, file);
  return net;
}

/** Returns all images of a data set as the classifier sees them, and their labels [n]. */
async function load(data, eye) {
  const per = eye.side ** 2 * eye.channels;
  const pixels = new Uint8ClampedArray(data.length * per);
  for (let i = 0; i < data.length; i++) pixels.set(eye.pixels([await data.image(i, { kind: 'eval' })]), i * per);
  return { pixels, labels: Uint16Array.from({ length: data.length }, (_, i) => data.label(i)) };
}

/** Side of the pictures that are compared to find neighbours, so that a shift by a pixel counts little. */
const SMALL = 16;
/** Samples on the sheet of neighbours, in rows of ten. */
const SHOWN = 50;

/**
 * Measures whether a model repeats its training images: how far samples and held-out images are from their nearest training image, as the
 * root mean square difference of colours at 16×16 pixels. Writes a sheet of samples, each above its neighbour.
 */
async function neighbours(train, real, drawn, file) {
  const { AimImage } = await import('aim-js');
  const { imageGrid } = await import('../build/quality.js');
  const { size } = train;
  const known = [];
  for (let i = 0; i < train.length; i++) known.push(shrunk(await train.image(i, { kind: 'eval' }), size, SMALL));
  const nearest = (images) => images.map((image) => nearestOf(shrunk(image, size, SMALL), known));
  const [ofReal, ofDrawn] = [nearest(real), nearest(drawn.map((image) => image.data))];
  const pairs = [];
  for (let row = 0; row < Math.min(SHOWN, drawn.length); row += 10) {
    const these = drawn.slice(row, row + 10);
    const near = these.map((_, k) => train.image(ofDrawn[row + k].index, { kind: 'eval' }));
    pairs.push(...these, ...(await Promise.all(near)).map((data) => new AimImage({ width: size, height: size, data })));
  }
  writeFileSync(file, await imageGrid(pairs, 10).toPNG());
  const middle = (found) =>
    found
      .map(({ distance }) => distance)
      .sort((a, b) => a - b)
      [found.length >> 1].toFixed(3);
  const least = (found) => Math.min(...found.map(({ distance }) => distance)).toFixed(3);
  return (
    `\nDistance to the nearest of ${train.length} training images, median (least): held-out images ${middle(ofReal)} ` +
    `(${least(ofReal)}), samples ${middle(ofDrawn)} (${least(ofDrawn)}). ${file} has samples above their neighbours.\n`
  );
}

/** An image [size, size, 3] at side × side pixels, by means. */
function shrunk(image, size, side) {
  const out = new Float64Array(side * side * 3);
  const step = size / side;
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++)
      for (let c = 0; c < 3; c++)
        out[(Math.floor(y / step) * side + Math.floor(x / step)) * 3 + c] += image[(y * size + x) * 3 + c];
  return out.map((sum) => sum / step ** 2);
}

function nearestOf(image, known) {
  let best = { index: -1, distance: Number.POSITIVE_INFINITY };
  known.forEach((other, index) => {
    let sum = 0;
    for (let i = 0; i < image.length; i++) sum += (image[i] - other[i]) ** 2;
    const distance = Math.sqrt(sum / image.length);
    if (distance < best.distance) best = { index, distance };
  });
  return best;
}

/** Returns the indices of the first `each` images of every class (`held`), and of all others (`rest`). */
function split(labels, K, each) {
  const seen = new Uint32Array(K);
  const [held, rest] = [[], []];
  for (const [i, label] of labels.entries()) (seen[label]++ < each ? held : rest).push(i);
  return { held, rest };
}

/**
 * For each class, then for all images together: the share of images with the class `wanted` that were assigned to it (`seen`), as
 * text.
 */
function accuracies(seen, wanted, K) {
  const [right, total] = [new Uint32Array(K + 1), new Uint32Array(K + 1)];
  wanted.forEach((label, i) => {
    for (const row of [label, K]) {
      total[row]++;
      if (seen[i] === label) right[row]++;
    }
  });
  return Array.from(total, (n, row) => (n ? `${((100 * right[row]) / n).toFixed(1)}%` : '–'));
}

/** Draws the same images on another device. Returns a sentence that says how many have the same tokens. */
async function compare(aim, options, tokens) {
  const other = await aim.generate(options);
  const same = tokens.filter((codes, i) => codes.every((code, t) => code === other.tokens[i][t])).length;
  await aim.dispose();
  return `${same} of ${tokens.length} images have the same tokens on ${aim.device} in float32.`;
}

await measuring(HELP, OPTIONS, main);

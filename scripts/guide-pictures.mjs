/**
 * `npm run guide-pictures` draws the pictures of docs/guides with models/fashion-mnist, into docs/guides/pictures. One of them shows
 * test images of Fashion-MNIST (see data.mjs).
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { encode } from 'fast-png';
import { FASHION_MNIST } from './data.mjs';
import { build, install, root } from './setup.mjs';

const out = `${root}docs/guides/pictures/`;
const GAP = 8;

/** A white canvas of RGB pixels. */
class Canvas {
  constructor(width, height) {
    Object.assign(this, { width, height, data: new Uint8Array(width * height * 3).fill(255) });
  }

  /** Fills a rectangle with a colour [r, g, b]. */
  rect(x, y, width, height, colour) {
    for (let row = y; row < y + height; row++)
      for (let column = x; column < x + width; column++) this.data.set(colour, (row * this.width + column) * 3);
  }

  /** Puts an AimImage at (x, y), each of its pixels as a square with sides of `scale` pixels. */
  image(image, x, y, scale) {
    const bytes = image.toRGB();
    for (let i = 0; i < image.width * image.height; i++) {
      const [column, row] = [i % image.width, Math.floor(i / image.width)];
      this.rect(x + column * scale, y + row * scale, scale, scale, bytes.subarray(i * 3, i * 3 + 3));
    }
  }

  /** Puts side × side squares of colours at (x, y). */
  squares(colours, x, y, size) {
    const side = Math.sqrt(colours.length);
    colours.forEach((colour, i) => {
      this.rect(x + (i % side) * size, y + Math.floor(i / side) * size, size - 1, size - 1, colour);
    });
  }

  write(name) {
    const { width, height, data } = this;
    writeFileSync(out + name, encode({ width, height, data, channels: 3, depth: 8 }));
    process.stdout.write(`docs/guides/pictures/${name}: ${width}×${height}\n`);
  }
}

/** Rows of images with a gap between them. */
function table(rows, scale, name) {
  const size = rows[0][0].width * scale;
  const along = (count) => count * size + (count - 1) * GAP;
  const canvas = new Canvas(along(rows[0].length), along(rows.length));
  rows.forEach((row, y) => {
    row.forEach((image, x) => {
      canvas.image(image, x * (size + GAP), y * (size + GAP), scale);
    });
  });
  canvas.write(name);
}

/** A colour for a code: neighbouring numbers get hues far apart. */
function hue(code) {
  const h = (code * 0.618034) % 1;
  return [0, 1 / 3, 2 / 3].map((shift) => Math.round(140 + 100 * Math.cos(2 * Math.PI * (h + shift))));
}

/** −ln of the probability that these logits give to a token. */
function surprise(logits, token) {
  const most = Math.max(...logits);
  return Math.log(logits.reduce((sum, v) => sum + Math.exp(v - most), 0)) + most - logits[token];
}

install();
build();
mkdirSync(out, { recursive: true });
const { AiM, AimImage } = await import('aim-js');
const { openData } = await import('aim-js/train');
const aim = await AiM.fromPretrained(`${root}models/fashion-mnist`, { device: 'wasm' });
const T = aim.config.num_tokens;
const side = Math.sqrt(T);

// An image, the square that each token stands for, the tokens as colours, and how surprising each was.
const { images, tokens, labels } = await aim.generate({ classes: ['Sneaker'], seed: 4 });
const [logits] = await aim.logits(tokens, labels);
const V = aim.config.vocab_size;
const nats = Array.from(tokens[0], (token, t) => surprise(logits.slice(t * V, (t + 1) * V), token));
const SCALE = 6;
const size = images[0].width * SCALE;
const square = size / side;
const canvas = new Canvas(4 * size + 3 * GAP, size);
canvas.image(images[0], 0, 0, SCALE);
canvas.image(images[0], size + GAP, 0, SCALE);
for (let i = 1; i < side; i++) {
  canvas.rect(size + GAP + i * square - 1, 0, 2, size, [255, 255, 255]);
  canvas.rect(size + GAP, i * square - 1, size, 2, [255, 255, 255]);
}
canvas.squares(Array.from(tokens[0], hue), 2 * (size + GAP), 0, square);
canvas.squares(
  nats.map((v) => Array(3).fill(Math.round(255 * Math.min(1, v / Math.max(...nats))))),
  3 * (size + GAP),
  0,
  square,
);
canvas.write('tokens.png');
process.stdout.write(`tokens of the first rows: ${tokens[0].slice(0, 2 * side).join(' ')}\n`);
process.stdout.write(`nats: ${Math.min(...nats).toFixed(2)} to ${Math.max(...nats).toFixed(2)}\n`);

// Rows arriving.
const stages = [];
const onStep = async ({ step, preview }) => {
  if (step % (T / 4) === 0) stages.push(...(await preview()));
};
const empty = new AimImage({ ...images[0], data: new Float32Array(images[0].data.length) });
await aim.generate({ classes: ['Sneaker'], seed: 4, onStep });
table([[empty, ...stages]], 4, 'rows.png');

// Test images, and what is left of them after the tokenizer.
const { eval: test } = await openData(FASHION_MNIST, { size: aim.config.image_size });
const real = [];
for (let i = 0; i < 8; i++)
  real.push(new AimImage({ width: test.size, height: test.size, data: await test.image(i, { kind: 'eval' }) }));
table([real, await aim.decode(await aim.encode(real))], 3, 'reconstruction.png');

/** One image of each class, with the same seed. */
const drawn = async (options) => {
  const images = [];
  for await (const { image } of aim.generateEach({ classes: 'all', ...options })) images.push(image);
  return images;
};
const guided = [];
for (const cfgScale of [1, 1.5, 4, 8]) guided.push(await drawn({ cfgScale }));
table(guided, 2, 'guidance.png');
const warmer = [];
for (const temperature of [0, 0.7, 1, 1.5]) warmer.push(await drawn({ temperature }));
table(warmer, 2, 'temperature.png');
await aim.dispose();

/**
 * `npm run sharpness -- DATA MODEL [MODEL …] [options]` compares tokenizers by how sharp the pictures are that they give back: held-out
 * pictures are encoded and decoded by each. `edges` is the mean slope of the luminance where the original has its tenth of steepest
 * pixels, and `detail` the energy of its Laplacian, both as shares of the original's, so that a blurred picture is below 1; `flat` is the
 * mean slope where the original is flat, which noise raises (the last row has the originals').
 */
import { writeFileSync } from 'node:fs';
import { measuring, table } from './measuring.mjs';

const HELP = `usage: npm run sharpness -- DATA MODEL [MODEL …] [options]

  DATA                          IDX files, or one sub-folder of images per class; held-out images are taken
  MODEL                         checkpoints of models or tokenizers, run folders included
  --count N                     images, evenly spaced (default 200)
  --sheet FILE.png              write the first originals, and below them what each model gives back
  --device auto|webgpu|wasm     where to compute (default auto)
`;
const OPTIONS = {
  count: { type: 'string', default: '200' },
  sheet: { type: 'string' },
  device: { type: 'string', default: 'auto' },
};
/** Images encoded and decoded at once. */
const BATCH = 16;
/** Images of a row of the sheet. */
const SHOWN = 12;

async function main(values, [folder, ...models]) {
  const { AiM, AimImage, OptionError } = await import('aim-js');
  const { openData } = await import('aim-js/train');
  const { addSharpness, imageGrid, noSharpness, sharpnessOf } = await import('../build/quality.js');
  const count = Number(values.count);
  if (!models.length) throw new OptionError('name the data and at least one model; --help lists the options.');
  if (!(count >= 1 && Number.isInteger(count))) throw new OptionError(`--count is ${values.count}; it must be a whole number.`);

  const measured = [];
  /** What each model gives back of the first images. */
  const copied = [];
  let sized;
  for (const model of models) {
    const aim = await AiM.fromPretrained(model, { device: values.device });
    try {
      const size = aim.config.image_size;
      sized ??= { size, images: await heldOut(await openData(folder, { size }), count, size) };
      if (size !== sized.size)
        throw new OptionError(`${model} has images of ${size}×${size}, ${models[0]} of ${sized.size}×${sized.size}.`);
      const sums = noSharpness();
      const copies = [];
      for (let i = 0; i < sized.images.length; i += BATCH) {
        const images = sized.images.slice(i, i + BATCH);
        copies.push(...(await aim.decode(await aim.encode(images))));
        for (const [k, image] of images.entries()) addSharpness(sums, image.data, copies[i + k].data, size);
        if (process.stderr.isTTY)
          process.stderr.write(`\r${model}: ${i + images.length} of ${sized.images.length} images on ${aim.device}`);
      }
      if (process.stderr.isTTY) process.stderr.write('\n');
      copied.push(copies.slice(0, SHOWN));
      measured.push(sharpnessOf(sums));
    } finally {
      await aim.dispose();
    }
  }
  const columns = [
    ['', ...models, 'originals'],
    ['MSE', ...measured.map(({ mse }) => mse.toFixed(5)), '0'],
    ['edges', ...measured.map(({ edges }) => edges.toFixed(3)), '1'],
    ['detail', ...measured.map(({ detail }) => detail.toFixed(3)), '1'],
    ['flat', ...measured.map(({ flat }) => flat.toFixed(5)), measured[0].flatOriginal.toFixed(5)],
  ];
  process.stdout.write(table(columns));
  const shown = [sized.images.slice(0, SHOWN), ...copied].flat();
  if (values.sheet) writeFileSync(values.sheet, await imageGrid(shown, Math.min(SHOWN, sized.images.length)).toPNG());

  /** Held-out images, evenly spaced over those there are. */
  async function heldOut({ eval: images }, most, size) {
    if (!images?.length)
      throw new OptionError(`${folder} has no held-out images (a sub-folder val, or IDX files of a test set).`);
    const n = Math.min(most, images.length);
    const at = Array.from({ length: n }, (_, i) => Math.floor((i * images.length) / n));
    const data = await Promise.all(at.map((i) => images.image(i, { kind: 'eval' })));
    return data.map((values) => new AimImage({ width: size, height: size, data: values }));
  }
}

await measuring(HELP, OPTIONS, main);

// Draws four images and writes them as PNG files: `node examples/generate.mjs [MODEL] [FOLDER]`.
import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { AiM } from 'aim-js';

const [model = fileURLToPath(new URL('../models/emoji', import.meta.url)), folder = 'out/example'] = process.argv.slice(2);
const aim = await AiM.fromPretrained(model, { device: 'auto' });
console.log(`device: ${aim.device}`);
const { images } = await aim.generate({ classes: ['heart', 'clock'], count: 4, seed: 1 });
await mkdir(folder, { recursive: true });
for (const image of images) {
  const file = `${folder}/${aim.classes?.[image.label] ?? image.label}-${image.seed}.png`;
  await writeFile(file, await image.toPNG());
  console.log(file);
}
await aim.dispose();

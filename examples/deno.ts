// Draws four images in Deno and writes them as PNG files:
//   deno run --allow-read --allow-write --allow-env examples/deno.ts [MODEL] [FOLDER]
// MODEL is a folder. In your own project, import 'npm:aim-js' (or 'jsr:@aim-js/aim') instead of the build in this repository.
import { AiM } from '../dist/aim.js';

const [model = new URL('../models/emoji', import.meta.url).pathname, folder = 'out/example'] = Deno.args;
const aim = await AiM.fromPretrained(model);
console.log(`device: ${aim.device}`);
const { images } = await aim.generate({ classes: ['heart', 'clock'], count: 4, seed: 1 });
await Deno.mkdir(folder, { recursive: true });
for (const image of images) {
  const file = `${folder}/${aim.classes?.[image.label!] ?? image.label}-${image.seed}.png`;
  await Deno.writeFile(file, await image.toPNG());
  console.log(file);
}
await aim.dispose();

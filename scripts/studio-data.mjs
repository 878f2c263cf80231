/**
 * Makes the data set of the studio's Train tab: the first 10,000 training and 1,000 test images of Fashion-MNIST as codes of the
 * tokenizer of models/fashion-mnist, gzipped. Run it again when that tokenizer changes: `node scripts/studio-data.mjs [FOLDER OF IDX FILES]`.
 */
import { writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { AiM } from 'aim-js';
import { encodeCodes, openData, tokenize } from 'aim-js/train';
import { FASHION_MNIST } from './data.mjs';
import { root } from './setup.mjs';

const [folder = FASHION_MNIST] = process.argv.slice(2);
const aim = await AiM.fromPretrained(`${root}models/fashion-mnist`);
const { train, eval: held } = await openData(folder, { size: aim.config.image_size, classes: aim.classes });
const first = (data, length) => ({ ...data, length });
const codes = await tokenize(aim, { train: first(train, 10_000), eval: first(held, 1_000) }, { batchSize: 32 });
const chunks = [];
for await (const chunk of encodeCodes(codes)) chunks.push(chunk);
const file = gzipSync(Buffer.concat(chunks), { level: 9 });
await writeFile(`${root}examples/studio/data/fashion-mnist.safetensors.gz`, file);
process.stdout.write(`${codes.labels.length} + ${codes.eval.labels.length} images, ${file.length} bytes\n`);
await aim.dispose();

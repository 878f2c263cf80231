// Trains a small model for a few steps on a folder with Fashion-MNIST's IDX files: `node examples/train.mjs DATA [STEPS]`.
import { fileURLToPath } from 'node:url';
import { AiM } from 'aim-js';
import { openData, Trainer, tokenize } from 'aim-js/train';

const [data, steps = '50'] = process.argv.slice(2);
if (!data) throw new Error('usage: node examples/train.mjs DATA [STEPS]');
const tokenizer = fileURLToPath(new URL('../models/fashion-mnist', import.meta.url));
const base = await AiM.fromPretrained(tokenizer);
const model = await AiM.fromConfig({ ...base.config.json, d_model: 64, n_layer: 2 }, { seed: 1 });
await base.dispose();
await model.loadPart('vqvae.', tokenizer);

const codes = await tokenize(model, await openData(data, { size: model.config.image_size }), { batchSize: 32 });
const trainer = new Trainer({ model, data: codes, steps: Number(steps), batchSize: 32, lr: 1e-3, evalItems: 200 });
for await (const step of trainer.run()) {
  if (step.step % 10 === 0 || step.eval)
    console.log(
      `step ${step.step}: loss ${step.loss.toFixed(3)}, ${Math.round(step.tokensPerSecond)} tokens/s${
        step.eval ? `, held out ${step.eval.loss.toFixed(3)}` : ''
      }`,
    );
}
trainer.dispose();
await model.dispose();

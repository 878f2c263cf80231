/** Trains a stage-2 model for an experiment, and draws with it. */
import { AiM, type GenerateOptions } from '../../aim.js';
import type { AimImage } from '../../io/image.js';
import { sha256Text } from '../../io/sha256.js';
import { exists } from '../../platform/files.js';
import { Trainer } from '../../train/trainer.js';
import { progress } from '../progress.js';
import type { Material } from './material.js';

export interface Training {
  name: string;
  /** Parameters that are zero and stay so, as the option `freeze` names them: what an ablation takes away. */
  without?: readonly string[];
  /** Called at each of the scale's points, with the number of steps. */
  onPoint?: (step: number) => Promise<void>;
}

/** Trains for as many steps as the scale says. */
export async function train(aim: AiM, m: Material, { name, without = [], onPoint }: Training): Promise<void> {
  const { steps, batchSize, lr, points } = m.scale;
  const data = await m.codes();
  const settings = {
    steps,
    batchSize,
    lr,
    schedule: 'cosine',
    warmup: Math.floor(steps / 20),
    weightDecay: 1,
    freeze: without,
  } as const;
  const trainer = new Trainer({ model: aim, data, ...settings, evalEvery: 0 });
  const bar = progress(`training ${name}`, steps, 'steps');
  try {
    for (const name of trainer.frozen) aim.model.be.zero(aim.model.named().get(name)!.tensor);
    // A state with these zeros, for a lost device.
    if (trainer.frozen.size) await trainer.keep();
    for (let point = 1; point <= points; point++) {
      const until = Math.round((steps * point) / points);
      for await (const { step, loss } of trainer.run({ signal: m.signal, until })) bar.update(step, `loss ${loss.toFixed(4)}`);
      await onPoint?.(until);
    }
  } finally {
    bar.stop();
    trainer.dispose();
  }
}

/** Draws the scale's number of images, of all classes in turn. */
export async function draw(aim: AiM, m: Material, options: GenerateOptions = {}): Promise<AimImage[]> {
  const batchSize = aim.backend === 'webgpu' ? 256 : 16;
  return (await aim.generate({ count: m.scale.samples, batchSize, ...options, signal: m.signal })).images;
}

/** The model that is asked for, or one of the base size, trained once. */
export function drawer(m: Material): Promise<AiM> {
  return m.once('drawer', async () => {
    const { model, keep, load, scale } = m.options;
    if (model !== undefined) return AiM.fromPretrained(model, load);
    const tokenizer = await m.tokenizer();
    const { id } = await m.data();
    const { base, steps, batchSize, lr } = scale;
    const folder = `${keep}/model-${sha256Text(JSON.stringify([tokenizer, id, base, steps, batchSize, lr])).slice(0, 12)}`;
    if (await exists(`${folder}/config.json`)) return AiM.fromPretrained(folder, load);
    const aim = await m.model(base);
    try {
      await train(aim, m, { name: base.name });
      await aim.save(folder);
      return aim;
    } catch (error) {
      await aim.dispose();
      throw error;
    }
  });
}

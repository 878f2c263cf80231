/** Pictures of the progress of a training: the plot of its losses, and samples. */
import type { AiM } from '../../aim.js';
import type { ImageSplits } from '../../data/dataset.js';
import { AimImage, imageGrid } from '../../io/image.js';
import type { Metric } from '../../train/metrics.js';
import { spread } from '../../train/order.js';
import { plotLoss } from '../../train/plot.js';
import type { Trainer } from '../../train/trainer.js';

/** The curves of training and held-out loss, as SVG. */
export function lossPlot(trainer: Trainer, history: readonly Metric[]): string {
  const points = (key: string) =>
    history.filter((m) => typeof m[key] === 'number').map((m) => ({ step: m.step, loss: m[key] as number }));
  const model = trainer.options.stage === 'model';
  return plotLoss(model ? 'AiM, stage 2' : 'Tokenizer', model ? 'cross-entropy, nats per token' : 'loss', [
    { name: 'training', points: points('loss'), kind: 'line' },
    { name: 'held out', points: points('eval_loss'), kind: 'marked' },
  ]);
}

/**
 * A sheet of images, the same seeds and originals each time. Stage 2: classes spread over all that the model has, at most 40.
 * Tokenizer: held-out images of all classes above their reconstructions.
 */
export async function drawSamples(trainer: Trainer, aim: AiM, images: ImageSplits | undefined): Promise<Uint8Array> {
  if (trainer.options.stage === 'model') {
    const { num_classes } = aim.config;
    const classes = [...spread(Uint32Array.from({ length: num_classes }), 40)];
    const rows = classes.length > 10 ? 1 : 4;
    const { images: drawn } = await aim.generate({ classes, count: classes.length * rows });
    return imageGrid(drawn, Math.min(classes.length, 10)).toPNG();
  }
  const originals = await someImages(images!, 10);
  const again = await aim.decode(await aim.encode(originals));
  return imageGrid([...originals, ...again], originals.length).toPNG();
}

/** How many entries of the codebook the tokenizer uses for `count` images of all classes, held-out ones where there are some. */
export async function codesInUse(aim: AiM, images: ImageSplits, count = 64): Promise<number> {
  const used = new Set<number>();
  for (const codes of await aim.encode(await someImages(images, count))) for (const code of codes) used.add(code);
  return used.size;
}

/** At most `count` images, spread over all classes; held-out ones where there are some. */
async function someImages({ train, eval: held }: ImageSplits, count: number): Promise<AimImage[]> {
  const data = held ?? train;
  const labels = Uint32Array.from({ length: data.length }, (_, i) => data.label(i));
  const chosen: AimImage[] = [];
  for (const i of spread(labels, count))
    chosen.push(new AimImage({ width: data.size, height: data.size, data: await data.image(i, { kind: 'eval' }) }));
  return chosen;
}

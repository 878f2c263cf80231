/** What shows how a training goes: the plot of its losses and pictures. */
import type { AiM } from '../../aim.js';
import type { ImageSplits } from '../../data/dataset.js';
import { AimImage, imageGrid } from '../../io/image.js';
import type { Metric } from '../../train/metrics.js';
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

/** Stage 2: one image per class (at most 40), the same seeds each time. Tokenizer: held-out images above their reconstructions. */
export async function drawSamples(trainer: Trainer, aim: AiM, images: ImageSplits | undefined): Promise<Uint8Array> {
  if (trainer.options.stage === 'model') {
    const classes = Array.from({ length: Math.min(40, aim.config.num_classes) }, (_, i) => i);
    const rows = classes.length > 10 ? 1 : 4;
    const { images: drawn } = await aim.generate({ classes, count: classes.length * rows });
    return imageGrid(drawn, Math.min(classes.length, 10)).toPNG();
  }
  const data = images!.eval ?? images!.train;
  const originals: AimImage[] = [];
  for (let i = 0; i < Math.min(10, data.length); i++)
    originals.push(new AimImage({ width: data.size, height: data.size, data: await data.image(i, { kind: 'eval' }) }));
  const again = await aim.decode(await aim.encode(originals));
  return imageGrid([...originals, ...again], originals.length).toPNG();
}

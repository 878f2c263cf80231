/** The loop of `aim train`: steps, metrics, checkpoints, plots and samples. */
import type { AiM } from '../../aim.js';
import { AimError } from '../../core/errors.js';
import type { ImageSplits } from '../../data/dataset.js';
import { makeFolder, writeAtomic } from '../../platform/files.js';
import { openCheckpointFolder, saveCheckpoint } from '../../train/folder.js';
import { type Metric, openMetrics } from '../../train/metrics.js';
import { evaluatesAt, type Trainer, type TrainStep } from '../../train/trainer.js';
import { progress } from '../progress.js';
import { say } from '../terminal.js';
import { drawSamples, lossPlot } from './samples.js';

export interface RunPlace {
  out: string;
  keep: number;
  signal: AbortSignal;
}

/** Trains to the last step: metrics, checkpoints, the loss plot and samples go into the run folder. */
export async function runTraining(trainer: Trainer, aim: AiM, images: ImageSplits | undefined, place: RunPlace): Promise<void> {
  const { out, keep, signal } = place;
  const { steps } = trainer.options;
  const log = await openMetrics(`${out}/metrics.jsonl`, trainer.step);
  const history: Metric[] = [...log.kept];
  const save = async () => {
    const path = await saveCheckpoint(out, trainer.checkpoint(), { keep });
    await trainer.keep(await openCheckpointFolder(path));
    return path;
  };
  const write = async (metric: Metric) => {
    history.push(metric);
    await log.write(metric);
  };
  const unit = trainer.options.stage === 'model' ? 'tokens' : 'images';
  const bar = progress('training', steps, 'steps', { from: trainer.step });
  let savedAt = trainer.step;
  try {
    for await (const step of trainer.run({ signal })) {
      await write(toMetric(step));
      const rate = unit === 'tokens' ? step.tokensPerSecond : step.imagesPerSecond;
      bar.update(step.step, `loss ${step.loss.toFixed(4)} · ${Math.round(rate).toLocaleString('en')} ${unit}/s`);
      const last = step.step === steps;
      if (!step.eval && !last) continue;
      await save();
      savedAt = trainer.step;
      await writeAtomic(`${out}/loss.svg`, new TextEncoder().encode(lossPlot(trainer, history)));
      await makeFolder(`${out}/samples`);
      const name = `${out}/samples/step-${String(step.step).padStart(8, '0')}.png`;
      await writeAtomic(name, await trainer.withEma(() => drawSamples(trainer, aim, images)));
      if (step.eval) bar.note(`step ${step.step}: ${heldOutText(step.eval)}`);
    }
  } catch (error) {
    bar.stop();
    // Stopped by the user or by an error that leaves the weights sound: save what is done.
    if ((signal.aborted || error instanceof AimError) && trainer.step > savedAt && !(await lost(aim))) {
      const path = await save();
      say(`saved ${path}; go on with --resume\n`);
      // The step that was computed ahead is logged too, but not evaluated, which would delay the end.
      if (signal.aborted && !evaluatesAt(trainer.step, trainer.options))
        for await (const step of trainer.run({ until: trainer.step })) await write(toMetric(step));
    }
    throw error;
  } finally {
    bar.stop();
    await log.close();
  }
}

/** True if the device is gone, so that nothing can be read from it. */
const lost = (aim: AiM) =>
  aim.model.be.settle().then(
    () => false,
    () => true,
  );

function toMetric({ step, epoch, metrics, lr, gradNorm, imagesPerSecond, tokensPerSecond, eval: held }: TrainStep): Metric {
  const evaluated = Object.fromEntries(Object.entries(held ?? {}).map(([name, v]) => [`eval_${name}`, v]));
  return { step, epoch, ...metrics, lr, gradNorm, imagesPerSecond, tokensPerSecond, ...evaluated };
}

/** `held-out loss 2.31, emaLoss 2.30`; metrics that only repeat the loss are left out. */
export function heldOutText(metrics: Readonly<Record<string, number>>): string {
  const shown = Object.entries(metrics).filter(([name, v]) => name === 'loss' || v !== metrics.loss);
  return `held-out ${shown.map(([name, v]) => `${name} ${v.toFixed(4)}`).join(', ')}`;
}

/** The loop of `aim train`: steps, metrics, checkpoints, plots and samples. */
import type { AiM } from '../../aim.js';
import { AimError, TrainingError } from '../../core/errors.js';
import type { ImageSplits } from '../../data/dataset.js';
import { tokenizerOf } from '../../model/tokenizers.js';
import { exists, makeFolder, removeDeadTemporaries, writeAtomic } from '../../platform/files.js';
import { openCheckpointFolder, saveCheckpoint } from '../../train/folder.js';
import { type Metric, openMetrics } from '../../train/metrics.js';
import { evaluatesAt, type TrainStep } from '../../train/report.js';
import type { Trainer } from '../../train/trainer.js';
import { progress } from '../progress.js';
import { counted, say } from '../terminal.js';
import { Best, keptBest } from './best.js';
import { forecast } from './forecast.js';
import { codesInUse, drawSamples, lossPlot } from './samples.js';
import { openEvents } from './tensorboard.js';

export interface RunPlace {
  out: string;
  keep: number;
  /** Whether the checkpoint with the best evaluation stays. */
  best: boolean;
  /** Evaluations without a better one after which training ends. */
  patience: number | undefined;
  /** Whether TensorBoard's event file is written too. */
  tensorboard: boolean;
  signal: AbortSignal;
}

/**
 * Trains to the last step and writes metrics, checkpoints, the loss plot and samples into the run folder, which the caller has
 * locked. When training is stopped, or fails with weights that are sound, the steps taken are saved.
 */
export async function runTraining(trainer: Trainer, aim: AiM, images: ImageSplits | undefined, place: RunPlace): Promise<void> {
  const { out, keep, signal } = place;
  const { steps } = trainer.options;
  const log = await openMetrics(`${out}/metrics.jsonl`, trainer.stepsDone);
  const history: Metric[] = [...log.kept];
  const events = place.tensorboard ? await openEvents(out, history) : undefined;
  const key = `eval_${trainer.options.stage === 'model' ? 'loss' : tokenizerOf(aim.config.tokenizer).losses[0]}`;
  const best = place.best ? await keptBest(out, key, history, trainer.stepsDone) : new Best(key, history);
  const save = async (isBest = false) => {
    const path = await saveCheckpoint(out, trainer.checkpoint(), { keep, best: isBest });
    await trainer.keep(await openCheckpointFolder(path));
    return path;
  };
  const write = async (metric: Metric) => {
    history.push(metric);
    await log.write(metric);
    await events?.add(metric);
  };
  const sampleOf = (step: number) => `${out}/samples/step-${String(step).padStart(8, '0')}.png`;
  const show = async (step: number) => {
    await writeAtomic(`${out}/loss.svg`, new TextEncoder().encode(lossPlot(trainer, history)));
    await makeFolder(`${out}/samples`);
    await writeAtomic(sampleOf(step), await trainer.withEma(() => drawSamples(trainer, aim, images)));
  };
  const unit = trainer.options.stage === 'model' ? 'tokens' : 'images';
  const bar = progress('training', steps, 'steps', { from: trainer.stepsDone });
  let savedAt = trainer.stepsDone;
  const foresee = forecast(trainer.stepsDone);
  try {
    await removeDeadTemporaries(`${out}/samples`);
    // The process may have ended between a checkpoint and its sample.
    if (trainer.stepsDone > 0 && evaluatesAt(trainer.stepsDone, trainer.options) && !(await exists(sampleOf(trainer.stepsDone))))
      await show(trainer.stepsDone);
    for await (const step of trainer.run({ signal })) {
      const used = step.eval && images && trainer.options.stage === 'tokenizer' ? await codesInUse(aim, images) : undefined;
      const metric = { ...toMetric(step), ...(used !== undefined && { codes_in_use: used }) };
      await write(metric);
      const rate = unit === 'tokens' ? step.tokensPerSecond : step.imagesPerSecond;
      bar.update(step.step, `loss ${step.loss.toFixed(4)} · ${Math.round(rate).toLocaleString('en')} ${unit}/s`);
      const expected = foresee(step);
      if (expected) bar.note(expected);
      // Without held-out images nothing is evaluated, but the run is saved all the same.
      if (!evaluatesAt(step.step, trainer.options)) continue;
      await save(best.add(metric) && place.best);
      savedAt = trainer.stepsDone;
      await show(step.step);
      const codes = used === undefined ? '' : `, ${used} of ${aim.config.vocab_size} codes in use`;
      if (step.eval) bar.note(`step ${step.step}: ${heldOutText(step.eval)}${codes}`);
      if (place.patience !== undefined && best.since >= place.patience) {
        bar.note(
          `stopped at step ${step.step}: none of the last ${counted(best.since, 'evaluation')} was better than step ${best.step}`,
        );
        break;
      }
    }
    if (place.best && best.value !== undefined)
      bar.note(`best: step ${best.step}, ${key.replace('eval_', 'held-out ')} ${best.value.toFixed(4)}`);
  } catch (error) {
    bar.stop();
    // After a TrainingError the weights may be ruined, so the checkpoint before stays the newest.
    const sound = signal.aborted || (error instanceof AimError && !(error instanceof TrainingError));
    if (sound && trainer.stepsDone > savedAt && !(await lost(aim))) await rescue();
    throw error;
  } finally {
    bar.stop();
    await log.close();
    await events?.close();
  }

  /** Saves the steps taken since the last checkpoint. A failure is reported, and the first error remains that of the run. */
  async function rescue(): Promise<void> {
    try {
      say(`saved ${await save()}; go on with --resume\n`);
    } catch (error) {
      if (!(error instanceof AimError)) throw error;
      say(`the steps since the last checkpoint could not be saved: ${error.message}\n`);
      return;
    }
    // The step that the device has computed ahead is logged too. It is not evaluated, which would delay the end.
    if (signal.aborted)
      for await (const step of trainer.run({ until: trainer.stepsDone, evaluate: false })) await write(toMetric(step));
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

/** `held-out loss 2.31, emaLoss 2.30`, without metrics that are equal to the loss. */
export function heldOutText(metrics: Readonly<Record<string, number>>): string {
  const shown = Object.entries(metrics).filter(([name, v]) => name === 'loss' || v !== metrics.loss);
  return `held-out ${shown.map(([name, v]) => `${name} ${v.toFixed(4)}`).join(', ')}`;
}

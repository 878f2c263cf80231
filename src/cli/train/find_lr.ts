/** `aim train … --find-lr`: tests learning rates and suggests one. */
import { TrainingError } from '../../core/errors.js';
import { jsonFile } from '../../core/json.js';
import { writeAtomic } from '../../platform/files.js';
import { RANGE, type RateSuggestion, type RateTest, smoothed, suggestRate, testRates } from '../../train/find_lr.js';
import type { TrainerOptions } from '../../train/options.js';
import { plotLoss } from '../../train/plot.js';
import type { Stage } from '../../train/stage1.js';
import { progress } from '../progress.js';
import { print, say } from '../terminal.js';

/** Writes lr-find.json and lr-find.svg into `out`, and prints the rate. Throws TrainingError where the test shows none. */
export async function findRate(
  options: Parameters<typeof testRates>[0] & TrainerOptions,
  { stage, out, signal }: { stage: Stage; out: string; signal: AbortSignal },
): Promise<void> {
  const bar = progress('testing', RANGE.steps, 'steps');
  let test: RateTest;
  try {
    test = await testRates(options, {
      signal,
      onStep: (step, { lr, loss }) => bar.update(step, `learning rate ${lr.toPrecision(2)} · loss ${loss.toFixed(4)}`),
    });
  } finally {
    bar.stop();
  }
  const found = suggestRate(test);
  const result = { stage, range: RANGE, suggestion: found ?? null, diverged: test.diverged ?? null, points: test.points };
  await writeAtomic(`${out}/lr-find.json`, jsonFile(result));
  await writeAtomic(`${out}/lr-find.svg`, new TextEncoder().encode(ratePlot(stage, test, found)));
  say(`${out}/lr-find.json and ${out}/lr-find.svg have the losses; no weights were saved\n`);
  const end = test.diverged === undefined ? '' : `; the loss diverged at ${test.diverged.toPrecision(2)}`;
  if (!found)
    throw new TrainingError(
      `the loss neither fell nor diverged between the rates ${RANGE.from} and ${RANGE.to}; see ${out}/lr-find.svg, and take a larger --batch-size.`,
    );
  say(`suggested learning rate: ${found.lr} (${found.by}${end}); to use it, put --lr ${found.lr} in place of --find-lr\n`);
  print(`${found.lr}\n`);
}

function ratePlot(stage: Stage, test: RateTest, found: RateSuggestion | undefined): string {
  const point = (lr: number, loss: number) => ({ step: Math.log10(lr), loss });
  const means = smoothed(test.points);
  const at = found ? test.points.findIndex(({ lr }) => lr >= found.lr) : -1;
  return plotLoss(
    'Learning rate test',
    stage === 'model' ? 'cross-entropy, nats per token' : 'loss',
    [
      { name: 'loss', points: test.points.map(({ lr, loss }) => point(lr, loss)), kind: 'line' },
      { name: 'mean', points: test.points.map(({ lr }, i) => point(lr, means[i]!)), kind: 'line' },
      ...(at >= 0 ? [{ name: `at ${found!.lr}`, points: [point(found!.lr, means[at]!)], kind: 'marked' as const }] : []),
    ],
    'learning rate',
    { from: Math.log10(RANGE.from), label: (exponent) => (Number.isInteger(exponent) ? `1e${exponent}` : '') },
  );
}

/** How long a run of training takes. */
import type { TrainStep } from '../../train/report.js';
import { duration } from '../terminal.js';

/** Steps measured before the time of a run is foretold: this many, or fewer in as many seconds. */
const MEASURED = { steps: 20, seconds: 30, least: 3 };
/** Seconds of a run that is worth a remark on how to shorten it, and what it could be shortened to. */
const LONG = { from: 2 * 3600, to: 3600 };

/** Returns a function that says once how long the run takes, as soon as enough steps are measured. The first is slow and not counted. */
export function forecast(from: number): (step: Pick<TrainStep, 'step' | 'steps'>) => string | undefined {
  let first: number | undefined;
  let said = false;
  return ({ step, steps }) => {
    const now = performance.now() / 1000;
    first ??= now;
    const measured = step - from - 1;
    if (said || measured < MEASURED.least || (measured < MEASURED.steps && now - first < MEASURED.seconds)) return undefined;
    said = true;
    const each = (now - first) / measured;
    const all = each * (steps - step);
    if (all < 10) return undefined;
    const shorter = step + Math.floor(LONG.to / each);
    const advice = all > LONG.from ? `; stopped and resumed with --steps ${shorter}, about ${duration(LONG.to)}` : '';
    return `time: ${Number(each.toPrecision(2))} s a step, so about ${duration(all)} more without evaluations${advice}`;
  };
}

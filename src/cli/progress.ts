/** A progress bar on stderr; one line every few seconds where stderr is no terminal. */
import { SingleBar } from 'cli-progress';

export interface Progress {
  /** `note` stands at the end of the line. */
  update(value: number, note?: string): void;
  /** Writes a line of its own above the bar. */
  note(text: string): void;
  stop(): void;
}

/** `unit` is what `total` counts, after division by `per`: tokens shown as images, bytes as MB. */
export function progress(label: string, total: number, unit: string, per = 1): Progress {
  const start = performance.now();
  let remark = '';
  const show = (n: number) =>
    n / per >= 100 || Number.isInteger(n / per) ? Math.floor(n / per).toString() : (n / per).toFixed(1);
  const bar = new SingleBar({
    stream: process.stderr,
    noTTYOutput: true,
    notTTYSchedule: 5000,
    hideCursor: true,
    clearOnComplete: false,
    gracefulExit: false,
    format: (options, { progress: share, value, eta }) => {
      const cells = Math.round(share * 24);
      const rate = value / per / ((performance.now() - start) / 1000 || 1);
      const drawn = options.barCompleteString?.slice(0, cells) ?? '';
      const left = options.barIncompleteString?.slice(0, 24 - cells) ?? '';
      const time = Number.isFinite(eta) && share < 1 ? ` · ${Math.ceil(eta)} s left` : '';
      return `${label} ${drawn}${left} ${show(value)}/${show(total)} ${unit} · ${rate.toPrecision(3)} ${unit}/s${time}${remark}`;
    },
  });
  bar.start(total, 0);
  return {
    update(value, note) {
      remark = note ? ` · ${note}` : '';
      bar.update(Math.min(value, total));
    },
    note(text) {
      if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
      process.stderr.write(`${text}\n`);
    },
    stop: () => bar.stop(),
  };
}

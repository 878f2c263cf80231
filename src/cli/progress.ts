/** A progress line on stderr; a line of its own every few seconds where stderr is no terminal. */
import { duration, escaped } from './terminal.js';

export interface Progress {
  /** `note` stands at the end of the line. */
  update(value: number, note?: string): void;
  /** Writes a line of its own above the bar. */
  note(text: string): void;
  stop(): void;
}

export interface ProgressOptions {
  /** How much was done before: speed and time left count from there. */
  from?: number;
  /** `unit` is what is shown after division by this: bytes as MB. */
  per?: number;
}

const CELLS = 24;
/** Milliseconds between two lines, on a terminal and elsewhere. */
const PAUSE = { terminal: 80, other: 5000 };

/** The text of the line, without the note. */
export function progressText(
  label: string,
  [value, total, from, per]: readonly [value: number, total: number, from: number, per: number],
  unit: string,
  seconds: number,
): string {
  const share = total > 0 ? Math.min(1, value / total) : 1;
  const cells = Math.round(share * CELLS);
  const rate = (value - from) / (seconds || 1);
  const left = rate > 0 && share < 1 ? ` · ${duration((total - value) / rate)} left` : '';
  const speed = value > from ? ` · ${Number((rate / per).toPrecision(3)).toLocaleString('en')} ${unit}/s` : '';
  const shown = (n: number) => Math.floor(n / per).toLocaleString('en');
  return `${label} ${'█'.repeat(cells)}${'░'.repeat(CELLS - cells)} ${shown(value)}/${shown(total)} ${unit}${speed}${left}`;
}

export function progress(label: string, total: number, unit: string, { from = 0, per = 1 }: ProgressOptions = {}): Progress {
  const { stderr } = process;
  const start = performance.now();
  let value = from;
  let remark = '';
  let drawn = Number.NEGATIVE_INFINITY;
  let stopped = false;
  const draw = () => {
    drawn = performance.now();
    const seconds = (drawn - start) / 1000;
    const line = escaped(`${progressText(label, [value, total, from, per], unit, seconds)}${remark && ` · ${remark}`}`);
    // A line that fills the terminal would wrap, and only its last part would be drawn over.
    if (stderr.isTTY) stderr.write(`\r\x1b[K${[...line].slice(0, (stderr.columns || 80) - 1).join('')}`);
    else stderr.write(`${line}\n`);
  };
  draw();
  return {
    update(now, note = '') {
      value = Math.min(now, total);
      remark = note;
      if (performance.now() - drawn >= (stderr.isTTY ? PAUSE.terminal : PAUSE.other)) draw();
    },
    note(text) {
      stderr.write(`${stderr.isTTY ? '\r\x1b[K' : ''}${escaped(text)}\n`);
      if (stderr.isTTY) draw();
    },
    stop() {
      if (stopped) return;
      stopped = true;
      draw();
      if (stderr.isTTY) stderr.write('\n');
    },
  };
}

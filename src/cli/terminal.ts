/** The two writers of the command. Names of classes, tensors and files come from downloads and must not reach a terminal raw. */

/** Replaces control characters, except line ends and tabs, and those that change the direction of text by \u escapes (valid in JSON too). */
export function escaped(text: string): string {
  return text.replace(/[\p{Cc}\p{Bidi_Control}]/gu, (c) =>
    c === '\n' || c === '\t' ? c : `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Writes results to stdout. */
export function print(text: string): void {
  process.stdout.write(escaped(text));
}

/** Writes messages for a person, which no other program reads, to stderr. */
export function say(text: string): void {
  process.stderr.write(escaped(text));
}

/** A reader that goes away (`aim info | head -1`) is no error: the work goes on, and what is written is lost. */
export function ignoreClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
}

/** Seconds in units that are easy to read: 45 s, 19 min, 2 h 5 min, 3 days. */
export function duration(seconds: number): string {
  if (seconds < 59.5) return `${Math.max(0, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ''}`;
  return `${Math.round(minutes / 60 / 24)} days`;
}

/** `1 image`, `2 images`, `1,000 images`. */
export const counted = (n: number, one: string, many = `${one}s`) => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;

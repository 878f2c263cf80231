/** The log of a run: a file of JSON lines, one object with its `step` each, which a resumed run continues. */
import { IoError } from '../core/errors.js';
import { readBytes } from '../io/file_source.js';
import { exists, openLines } from '../platform/files.js';

/** One line. NaN and infinities are written as null, because JSON cannot express them. */
export interface Metric {
  /** Steps done. */
  step: number;
  [name: string]: number | string | boolean | null | undefined;
}

export interface MetricsFile {
  /** The lines that stayed in the file when it was opened. */
  readonly kept: readonly Metric[];
  /** Appends a line. Throws IoError, for instance when the disk is full. */
  write(metric: Metric): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens a log to append to, after `step` steps. The lines of later steps, and a line cut off by a crash, are removed, since the
 * run will write them again; step 0 removes all lines. Throws IoError for a file that is no log.
 */
export async function openMetrics(path: string, step: number): Promise<MetricsFile> {
  const { metrics, end } = (await exists(path)) ? scan(path, await readBytes(path), step) : { metrics: [], end: 0 };
  const file = await openLines(path, end);
  return {
    kept: metrics,
    write: (metric) => file.append(JSON.stringify(metric)),
    close: () => file.close(),
  };
}

/** The lines up to `step`; one cut off by a crash is left out. */
export async function readMetrics(path: string, step = Number.POSITIVE_INFINITY): Promise<Metric[]> {
  return scan(path, await readBytes(path), step).metrics;
}

/** Whole lines up to the first of a step beyond `step`, and the byte where they end. */
function scan(path: string, bytes: Uint8Array, step: number): { metrics: Metric[]; end: number } {
  const metrics: Metric[] = [];
  let end = 0;
  for (let next = bytes.indexOf(10); next >= 0; next = bytes.indexOf(10, end)) {
    const metric = parseLine(new TextDecoder().decode(bytes.subarray(end, next)));
    if (!metric) {
      if (next + 1 < bytes.length || end === 0)
        throw new IoError(`${path}: line ${metrics.length + 1} is no JSON object with a step; move the file away or correct it.`);
      break;
    }
    if (metric.step > step || step === 0) break;
    metrics.push(metric);
    end = next + 1;
  }
  return { metrics, end };
}

function parseLine(line: string): Metric | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && typeof (value as Metric).step === 'number'
      ? (value as Metric)
      : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The metrics of a run as TensorBoard reads them: an event file of TFRecords (tensorflow.org/tutorials/load_data/tfrecord), each a
 * protocol buffer `Event` (tensorflow/core/util/event.proto) with the numbers of one step.
 */
import { appendFile, writeFile } from 'node:fs/promises';
import { joined as joinedTo } from '../../io/inflate.js';
import { listFolder, removeFolder, translate } from '../../platform/files.js';
import type { Metric } from '../../train/metrics.js';

/** Names of event files of this command; TensorBoard asks for the first part. */
const NAME = /^events\.out\.tfevents\.\d+\.aim$/;
/** Milliseconds after which numbers are written at the latest, when the next step ends. */
const PAUSE = 1000;

export interface EventFile {
  /** Notes the numbers of a step. Throws IoError where they cannot be written. */
  add(metric: Metric): Promise<void>;
  /** Writes what has been noted. */
  close(): Promise<void>;
}

/**
 * Begins an event file in a run folder with the history of the run; it takes the place of the one of a run that is resumed, whose
 * later steps do not hold any more.
 */
export async function openEvents(out: string, history: readonly Metric[]): Promise<EventFile> {
  for (const name of await listFolder(out)) if (NAME.test(name)) await removeFolder(`${out}/${name}`);
  const path = `${out}/events.out.tfevents.${Math.floor(Date.now() / 1000)}.aim`;
  const version = event(Date.now() / 1000, 0, text(3, 'brain.Event:2'));
  await translate(path, 'write', () => writeFile(path, joined([version, ...history.map(eventOf)])));
  let waiting: Uint8Array[] = [];
  let written = performance.now();
  const write = async () => {
    const bytes = joined(waiting);
    waiting = [];
    written = performance.now();
    if (bytes.length) await translate(path, 'write', () => appendFile(path, bytes));
  };
  return {
    async add(metric) {
      waiting.push(eventOf(metric));
      if (performance.now() - written >= PAUSE) await write();
    },
    close: write,
  };
}

/** `loss` and so on below `train/`, `eval_loss` as `eval/loss`, so that TensorBoard groups them. */
const tagOf = (name: string) => (name.startsWith('eval_') ? `eval/${name.slice(5)}` : `train/${name}`);

function eventOf({ step, ...rest }: Metric): Uint8Array {
  const values = Object.entries(rest).flatMap(([name, value]) =>
    typeof value === 'number' ? [message(1, [...text(1, tagOf(name)), ...float(2, value)])] : [],
  );
  return event(Date.now() / 1000, step, message(5, values.flat()));
}

const joined = (parts: readonly Uint8Array[]) =>
  joinedTo(
    parts,
    parts.reduce((sum, { length }) => sum + length, 0),
  );

/** A TFRecord of an Event. */
function event(seconds: number, step: number, content: readonly number[]): Uint8Array {
  const data = Uint8Array.from([...double(1, seconds), ...varint(2 << 3), ...varint(step), ...content]);
  const record = new Uint8Array(data.length + 16);
  const view = new DataView(record.buffer);
  view.setUint32(0, data.length, true);
  view.setUint32(8, masked(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, masked(data), true);
  return record;
}

// Fields of protocol buffers: the number of the field and its wire type, then the value.
function varint(value: number): number[] {
  const bytes = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 128);
  }
}
const message = (field: number, content: readonly number[]) => [
  ...varint((field << 3) | 2),
  ...varint(content.length),
  ...content,
];
const text = (field: number, value: string) => message(field, [...new TextEncoder().encode(value)]);
const float = (field: number, value: number) => [
  ...varint((field << 3) | 5),
  ...new Uint8Array(new Float32Array([value]).buffer),
];
const double = (field: number, value: number) => [
  ...varint((field << 3) | 1),
  ...new Uint8Array(new Float64Array([value]).buffer),
];

/** CRC-32C (Castagnoli) of some bytes. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/** The checksum as TFRecords have it, so that records within records do not have the sum of themselves. */
function masked(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

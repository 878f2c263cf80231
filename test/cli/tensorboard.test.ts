/** The event file of a run, read back by a reader of its own: TFRecords with checksums, and protocol buffers in them. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { crc32c, openEvents } from '../../src/cli/train/tensorboard.js';
import { IoError } from '../../src/core/errors.js';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'aim-cli-events-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

type Field = { field: number; value: number | Buffer };

/** The fields of a protocol buffer. */
function fields(bytes: Buffer): Field[] {
  const found: Field[] = [];
  let at = 0;
  const varint = () => {
    let [value, scale] = [0, 1];
    for (; bytes[at]! >= 128; scale *= 128) value += (bytes[at++]! - 128) * scale;
    return value + bytes[at++]! * scale;
  };
  while (at < bytes.length) {
    const key = varint();
    const [field, wire] = [Math.floor(key / 8), key % 8];
    if (wire === 0) found.push({ field, value: varint() });
    else {
      const size = wire === 1 ? 8 : wire === 5 ? 4 : varint();
      const part = bytes.subarray(at, at + size);
      at += size;
      found.push({ field, value: wire === 1 ? part.readDoubleLE() : wire === 5 ? part.readFloatLE() : part });
    }
  }
  return found;
}

function readEvents(): { step: number; version?: string; values: Record<string, number> }[] {
  const names = readdirSync(dir).filter((name) => name.includes('tfevents'));
  expect(names).toHaveLength(1);
  const bytes = readFileSync(join(dir, names[0]!));
  const masked = (part: Buffer) => {
    const crc = crc32c(part);
    return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
  };
  const events = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    const data = bytes.subarray(at + 12, at + 12 + length);
    expect([bytes.readUInt32LE(at + 8), bytes.readUInt32LE(at + 12 + length)]).toEqual([
      masked(bytes.subarray(at, at + 8)),
      masked(data),
    ]);
    at += length + 16;
    const event = { step: 0, values: {} as Record<string, number>, version: undefined as string | undefined };
    for (const { field, value } of fields(data)) {
      if (field === 1) expect(Math.abs((value as number) - Date.now() / 1000)).toBeLessThan(600);
      if (field === 2) event.step = value as number;
      if (field === 3) event.version = String(value);
      if (field === 5)
        for (const one of fields(value as Buffer)) {
          const [tag, number] = fields(one.value as Buffer);
          event.values[String(tag!.value)] = number!.value as number;
        }
    }
    events.push(event);
  }
  return events as never;
}

it('has the numbers of every step, and on resuming those that hold', async () => {
  // The check value of CRC-32C.
  expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283);
  const first = await openEvents(dir, []);
  await first.add({ step: 1, loss: 2.5, lr: 0.125, eval_loss: 3, note: 'text', bad: null });
  await first.add({ step: 300, loss: 1.5 });
  await first.close();
  const [head, ...steps] = readEvents();
  expect(head).toMatchObject({ version: 'brain.Event:2' });
  expect(steps.map(({ step, values }) => [step, values])).toEqual([
    [1, { 'train/loss': 2.5, 'train/lr': 0.125, 'eval/loss': 3 }],
    [300, { 'train/loss': 1.5 }],
  ]);

  const again = await openEvents(dir, [{ step: 1, loss: 2.5 }]);
  await again.add({ step: 2, loss: 2 });
  await again.close();
  expect(readEvents().map(({ step }) => step)).toEqual([0, 1, 2]);
});

it('leaves the files of other programs alone, and says what cannot be written', async () => {
  const other = join(dir, 'events.out.tfevents.1.host');
  writeFileSync(other, 'of another program');
  await (await openEvents(dir, [])).close();
  expect(readFileSync(other, 'utf8')).toBe('of another program');
  await expect(openEvents(join(dir, 'none'), [])).rejects.toThrow(IoError);
});

import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { IoError } from '../../src/core/errors.js';
import { openMetrics, readMetrics } from '../../src/train/metrics.js';
import { plotLoss } from '../../src/train/plot.js';

const dir = mkdtempSync(join(tmpdir(), 'aim-metrics-'));
let path: string;
let count = 0;
beforeEach(() => {
  path = join(dir, `${++count}.jsonl`);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function log(step: number, steps: number[]) {
  const file = await openMetrics(path, step);
  for (const s of steps) await file.write({ step: s, loss: s / 3 });
  await file.close();
  return file.kept;
}
const lines = () => readFileSync(path, 'utf8').split('\n').slice(0, -1);

describe('metrics', () => {
  it('removes the lines of later steps and continues the file', async () => {
    await log(0, [1, 2, 3, 4, 5]);
    expect(await log(3, [4, 5, 6])).toEqual([1, 2, 3].map((step) => ({ step, loss: step / 3 })));
    expect(lines().length).toBe(6);
    expect((await readMetrics(path)).map((m) => m.step)).toEqual([1, 2, 3, 4, 5, 6]);
    expect((await readMetrics(path, 2)).map((m) => m.step)).toEqual([1, 2]);
    await log(10, [11]);
    expect(lines().length).toBe(7);
    await log(0, [1]);
    expect(lines()).toEqual(['{"step":1,"loss":0.3333333333333333}']);
  });

  it('removes a line cut off by a crash', async () => {
    await log(0, [1, 2]);
    for (const broken of ['{"step":3,"lo', '{"step":2', '\0\0\0\0', '\0\0\n', '{"step":3,"loss":ä'.slice(0, -1)]) {
      appendFileSync(path, broken);
      expect((await readMetrics(path)).length).toBe(2);
      await log(2, []);
      expect(lines().length).toBe(2);
    }
  });

  it('does not change a file that is not a log', async () => {
    for (const text of ['hello\n', '{"step":1}\nhello\n{"step":2}\n', '[1]\n{"step":1}\n', '{"loss":1}\n']) {
      writeFileSync(path, text);
      await expect(openMetrics(path, 5)).rejects.toThrow(IoError);
      expect(readFileSync(path, 'utf8')).toBe(text);
    }
  });

  it('writes values that JSON cannot represent as null', async () => {
    const file = await openMetrics(path, 0);
    await file.write({ step: 1, loss: Number.NaN, note: 'é' });
    await file.close();
    expect(lines()).toEqual(['{"step":1,"loss":null,"note":"é"}']);
    expect(await readMetrics(path)).toEqual([{ step: 1, loss: null, note: 'é' }]);
  });
});

describe('plotLoss', () => {
  const points = Array.from({ length: 5000 }, (_, i) => ({ step: i + 1, loss: 2 + 1 / (i + 1) }));

  it('reduces many values to few points, and escapes text', () => {
    const svg = plotLoss('A & <B>', 'nats', [
      { name: 'train', points, kind: 'line' },
      {
        name: 'evaluation',
        points: [
          { step: 1000, loss: 2.5 },
          { step: 2000, loss: 2.25 },
        ],
        kind: 'marked',
      },
    ]);
    expect(svg.length).toBeLessThan(20_000);
    expect(svg).toContain('A &#38; &#60;B&#62;');
    expect(svg.match(/<circle/g)!.length).toBe(2);
    expect(svg).toContain('evaluation 2.250');
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('uses a logarithmic axis for losses that decrease by orders of magnitude', () => {
    const falling = points.map(({ step }) => ({ step, loss: 0.01 + Math.exp(-step / 50) }));
    const svg = plotLoss('t', 'y', [{ name: 'a', points: falling, kind: 'line' }]);
    for (const tick of ['>0.02<', '>0.1<', '>0.5<']) expect(svg).toContain(tick);
  });

  it('accepts no points, one point, equal values and NaN', () => {
    for (const given of [
      [],
      [{ step: 0, loss: 0 }],
      [
        { step: 1, loss: 3 },
        { step: 2, loss: 3 },
      ],
      [
        { step: 1, loss: Number.NaN },
        { step: 2, loss: -1 },
      ],
    ]) {
      for (const kind of ['line', 'marked'] as const)
        expect(plotLoss('t', 'y', [{ name: 'a', points: given, kind }])).not.toMatch(/NaN|Infinity|undefined/);
    }
  });
});

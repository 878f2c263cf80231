import { writeFileSync } from 'node:fs';
import { zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { IoError, OptionError } from '../../src/core/errors.js';
import { parseLabels } from '../../src/data/labels.js';
import { openData } from '../../src/data/open.js';
import { fileListOf, folderOf, grey, idxSet, png } from './data_folders.js';

const bytes = (text: string) => new TextEncoder().encode(text);

describe('parseLabels', () => {
  it.each([
    [
      'a.png,cat\nb.png,dog',
      [
        ['a.png', 'cat'],
        ['b.png', 'dog'],
      ],
    ],
    [
      'file,label\r\na.png, cat \r\n\r\n,\r\n"b, ""1"".png","do\ng"\r\n',
      [
        ['a.png', 'cat'],
        ['b, "1".png', 'do\ng'],
      ],
    ],
    ['id\tClass\tnote\na.png\tcat, big\tx', [['a.png', 'cat, big']]],
    ['label;image\ncat;./sub\\a.png\ncat;sub/a.png', [['sub/a.png', 'cat']]],
    ['a.png,', [['a.png', '']]],
  ])('reads %j', (text, want) => {
    expect([...parseLabels(text, 'x.csv').classes]).toEqual(want);
  });

  it.each([
    ['', /x\.csv is empty; write one line/],
    ['a.png,cat\nb.png', /x\.csv, line 2: "b\.png" has no label/],
    ['a.png,"c\nat"\n,cat', /line 3: the class cat has no file/],
    ['a.png,cat\na.png,dog', /line 2: a\.png is "dog", and "cat" in a line before; leave one of them out/],
    ['a.png,"cat', /line 1: the quotes of a field do not close/],
    ['a.png,"cat"s', /line 1: the quotes/],
  ])('refuses %j', (text, message) => {
    expect(() => parseLabels(text, 'x.csv')).toThrow(IoError);
    expect(() => parseLabels(text, 'x.csv')).toThrow(message);
  });
});

describe('openData with labels', () => {
  const picture = (v: number) => png(4, 4, grey(v));
  const files = { '1.png': picture(10), '2.png': picture(20), 'more/3.png': picture(30), '4.png': picture(40), 'a.txt': '' };
  const table = 'file,label\n2.png,b\n1.png,b\nmore/3.png,a\n4.png,\n5.png,a\n../1.png,a\na.txt,a\nx/y/1.png,a\n';

  it('takes the classes of pictures from a table', async () => {
    const folder = folderOf(files);
    const csv = `${folderOf({ 'labels.csv': table })}/labels.csv`;
    const zip = `${folderOf({})}/x.zip`;
    const flat = Object.entries(files).map(([name, data]) => [`pictures/${name}`, typeof data === 'string' ? bytes(data) : data]);
    writeFileSync(zip, zipSync(Object.fromEntries(flat)));
    for (const [source, labels] of [
      [folder, csv],
      [fileListOf(files), new File([table], 'labels.csv')],
      [zip, bytes(table)],
    ] as const) {
      const data = await openData(source, { size: 4, holdout: 0, labels });
      if (data.kind !== 'folder') throw new Error('no folder');
      const { train } = data;
      expect(train.classes).toEqual(['a', 'b']);
      expect([0, 1, 2].map((i) => train.label(i))).toEqual([1, 1, 0]);
      const values = await Promise.all([0, 1, 2].map(async (i) => (await train.image(i, { kind: 'eval' }))[0]!));
      expect(values.map((v) => Math.round((v + 1) * 127.5))).toEqual([10, 20, 30]);
      expect(
        train.skipped.map(({ name, reason }) => [name, reason.replace(/.*, but not/, 'not').replace(/.*gives/, 'gives')]),
      ).toEqual([
        ['4.png', 'gives it no class'],
        ['a.txt', expect.stringMatching(/^not a .* file$/)],
        ...['5.png', '../1.png', 'x/y/1.png'].map((name) => [name, expect.stringMatching(/^not in /)]),
      ]);
      const other = await openData(source, { size: 4, holdout: 0, labels: bytes('1.png,a\n2.png,b\nmore/3.png,b') });
      expect(other.kind !== 'codes' && (await other.train.fingerprint!())).not.toBe(await train.fingerprint!());
    }
  });

  it('refuses a table that does not belong to the data', async () => {
    const labels = bytes('7.png,a');
    await expect(openData(folderOf(files), { size: 4, labels })).rejects.toThrow(
      /has none of the pictures .* \(such as 7\.png\)/,
    );
    await expect(openData(folderOf(idxSet(3)), { size: 4, labels })).rejects.toThrow(OptionError);
    await expect(openData(folderOf(files), { size: 4, labels: '/no/labels.csv' })).rejects.toThrow(IoError);
    await expect(openData(folderOf({ '1.png': picture(1) }), { size: 4 })).rejects.toThrow(/one sub-folder per class.*a table/);
  });
});

import { writeFileSync } from 'node:fs';
import { type Zippable, zipSync } from 'fflate';
import { expect, it } from 'vitest';
import { IoError, OptionError } from '../../src/core/errors.js';
import { openData } from '../../src/data/open.js';
import { folderOf, grey, idxSet, png } from './data_folders.js';

const evalMode = { kind: 'eval' } as const;
const size = 4;

/** The archive as the path of a file and as a File. */
function sources(zip: Uint8Array): (string | File[])[] {
  const path = `${folderOf({})}/pictures.zip`;
  writeFileSync(path, zip);
  return [path, [new File([zip as BlobPart], 'pictures.zip')]];
}

const picture = (v: number) => png(6, 5, grey(v));
const pictures = { 'b/1.png': picture(200), 'a/2.png': picture(50), 'a/1.png': picture(100), 'a/note.txt': new Uint8Array(3) };

it('reads a zip archive as the folder in it', async () => {
  const plain = await openData(folderOf(pictures), { size, holdout: 0 });
  if (plain.kind !== 'folder') throw new Error('no folder');
  const within = (prefix: string) => Object.fromEntries(Object.entries(pictures).map(([k, v]) => [prefix + k, v]));
  const archives: Zippable[] = [
    pictures,
    { ...within('my pictures/'), '__MACOSX/a/._1.png': new Uint8Array(9), 'my pictures/.DS_Store': new Uint8Array(1) },
    within('./x/y\\'),
  ];
  for (const archive of archives)
    for (const source of sources(zipSync(archive))) {
      const data = await openData(source, { size, holdout: 0 });
      if (data.kind !== 'folder') throw new Error('no folder');
      const { train } = data;
      expect([train.classes, train.length, train.skipped.map((s) => s.name)]).toEqual([['a', 'b'], 3, ['a/note.txt']]);
      for (let i = 0; i < 3; i++) expect(await train.image(i, evalMode)).toEqual(await plain.train.image(i, evalMode));
      expect(await train.fingerprint!()).toBe(await plain.train.fingerprint!());
    }
  const kindOf = async (archive: Zippable) => {
    const data = await openData(sources(zipSync(archive))[0]!, { size });
    return data.kind === 'codes' ? [] : [data.kind, data.train.classes, data.eval?.length];
  };
  expect(await kindOf({ 'a/1.png': picture(1) })).toEqual(['folder', ['a'], undefined]);
  expect(await kindOf({ 'x/train/a/1.png': picture(1), 'x/val/a/1.png': picture(2) })).toEqual(['folder', ['a'], 1]);
  expect(await kindOf({ mnist: idxSet(4) as Zippable })).toEqual(['idx', ['0', '1', '2'], undefined]);
});

it('refuses damaged and hostile archives with typed errors', async () => {
  const zip = zipSync(pictures, { level: 0 });
  const changed = (change: (view: DataView, directory: number) => void) => {
    const bytes = Uint8Array.from(zip);
    const view = new DataView(bytes.buffer);
    change(view, view.getUint32(bytes.length - 6, true));
    return bytes;
  };
  const refused: [Uint8Array, RegExp][] = [
    [zip.subarray(0, zip.length - 30), /no zip directory at its end, as if it were cut off/],
    [new Uint8Array(100), /no zip directory/],
    [changed((view, at) => view.setUint16(at + 8, 1, true)), /has an encrypted entry "b\/1.png"; zip it without a password/],
    [zipSync({ '../../etc/a/1.png': picture(1) }), /entry "\.\.\/\.\.\/etc\/a\/1\.png" that is no path inside of it/],
    [zipSync({ 'a\\..\\..\\1.png': picture(1) }), /no path inside of it/],
    [zipSync({ '/a/1.png': picture(1) }), /no path inside of it/],
    [zipSync({ 'C:\\a\\1.png': picture(1) }), /no path inside of it/],
    [zipSync({}), /holds nothing; data is/],
  ];
  for (const [bytes, message] of refused)
    for (const source of sources(bytes)) {
      const error = await openData(source, { size }).catch((e) => e);
      expect(error, String(message)).toBeInstanceOf(IoError);
      expect(error.message).toMatch(message);
    }
  await expect(openData(5 as never, { size })).rejects.toThrow(OptionError);
  // What is wrong with one picture leaves that one out: bytes that changed, and one that claims to unpack to more than 64 MiB.
  const bomb = Uint8Array.from(zipSync(pictures));
  const end = new DataView(bomb.buffer);
  end.setUint32(end.getUint32(bomb.length - 6, true) + 24, 2 ** 26 + 1, true);
  const damaged = changed((view) => view.setUint8(60, view.getUint8(60) ^ 1));
  for (const [bytes, name, reason] of [
    [bomb, 'b/1.png', /entry "b\/1\.png" of 67108865 bytes, more than the 67108864 that are read/],
    [damaged, 'b/1.png', /has a damaged entry "b\/1\.png"/],
  ] as const) {
    const data = await openData(sources(bytes)[0]!, { size, holdout: 0 });
    if (data.kind !== 'folder') throw new Error('no folder');
    for (let i = 0; i < data.train.length; i++) await data.train.image(i, evalMode);
    expect(data.train.skipped).toMatchObject([{ name: 'a/note.txt' }, { name, reason: expect.stringMatching(reason) }]);
  }
});

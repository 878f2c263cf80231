/** Runs in the page of browser.test.ts and in Node. */
import { openData } from '../../src/data/open.js';

/** Description of a data set, with its images as bytes. */
export async function summary(files: File[]) {
  const data = await openData(files, { size: 16, holdout: 0 });
  if (data.kind === 'codes') throw new Error('not codes');
  const { train } = data;
  const images: number[][] = [];
  for (let i = 0; i < train.length; i++) {
    const image = await train.image(i, { kind: 'eval' });
    images.push(Array.from(image, (v) => Math.round((v + 1) * 127.5)));
  }
  const labels = Array.from({ length: train.length }, (_, i) => train.label(i));
  return { kind: data.kind, classes: train.classes, labels, skipped: train.skipped.map((s) => s.name), images };
}

/** The summaries of data sets, given as [path, base64] of their files. */
export async function summaries(sets: [string, string][][]) {
  const out = [];
  for (const set of sets) {
    const files = set.map(([path, data]) => {
      const file = new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], path.split('/').at(-1)!);
      Object.defineProperty(file, 'webkitRelativePath', { value: `root/${path}` });
      return file;
    });
    out.push(await summary(files));
  }
  return out;
}

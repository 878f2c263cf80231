/** Files of a data set that cannot be used: shown when they are known, and written beside the run. */
import type { ImageDataset } from '../data/dataset.js';
import { writeAtomic } from '../platform/files.js';
import { counted, escaped, say } from './terminal.js';

/** Files shown by name at once. */
const SHOWN = 10;

export interface Skips {
  /** Shows what has been skipped since the last call. */
  report(): void;
}

export function skipsOf({ skipped }: Pick<ImageDataset, 'skipped'>): Skips {
  let shown = 0;
  return {
    report() {
      const fresh = skipped.slice(shown);
      shown = skipped.length;
      if (fresh.length === 0) return;
      say(`skipped ${counted(fresh.length, 'file')}:\n`);
      for (const { name, reason } of fresh.slice(0, SHOWN)) say(`  ${name}: ${reason}\n`);
      if (fresh.length > SHOWN) say(`  and ${fresh.length - SHOWN} more\n`);
    },
  };
}

/** Writes skipped.txt into the folder, one file a line with the reason; nothing where none was skipped. */
export async function writeSkips(folder: string, { skipped }: Pick<ImageDataset, 'skipped'>): Promise<void> {
  if (skipped.length === 0) return;
  const lines = skipped.map(({ name, reason }) => escaped(`${name}\t${reason.replaceAll('\n', ' ')}`));
  await writeAtomic(`${folder}/skipped.txt`, new TextEncoder().encode(`${lines.join('\n')}\n`));
}

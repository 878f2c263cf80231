/** The launches that were the fastest on a device (src/tune.ts), in the cache of downloads. */
import type { RemoteOptions } from './bytes.js';
import { openStore, readText, writeText } from './cache.js';

/** The number stands for the meaning of what is kept. */
const place = (device: string) => `tuned:1:${device}`;

/** What is kept for a device; nothing where there is no cache, or something else in it. */
export async function readChoices(device: string, options: RemoteOptions): Promise<[string, number][]> {
  try {
    const store = await openStore(options);
    const record = store && (await readText(store, place(device)));
    return Object.entries(JSON.parse(record?.text ?? '{}'));
  } catch {
    return [];
  }
}

/** Adds to what is kept. Throws IoError where there is no room. */
export async function keepChoices(
  device: string,
  choices: Iterable<readonly [string, number]>,
  options: RemoteOptions,
): Promise<void> {
  const store = await openStore(options);
  if (!store) return;
  const all = new Map([...(await readChoices(device, options)), ...choices]);
  await writeText(store, place(device), { text: JSON.stringify(Object.fromEntries(all)) });
}

/** Stores the choices that tuning made for a device (tune.ts) in the download cache. */

import { readText, writeText } from '../cache/entry.js';
import { openStore } from '../cache/open.js';
import { type RemoteOptions, warn } from '../io/bytes.js';
import { dawnToggles } from '../platform/runtime.js';
import type { WebGpuBackend } from './webgpu.js';

type Options = RemoteOptions & { dawn?: readonly string[] };

/** The key of the stored record: the device and how it was opened, both of which affect speed. The number is the version. */
function place({ description, caps }: WebGpuBackend, { dawn }: Options): string {
  const parts = [description, caps.features.has('shader-f16') && 'f16', caps.matrices && 'matrices', ...dawnToggles(dawn)];
  return `tuned:1:${parts.filter(Boolean).join(' ')}`;
}

/** Makes `be` use the stored choices. Does nothing if there is no cache or the record cannot be read. */
export async function recallTuning(be: WebGpuBackend, options: Options): Promise<void> {
  try {
    const store = await openStore(options);
    const record = store && (await readText(store, place(be, options)));
    for (const [key, chosen] of Object.entries(JSON.parse(record?.text ?? '{}'))) be.tuning.choices.set(key, chosen as number);
  } catch {
    // Without a record, the usual launches run.
  }
}

/** Adds the choices of `be` to the stored record. Warns if it cannot be written. */
export async function keepTuning(be: WebGpuBackend, options: Options): Promise<void> {
  const { choices } = be.tuning;
  const found = [...choices];
  try {
    const store = await openStore(options);
    if (!store) return;
    // Another process may have stored choices in the meantime.
    await recallTuning(be, options);
    for (const [key, chosen] of found) choices.set(key, chosen);
    await writeText(store, place(be, options), { text: JSON.stringify(Object.fromEntries(choices)) });
  } catch (error) {
    warn(options, `the tuned launches were not stored: ${(error as Error).message}`);
  }
}

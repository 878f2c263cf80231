/** Stores the choices that `tune` made for a device (tune.ts) in the cache of downloads. */

import { readText, writeText } from '../cache/entry.js';
import { openStore } from '../cache/open.js';
import { type RemoteOptions, warn } from '../io/bytes.js';
import { dawnToggles } from '../platform/runtime.js';
import type { WebGpuBackend } from './webgpu.js';

type Options = RemoteOptions & { dawn?: readonly string[] };

/** Name of the stored record: the device and how it was opened, which decide how fast kernels are. The number is the format's version. */
function place({ description, caps }: WebGpuBackend, { dawn }: Options): string {
  const parts = [description, caps.features.has('shader-f16') && 'f16', caps.matrices && 'matrices', ...dawnToggles(dawn)];
  return `tuned:1:${parts.filter(Boolean).join(' ')}`;
}

/** Makes `be` use stored choices. Does nothing where there is no cache or the record cannot be read. */
export async function recallTuning(be: WebGpuBackend, options: Options): Promise<void> {
  try {
    const store = await openStore(options);
    const record = store && (await readText(store, place(be, options)));
    for (const [key, chosen] of Object.entries(JSON.parse(record?.text ?? '{}'))) be.tuning.choices.set(key, chosen as number);
  } catch {
    // Without a record the usual launches run.
  }
}

/** Adds the choices of `be` to the record, and warns where it cannot be written. */
export async function keepTuning(be: WebGpuBackend, options: Options): Promise<void> {
  const { choices } = be.tuning;
  const found = [...choices];
  try {
    const store = await openStore(options);
    if (!store) return;
    // Another process may have stored choices meanwhile.
    await recallTuning(be, options);
    for (const [key, chosen] of found) choices.set(key, chosen);
    await writeText(store, place(be, options), { text: JSON.stringify(Object.fromEntries(choices)) });
  } catch (error) {
    warn(options, `the tuned launches were not stored: ${(error as Error).message}`);
  }
}

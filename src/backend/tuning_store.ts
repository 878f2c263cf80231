/** The launches that were the fastest on a device (src/backend/tune.ts), in the cache of downloads. */

import { readText, writeText } from '../cache/entry.js';
import { openStore } from '../cache/open.js';
import { type RemoteOptions, warn } from '../io/bytes.js';
import { dawnToggles } from '../platform/runtime.js';
import type { WebGpuBackend } from './webgpu.js';

type Options = RemoteOptions & { dawn?: readonly string[] };

/** Names what decides how fast kernels are: the device, and how it was opened. The number stands for the meaning of what is kept. */
function place({ description, caps }: WebGpuBackend, { dawn }: Options): string {
  const parts = [description, caps.features.has('shader-f16') && 'f16', caps.matrices && 'matrices', ...dawnToggles(dawn)];
  return `tuned:1:${parts.filter(Boolean).join(' ')}`;
}

/** Has `be` use what is kept; nothing where there is no cache, or something else in it. */
export async function recallTuning(be: WebGpuBackend, options: Options): Promise<void> {
  try {
    const store = await openStore(options);
    const record = store && (await readText(store, place(be, options)));
    for (const [key, chosen] of Object.entries(JSON.parse(record?.text ?? '{}'))) be.tuning.choices.set(key, chosen as number);
  } catch {
    // Untuned then.
  }
}

/** Adds what `be` uses to what is kept, and says so where that cannot be. */
export async function keepTuning(be: WebGpuBackend, options: Options): Promise<void> {
  const { choices } = be.tuning;
  const found = [...choices];
  try {
    const store = await openStore(options);
    if (!store) return;
    // Another process may have kept more meanwhile.
    await recallTuning(be, options);
    for (const [key, chosen] of found) choices.set(key, chosen);
    await writeText(store, place(be, options), { text: JSON.stringify(Object.fromEntries(choices)) });
  } catch (error) {
    warn(options, `what was tuned is not kept: ${(error as Error).message}`);
  }
}

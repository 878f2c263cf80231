/** Golden values of stage 1's losses (../shared/goldens), and images as they are stored there, as planes. */
import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { Backend } from '../../src/backend/backend.js';
import { ReferenceBackend } from '../../src/backend/reference.js';
import { bytesSource } from '../../src/io/bytes.js';
import { parseHeader, readFloats } from '../../src/io/safetensors.js';
import { NO_ADAPTER, wasmBackend, webgpuBackend } from '../backends.js';
import { SHARED_GOLDENS } from '../goldens.js';

export const BACKENDS: Record<string, () => Promise<Backend | undefined>> = {
  reference: async () => new ReferenceBackend(),
  wasm: () => wasmBackend(),
  webgpu: () => webgpuBackend(),
};

/** The values of a folder of goldens by name, or the reason why there are none. */
export async function goldens(folder: string) {
  const path = `${SHARED_GOLDENS}/${folder}/expected.safetensors`;
  if (!existsSync(path)) return `the golden values (${path}) are not here`;
  const source = bytesSource(readFileSync(path));
  const header = await parseHeader(source);
  return {
    names: [...header.tensors.keys()],
    shape: (name: string) => header.tensors.get(name)!.shape,
    floats: (name: string) => readFloats(source, header, name),
    /** An image or logits as [b, h, w, c]. */
    async pixels(name: string) {
      const [b, c, h, w] = header.tensors.get(name)!.shape as [number, number, number, number];
      return { shape: [b, h, w, c], data: planes(await readFloats(source, header, name), b, c, h * w) };
    },
  };
}

/** [b, c, area] → [b, area, c] */
export function planes(data: ArrayLike<number>, b: number, c: number, area: number): Float64Array {
  const out = new Float64Array(data.length);
  for (let n = 0, at = 0; n < b; n++)
    for (let k = 0; k < c; k++) for (let p = 0; p < area; p++, at++) out[(n * area + p) * c + k] = data[at]!;
  return out;
}

/** Largest difference over the largest magnitude of `want`. */
export function off(got: ArrayLike<number>, want: ArrayLike<number>): number {
  let [most, largest] = [0, 0];
  expect(got.length).toBe(want.length);
  for (let i = 0; i < want.length; i++) {
    const diff = Math.abs(got[i]! - want[i]!);
    most = Number.isNaN(diff) ? Number.POSITIVE_INFINITY : Math.max(most, diff);
    largest = Math.max(largest, Math.abs(want[i]!));
  }
  return most / largest;
}

export { NO_ADAPTER };

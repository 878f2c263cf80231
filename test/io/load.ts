/** Loading as AiM.fromPretrained does, without the model; runs in every runtime. */

import { type CheckpointSource, openCheckpoint, type SourceOptions } from '../../src/checkpoint/source.js';
import { parseHeader, readFloats } from '../../src/io/safetensors.js';

export { cachedFiles, clearCache } from '../../src/checkpoint/cached_files.js';

/** A checksum of all tensors but `unwanted`, in order. Not SHA-256, which in JavaScript takes most of such a test's time. */
export async function load(source: CheckpointSource, options: SourceOptions = {}): Promise<string> {
  const checkpoint = await openCheckpoint(source, options);
  try {
    await checkpoint.config();
    const weights = await checkpoint.weights();
    const header = await parseHeader(weights);
    let [a, b] = [0, 0x811c9dc5];
    for (const name of header.tensors.keys())
      if (name !== 'unwanted')
        for (const word of new Uint32Array((await readFloats(weights, header, name)).buffer)) {
          a = (Math.imul(a, 31) + word) | 0;
          b = Math.imul(b ^ word, 0x01000193);
        }
    await weights.finish?.();
    await checkpoint.text('classes.json');
    return `${a >>> 0} ${b >>> 0}`;
  } finally {
    await checkpoint.close();
  }
}

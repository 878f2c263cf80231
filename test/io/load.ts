/** Loading as AiM.fromPretrained does, without the model; runs in every runtime. */

import { type CheckpointSource, openCheckpoint, type SourceOptions } from '../../src/checkpoint/source.js';
import { parseHeader, readFloats } from '../../src/io/safetensors.js';
import { Sha256 } from '../../src/io/sha256.js';

export { cachedFiles, clearCache } from '../../src/checkpoint/cached_files.js';

/** The hash of all tensors but `unwanted`, in order. */
export async function load(source: CheckpointSource, options: SourceOptions = {}): Promise<string> {
  const checkpoint = await openCheckpoint(source, options);
  try {
    await checkpoint.config();
    const weights = await checkpoint.weights();
    const header = await parseHeader(weights);
    const hash = new Sha256();
    for (const name of header.tensors.keys())
      if (name !== 'unwanted') hash.update(new Uint8Array((await readFloats(weights, header, name)).buffer));
    await weights.finish?.();
    await checkpoint.text('classes.json');
    return hash.hex();
  } finally {
    await checkpoint.close();
  }
}

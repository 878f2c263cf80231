/** Loads a checkpoint as AiM.fromPretrained does, without making the model; runs in every runtime. */
import { type CheckpointSource, openCheckpoint, type SourceOptions } from '../../src/checkpoint/source.js';
import { parseHeader, readFloats } from '../../src/io/safetensors.js';

export { cachedFiles, clearCache } from '../../src/checkpoint/cached_files.js';

/** A checksum of tensors in order. SHA-256 in JavaScript would take most of the time of a test. */
export function checksum(tensors: readonly Float32Array[]): string {
  let [a, b] = [0, 0x811c9dc5];
  for (const tensor of tensors)
    for (const word of new Uint32Array(tensor.buffer, tensor.byteOffset, tensor.length)) {
      a = (Math.imul(a, 31) + word) | 0;
      b = Math.imul(b ^ word, 0x01000193);
    }
  return `${a >>> 0} ${b >>> 0}`;
}

/** The checksum of all tensors but `unwanted`. */
export async function load(source: CheckpointSource, options: SourceOptions = {}): Promise<string> {
  const checkpoint = await openCheckpoint(source, options);
  try {
    await checkpoint.config();
    const weights = await checkpoint.weights();
    const header = await parseHeader(weights);
    const tensors: Float32Array[] = [];
    for (const name of header.tensors.keys()) if (name !== 'unwanted') tensors.push(await readFloats(weights, header, name));
    await weights.finish?.();
    for (const file of ['classes.json', 'generation_config.json']) await checkpoint.text(file);
    return checksum(tensors);
  } finally {
    await checkpoint.close();
  }
}

/** Weights of an Inception network that depend on the names of its tensors, as ../shared/goldens/README.md defines them. */

import type { Network } from '../../src/evaluate/inception.js';
import { weightShapes } from '../../src/evaluate/inception_weights.js';
import { encodeSafetensors, type TensorArray, type TensorData } from '../../src/io/safetensors.js';

type Written = TensorData & { data: TensorArray };

/** The first n numbers in [-1, 1) of a name: mulberry32, begun with the name's FNV-1a hash. */
export function noise(name: string, n: number): Float64Array {
  let hash = 2166136261;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 16777619);
  return Float64Array.from({ length: n }, (_, i) => {
    const a = (hash + Math.imul(i + 1, 0x6d2b79f5)) | 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * 2 - 1;
  });
}

/** The bytes of a safetensors file with a network's weights; `change` may alter or remove (undefined) some. */
export function noiseWeights(
  network: Network,
  change: (name: string, shape: readonly number[], data: Float32Array) => Written | undefined = asIs,
): Uint8Array {
  const tensors = [...weightShapes(network)].flatMap(([name, shape]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const bound = Math.sqrt(3 / (size / shape[0]!));
    const value = (u: number) => {
      if (name.endsWith('running_var')) return 1 + u / 2;
      if (name.endsWith('running_mean') || name.endsWith('bias')) return u / 10;
      return shape.length > 1 ? u * bound : 1 + u / 10;
    };
    return change(name, shape, Float32Array.from(noise(name, size), value)) ?? [];
  });
  return encodeSafetensors(tensors);
}

function asIs(name: string, shape: readonly number[], data: Float32Array): Written {
  return { name, dtype: 'F32', shape, data };
}

/**
 * Loads the weights of the FID network: pt_inception-2015-12-05-6726825d.pth of pytorch-fid and torch-fidelity, or a safetensors
 * file with its names. A batch norm y = (x − mean)/√(var + 0.001)·weight + bias is folded into the convolution before it.
 */
import type { Backend } from '../backend/backend.js';
import { CheckpointError } from '../core/errors.js';
import type { ByteSource } from '../io/bytes.js';
import { parseHeader, readFloats } from '../io/safetensors.js';
import { createSha256 } from '../io/sha256.js';
import { asSafetensors } from '../io/torch.js';
import { type ConvParams, convolutions, type InceptionParams, type Network } from './inception.js';

const EPSILON = 0.001;

const REMEDY =
  'pass pt_inception-2015-12-05-6726825d.pth, as pytorch-fid and torch-fidelity download it, or a safetensors file with its tensors';

/** The tensors of the weights file, with their shapes there. */
export function weightShapes(network: Network): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  for (const { name, ci, co, kh, kw } of convolutions(network)) {
    shapes.set(`${name}.conv.weight`, [co, ci, kh, kw]);
    for (const vector of ['weight', 'bias', 'running_mean', 'running_var']) shapes.set(`${name}.bn.${vector}`, [co]);
  }
  return shapes.set('fc.weight', [network.classes, network.features]);
}

/**
 * Puts the weights on a device. `id` is a hash of them. Throws CheckpointError if the file is damaged or of another network, before
 * anything is allocated. Rejects with `signal.reason` when aborted.
 */
export async function loadInception(
  be: Backend,
  file: ByteSource,
  network: Network,
  signal?: AbortSignal,
): Promise<{ params: InceptionParams; id: string }> {
  const source = await asSafetensors(file, { signal });
  const { tensors, ...header } = await parseHeader(source, { signal });
  for (const [name, shape] of weightShapes(network)) {
    const found = tensors.get(name)?.shape;
    if (!found)
      throw new CheckpointError(`${source.name} has no tensor ${name}, so it is not the FID network (Inception v3); ${REMEDY}.`);
    if (found.join() !== shape.join())
      throw new CheckpointError(
        `${source.name}: ${name} has shape [${found.join(', ')}] and the FID network [${shape.join(', ')}]: this is another ` +
          `network, such as torchvision's Inception v3; ${REMEDY}.`,
      );
  }
  const hash = createSha256();
  const read = async (name: string) => {
    const values = await readFloats(source, { tensors, ...header }, name, { finite: true, signal });
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    return values;
  };
  const convs = new Map<string, ConvParams>();
  for (const { name, ci, co, kh, kw } of convolutions(network)) {
    const w = await read(`${name}.conv.weight`);
    const [gain, shift] = [await read(`${name}.bn.weight`), await read(`${name}.bn.bias`)];
    const [mean, variance] = [await read(`${name}.bn.running_mean`), await read(`${name}.bn.running_var`)];
    const bad = variance.findIndex((v) => v < 0);
    if (bad >= 0)
      throw new CheckpointError(
        `${source.name}: ${name}.bn.running_var has ${variance[bad]} at index ${bad}, and no variance is negative; ${REMEDY}.`,
      );
    const slope = Float64Array.from(gain, (g, o) => g / Math.sqrt(variance[o]! + EPSILON));
    const weight = new Float64Array(w.length);
    const taps = kh * kw;
    // From [co, ci, kh, kw] to [co, kh, kw, ci].
    for (let o = 0, at = 0; o < co; o++)
      for (let c = 0; c < ci; c++) for (let t = 0; t < taps; t++, at++) weight[(o * taps + t) * ci + c] = w[at]! * slope[o]!;
    const bias = Float64Array.from(shift, (s, o) => s - mean[o]! * slope[o]!);
    convs.set(name, { weight: be.from(weight, [co, kh, kw, ci]), bias: be.from(bias) });
  }
  const fc = be.from(await read('fc.weight'), [network.classes, network.features]);
  await source.finish?.();
  return { params: { convs, fc }, id: hash.hex() };
}

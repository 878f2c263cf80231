/** Checkpoint tensors → device, in file order, a piece at a time, so that the file is never held whole. */
import type { Backend } from '../backend/backend.js';
import type { ByteSource } from '../checkpoint/source.js';
import { CheckpointError } from '../core/errors.js';
import type { Tensor } from '../core/tensor.js';
import { parseHeader, type SafetensorsHeader, tensorChunks } from '../io/safetensors.js';
import { type ParamSpec, toDevice } from './params.js';

/** Tensors that checkpoints may carry and nothing here needs: the tied head and the codebook's usage statistic. */
const KNOWN_EXTRAS = new Set(['mamba.lm_head.weight', 'vqvae.quantize.codebook_used']);

/**
 * Fills `tensors` (by checkpoint name) from a safetensors source. Returns the names of tensors in the file that the model
 * has no place for. Throws CheckpointError naming a missing tensor, a wrong shape or a value that is not finite, and IoError
 * when the file's hash is not the one expected.
 */
export async function loadTensors(
  be: Backend,
  tensors: ReadonlyMap<string, { spec: ParamSpec; tensor: Tensor }>,
  source: ByteSource,
  { header, signal }: { header?: SafetensorsHeader | undefined; signal?: AbortSignal | undefined } = {},
): Promise<string[]> {
  header ??= await parseHeader(source, { signal });
  for (const [name, { spec }] of tensors) {
    const entry = header.tensors.get(name);
    if (!entry)
      throw new CheckpointError(
        `${source.name} has no tensor ${name}, which its config asks for; the two do not belong together.`,
      );
    if (entry.shape.join() !== spec.shape.join())
      throw new CheckpointError(
        `${source.name}: ${name} has shape [${entry.shape.join(', ')}], the config asks for [${spec.shape.join(', ')}]; ` +
          'the two do not belong together.',
      );
  }
  // The header lists tensors in file order, so a stream serves them without going back.
  for (const name of header.tensors.keys()) {
    const param = tensors.get(name);
    if (!param) continue;
    const { spec, tensor } = param;
    // A permuted tensor (the largest is some 9 MB) needs all of its values at once.
    const whole = spec.layout === 'ohwi' ? new Float32Array(tensor.size) : undefined;
    let at = 0;
    for await (const piece of tensorChunks(source, header, name, { finite: true, signal })) {
      if (whole) whole.set(piece, at);
      else be.write(tensor, piece, at);
      at += piece.length;
    }
    if (whole) be.write(tensor, toDevice(spec, whole));
  }
  await source.finish?.();
  await be.settle();
  return [...header.tensors.keys()].filter((name) => !tensors.has(name) && !KNOWN_EXTRAS.has(name));
}

/** Checkpoint tensors → device, in file order, a piece at a time, so that the file is never held whole. */
import type { Backend } from '../backend/backend.js';
import { modelHeader } from '../checkpoint/names.js';
import type { ByteSource, CheckpointFiles } from '../checkpoint/source.js';
import { CheckpointError } from '../core/errors.js';
import { HALF_OVERFLOW } from '../core/half.js';
import type { NumArray, Tensor } from '../core/tensor.js';
import { sampled } from '../io/bytes.js';
import { parseHeader, type SafetensorsHeader, tensorChunks } from '../io/safetensors.js';
import { type ParamSpec, toDevice } from './params.js';

/** A parameter and where it lies on a device. */
export interface PlacedParam {
  readonly spec: ParamSpec;
  readonly tensor: Tensor;
}

/** Tensors that checkpoints may carry and nothing here needs: the tied head and the codebook's usage statistic. */
const KNOWN_EXTRAS = new Set(['mamba.lm_head.weight', 'vqvae.quantize.codebook_used']);

/** The weights of an opened checkpoint. */
export interface Weights {
  readonly source: ByteSource & { digest(): number };
  readonly header: SafetensorsHeader;
}

export async function openWeights(files: CheckpointFiles, signal: AbortSignal | undefined): Promise<Weights> {
  const source = sampled(await files.weights());
  return { source, header: modelHeader(await parseHeader(source, { signal }), source.name) };
}

/**
 * Compares the wanted tensors with a file's header, before any memory is taken. Throws CheckpointError naming a missing tensor or a
 * wrong shape.
 */
export function checkShapes(
  { source, header }: { source: { readonly name: string }; header: SafetensorsHeader },
  wanted: Iterable<readonly [string, ParamSpec]>,
): void {
  for (const [name, { shape }] of wanted) {
    const got = header.tensors.get(name);
    if (!got)
      throw new CheckpointError(
        `${source.name} has no tensor ${name}, which its config asks for; the two do not belong together.`,
      );
    if (got.shape.join() !== shape.join())
      throw new CheckpointError(
        `${source.name}: ${name} has shape [${got.shape.join(', ')}], the config asks for [${shape.join(', ')}]; ` +
          'the two do not belong together.',
      );
  }
}

/**
 * Fills `params` (by checkpoint name) from a safetensors source. Returns the names of tensors in the file that the model has no
 * place for. Throws CheckpointError naming a missing tensor, a wrong shape or a value that is not finite or too large, and
 * IoError when the file's hash is not the one expected.
 */
export async function loadTensors(
  be: Backend,
  params: ReadonlyMap<string, PlacedParam>,
  { source, header }: { source: ByteSource; header: SafetensorsHeader },
  signal?: AbortSignal,
): Promise<string[]> {
  checkShapes(
    { source, header },
    [...params].map(([name, { spec }]) => [name, spec] as const),
  );
  // The header lists tensors in file order, so a stream serves them without going back.
  for (const name of header.tensors.keys()) {
    const param = params.get(name);
    if (!param) continue;
    const { spec, tensor } = param;
    // A permuted tensor (the largest is some 9 MB) needs all of its values at once.
    const whole = spec.layout === 'ohwi' ? new Float32Array(tensor.size) : undefined;
    let at = 0;
    for await (const piece of tensorChunks(source, header, name, { finite: true, signal })) {
      if (tensor.dtype === 'f16') checkHalves(piece, `${source.name}: ${name}`, at);
      if (whole) whole.set(piece, at);
      else be.write(tensor, piece, at);
      at += piece.length;
    }
    if (whole) be.write(tensor, toDevice(spec, whole));
  }
  await source.finish?.();
  await be.settle();
  return [...header.tensors.keys()].filter((name) => !params.has(name) && !KNOWN_EXTRAS.has(name));
}

/** Throws CheckpointError for a value that float16 cannot hold; `first` is the index of values[0] in its tensor. */
export function checkHalves(values: NumArray, what: string, first = 0): void {
  const i = values.findIndex((v) => Math.abs(v) >= HALF_OVERFLOW);
  if (i >= 0)
    throw new CheckpointError(`${what} has ${values[i]} at index ${first + i}, too large for float16; load it with dtype 'f32'.`);
}

/** Tensors of a training checkpoint, given one after the other in file order. */
export interface SavedTensors {
  /** Where they come from, for messages. */
  readonly path: string;
  tensors(part: 'model' | 'optimizer' | 'ema'): AsyncIterable<{ name: string; shape: readonly number[]; data: Float32Array }>;
}

/** Puts a part of a training checkpoint on the device. Throws CheckpointError when it does not fit `params`. */
export async function fillSaved(
  be: Backend,
  saved: SavedTensors,
  part: 'model' | 'optimizer' | 'ema',
  params: ReadonlyMap<string, PlacedParam>,
): Promise<void> {
  const missing = new Set(params.keys());
  for await (const { name, shape, data } of saved.tensors(part)) {
    const target = params.get(name);
    // The model's file also has what only the authors' loading asks for.
    if (!target && part === 'model') continue;
    if (!target || shape.join() !== target.spec.shape.join())
      throw new CheckpointError(
        `${saved.path}/${part}.safetensors: ${name} [${shape.join(', ')}] does not belong to this model.`,
      );
    be.write(target.tensor, toDevice(target.spec, data));
    missing.delete(name);
  }
  if (missing.size)
    throw new CheckpointError(`${saved.path}/${part}.safetensors has no tensor ${[...missing][0]}; take another checkpoint.`);
}

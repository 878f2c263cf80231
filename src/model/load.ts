/** Loads checkpoint tensors to the device, in file order and piece by piece, so that the file is never in memory as a whole. */
import type { Backend } from '../backend/backend.js';
import { modelHeader } from '../checkpoint/names.js';
import type { ByteSource, CheckpointFiles } from '../checkpoint/source.js';
import { CheckpointError } from '../core/errors.js';
import { HALF_OVERFLOW } from '../core/half.js';
import type { NumArray, Tensor } from '../core/tensor.js';
import { sampled } from '../io/bytes.js';
import { parseHeader, type SafetensorsHeader, tensorChunks } from '../io/safetensors.js';
import { type ParamSpec, toDevice } from './params.js';

/** A parameter and its tensor on a device. */
export interface PlacedParam {
  readonly spec: ParamSpec;
  readonly tensor: Tensor;
}

/** Tensors that checkpoints may contain but the model does not need: the tied head and the codebook's usage statistic. */
const KNOWN_EXTRAS = new Set(['mamba.lm_head.weight', 'vqvae.quantize.codebook_used']);

/** The weights of an open checkpoint. `digest` is a checksum of the bytes read so far. */
export interface Weights {
  readonly source: ByteSource & { digest(): number };
  readonly header: SafetensorsHeader;
}

/** Opens the weights of a checkpoint and reads their header. Throws CheckpointError if it is damaged. */
export async function openWeights(files: CheckpointFiles, signal: AbortSignal | undefined): Promise<Weights> {
  const source = sampled(await files.weights());
  return { source, header: modelHeader(await parseHeader(source, { signal }), source.name) };
}

/**
 * Compares the wanted tensors with a file's header, before any memory is allocated. Throws CheckpointError with the name of a
 * missing tensor or of one with another shape.
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
 * Fills `params` (by checkpoint name) from a safetensors source. Returns the names of the file's tensors that the model does not
 * use. Throws CheckpointError with the name of a tensor that is missing, has another shape, or has a value that is not finite or
 * too large; IoError if the file does not have the expected hash.
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
  // The header lists tensors in file order, so a stream can serve them without seeking backwards.
  for (const name of header.tensors.keys()) {
    const param = params.get(name);
    if (!param) continue;
    const { spec, tensor } = param;
    // A tensor that needs a permutation (at most about 9 MB) is collected as a whole first.
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

/** Throws CheckpointError if float16 cannot hold a value. `first` is the index of values[0] in its tensor. */
export function checkHalves(values: NumArray, what: string, first = 0): void {
  const i = values.findIndex((v) => Math.abs(v) >= HALF_OVERFLOW);
  if (i >= 0)
    throw new CheckpointError(`${what} has ${values[i]} at index ${first + i}, too large for float16; load it with dtype 'f32'.`);
}

/** The files of a training checkpoint. Each gives its tensors one after the other, in file order. */
export interface SavedTensors {
  /** The checkpoint's path, for messages. */
  readonly path: string;
  tensors(file: SavedFile): AsyncIterable<{ name: string; shape: readonly number[]; data: Float32Array }>;
}

/** The weights, the optimizer's moments, or the moving average of the weights. */
export type SavedFile = 'model' | 'optimizer' | 'ema';

/** Loads one file of a training checkpoint to the device. Throws CheckpointError if it does not match `params`. */
export async function fillSaved(
  be: Backend,
  saved: SavedTensors,
  file: SavedFile,
  params: ReadonlyMap<string, PlacedParam>,
): Promise<void> {
  const missing = new Set(params.keys());
  for await (const { name, shape, data } of saved.tensors(file)) {
    const target = params.get(name);
    // The file of the model also has tensors that only the authors' code needs.
    if (!target && file === 'model') continue;
    if (!target || shape.join() !== target.spec.shape.join())
      throw new CheckpointError(
        `${saved.path}/${file}.safetensors: ${name} [${shape.join(', ')}] does not belong to this model.`,
      );
    be.write(target.tensor, toDevice(target.spec, data));
    missing.delete(name);
  }
  if (missing.size)
    throw new CheckpointError(`${saved.path}/${file}.safetensors has no tensor ${[...missing][0]}; take another checkpoint.`);
}

/** Writes a model as the files of a checkpoint in the authors' format. */
import { CLASSES, GENERATION } from '../checkpoint/folder.js';
import { jsonFile } from '../core/json.js';
import { checkOptions, type OptionTable } from '../core/options.js';
import type { Dtype } from '../io/dtype.js';
import { type TensorData, writeSafetensors } from '../io/safetensors_writer.js';
import { type OutFile, putFiles } from '../platform/folders.js';
import type { AimConfig } from './config.js';
import { generationConfigFiles } from './generation_config.js';
import type { Model } from './model.js';
import { toCheckpoint } from './params.js';

/** Options of `save` and `toFiles`. */
export interface SaveOptions {
  /**
   * Number format of the weights in the file. 'auto' (the default) is float16 for weights that are float16 on the device, and float32
   * for the others, which loses nothing. 'f16' and 'bf16' round.
   */
  dtype?: 'auto' | 'f32' | 'f16' | 'bf16';
  /** Aborts the writing; then nothing is written. */
  signal?: AbortSignal | undefined;
}

const SAVE = {
  dtype: {
    type: 'choice',
    choices: ['auto', 'f32', 'f16', 'bf16'],
    default: 'auto',
    about: 'number format of the file; auto loses nothing',
  },
  signal: { type: 'signal', about: 'stops the writing' },
} as const satisfies OptionTable<SaveOptions>;

const DTYPES = { f32: 'F32', f16: 'F16', bf16: 'BF16' } as const;

/** The head is the word embedding: the authors' files leave it out and name the pair in their metadata. */
const HEAD = { name: 'mamba.lm_head.weight', tied: 'mamba.backbone.embeddings.word_embeddings.weight' };

/**
 * Tensors that the authors' strict loading asks for and nothing reads: the usage statistic of their own tokenizer (the one
 * that a config without vq_config means), zero as in a model that has not been used.
 */
export function extraTensors({ json }: AimConfig): { name: string; shape: number[]; data: () => Float32Array }[] {
  if (json.vq_config) return [];
  const used = 65536;
  return [{ name: 'vqvae.quantize.codebook_used', shape: [used], data: () => new Float32Array(used) }];
}

/** A safetensors file of a model's tensors, in pieces. */
export function modelFile(tensors: readonly TensorData[], metadata: Readonly<Record<string, string>> = {}) {
  const tied = tensors.some(({ name }) => name === HEAD.tied) ? { [HEAD.name]: HEAD.tied } : {};
  return writeSafetensors(tensors, { ...tied, ...metadata });
}

/** The files of the model. Tensors are read from the device when they are written. `call` is named in errors. */
export function modelFiles(model: Model, call: string, options: SaveOptions): OutFile[] {
  model.assertLive();
  const { dtype, signal } = checkOptions<SaveOptions, typeof SAVE>(call, options, SAVE);
  const formatOf = (isHalf: boolean): Dtype => (dtype === 'auto' ? (isHalf ? 'F16' : 'F32') : DTYPES[dtype]);
  const weights = [...model.named()].map(
    ([name, { spec, tensor }]): TensorData => ({
      name,
      shape: spec.shape,
      dtype: formatOf(tensor.dtype === 'f16'),
      async data() {
        signal?.throwIfAborted();
        return toCheckpoint(spec, await model.read(name));
      },
    }),
  );
  const extra = extraTensors(model.config).map((tensor): TensorData => ({ ...tensor, dtype: formatOf(false) }));
  return [
    { name: 'config.json', data: jsonFile(model.config.json) },
    ...generationConfigFiles(model.sampling),
    ...(model.classes ? [{ name: CLASSES, data: jsonFile(model.classes) }] : []),
    { name: 'model.safetensors', data: modelFile([...weights, ...extra], { format: 'pt' }) },
  ];
}

/** Writes the files of a model into a folder: see `putFiles`. Names and settings of an earlier model there are removed. */
export function putModel(folder: string, files: readonly OutFile[], signal?: AbortSignal): Promise<void> {
  const remove = [CLASSES, GENERATION].filter((file) => !files.some(({ name }) => name === file));
  return putFiles(folder, files, { signal, remove });
}

/** See AiM.save. */
export async function save(model: Model, folder: string, options: SaveOptions = {}): Promise<void> {
  await putModel(folder, modelFiles(model, 'save', options), options.signal);
}

/** See AiM.toFiles. */
export async function toFiles(model: Model, options: SaveOptions = {}): Promise<File[]> {
  const files: File[] = [];
  for (const { name, data } of modelFiles(model, 'toFiles', options)) {
    const parts: BlobPart[] = [];
    for await (const part of data instanceof Uint8Array ? [data] : data) parts.push(part as Uint8Array<ArrayBuffer>);
    options.signal?.throwIfAborted();
    files.push(new File(parts, name));
  }
  return files;
}

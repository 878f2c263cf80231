/** What all checks of `verify` share: the model, the golden tensors by name, and the comparison of a result with a golden. */

import { CheckpointError } from '../core/errors.js';
import type { NumArray, Tensor } from '../core/tensor.js';
import type { ByteSource } from '../io/bytes.js';
import { readFloats, readInts, type SafetensorsHeader } from '../io/safetensors.js';
import type { AimConfig } from '../model/config.js';
import { widened } from '../model/layers.js';
import type { Model } from '../model/model.js';
import { mapParams, type ParamTree } from '../model/params.js';
import type { Placed } from '../model/placed.js';
import { tokenizerOf } from '../model/tokenizers.js';
import { compare, toNhwc, type VerifyRow } from './compare.js';
import { type Tolerances, type VerifyMode, verifyMode } from './tolerance.js';

/** Options of `verify`. */
export interface VerifyOptions {
  /** The data set whose images some goldens refer to by index. */
  testSet?: TestSet | undefined;
  /** True to run also the checks that take minutes on a slow device. */
  slow?: boolean;
  /** Called with each row as soon as it is known. */
  onRow?: (row: VerifyRow) => void;
  /** Aborts the checks. */
  signal?: AbortSignal | undefined;
}

/** A labelled test set that is read by index. */
export interface TestSet {
  /** Pixels [n, height, width, 3] in [-1, 1] of the images with these indices. */
  images(indices: readonly number[]): Promise<{ width: number; height: number; pixels: Float32Array }>;
  /** Class numbers [n] of the images with these indices. */
  labels(indices: readonly number[]): Promise<Uint32Array>;
}

/** An expected tensor. */
export interface Expected {
  shape: readonly number[];
  data: NumArray;
}

/** A row of the table, or the reason why the check was skipped. */
export type Checked = VerifyRow | { reason: string };

export type Params = Placed['params'];

/** Images per forward pass. Bounds the memory. */
export const CHUNK = 10;

/** Tolerance between float16 weights and the same weights in float32: only the order of float32 sums differs. */
const STORAGE = 1e-5;

const NO_DATA =
  'needs the test images: pass the folder with their IDX files (--data FOLDER, or the environment variable FASHION_MNIST)';

interface EncodedImages {
  codes: Uint32Array;
  /** [n, h, w, features] before quantization. */
  features: Float64Array;
}

interface Image {
  pixels: Float32Array;
  shape: [number, number, number, number];
}

/** One run of `verify`. */
export class Context {
  readonly mode: VerifyMode;
  readonly allowed: Readonly<Tolerances>;
  private widened: { params: Params; copies: Tensor[] } | undefined;
  private image: Promise<Image | { reason: string }> | undefined;

  constructor(
    readonly model: Model,
    private readonly source: ByteSource,
    readonly header: SafetensorsHeader,
    readonly options: VerifyOptions,
  ) {
    this.mode = verifyMode(model);
    this.allowed = this.mode.allowed;
  }

  /** Whether checks that take minutes on this device are shortened or left out. */
  get shortened(): boolean {
    const { name, description } = this.model.be;
    return !this.options.slow && (name === 'reference' || /swiftshader|llvmpipe/i.test(description));
  }

  has(name: string): boolean {
    return this.header.tensors.has(name);
  }

  /** An expected tensor. Throws CheckpointError if there is none with this name. */
  async load(name: string): Promise<Expected> {
    const { source, header } = this;
    const entry = header.tensors.get(name);
    if (!entry) throw new CheckpointError(`${source.name} has no tensor ${name}, which its other tensors need.`);
    const float = /^(F|BF)/.test(entry.dtype);
    const data = float ? await readFloats(source, header, name) : Uint32Array.from(await readInts(source, header, name));
    return { shape: entry.shape, data };
  }

  /** The weights in float32, as training uses them. */
  wide(): Params {
    const { model } = this;
    const named = model.named();
    const copies: Tensor[] = [];
    const wide = (_: unknown, name: string) => {
      const { tensor } = named.get(name)!;
      if (tensor.dtype !== 'f16') return tensor;
      copies.push(widened(model.be, tensor));
      return copies.at(-1)!;
    };
    this.widened ??= { params: mapParams(model.tree as unknown as ParamTree, wide) as unknown as Params, copies };
    return this.widened.params;
  }

  /** Frees the float32 copies of weights. */
  dispose(): void {
    this.model.be.free(...(this.widened?.copies ?? []));
  }

  /**
   * Compares a result of the model with the expected values. Rounded weights are allowed larger errors, which could hide a fault
   * of float16 storage, so the result is also compared with that of the same weights in float32.
   */
  async computed(
    name: string,
    want: NumArray,
    allowed: number,
    values: (params: Params) => Promise<NumArray>,
  ): Promise<VerifyRow> {
    const got = await values(this.model.params);
    const row = compare(name, got, want, allowed);
    if (this.mode.name !== 'f16 weights') return row;
    const { maxRel, ok } = compare(name, got, await values(this.wide()), STORAGE);
    const note = `${maxRel.toExponential(1)} from the same weights in float32, allowed ${STORAGE}`;
    return { ...row, ok: row.ok && ok, note };
  }

  /** The golden tokens [n, T] and labels [n]. */
  async tokens(): Promise<{ tokens: Expected; labels: Expected }> {
    const tokens = this.header.tensors.has('input.tokens') ? 'input.tokens' : 'vq.codes';
    return { tokens: await this.load(tokens), labels: await this.load('input.labels') };
  }

  /** The images of the tokenizer's goldens, or the reason why there are none. */
  pixels(): Promise<Image | { reason: string }> {
    this.image ??= (async () => {
      if (this.has('vq.image')) {
        const { shape, data } = await this.load('vq.image');
        const [b, c, h, w] = shape as [number, number, number, number];
        return { pixels: toNhwc(data, b, c, h * w), shape: [b, h, w, c] as [number, number, number, number] };
      }
      if (!this.has('input.test-index')) return { reason: 'there is no vq.image to encode' };
      if (!this.options.testSet) return { reason: NO_DATA };
      const index = await this.load('input.test-index');
      const { width, height, pixels } = await this.options.testSet.images([...index.data]);
      return { pixels, shape: [index.data.length, height, width, 3] as [number, number, number, number] };
    })();
    return this.image;
  }

  /** Encodes pixels [n, h, w, c] to codes and features. */
  encode(params: Params, pixels: Float32Array, shape: [number, number, number, number]): Promise<EncodedImages> {
    return encodeImages({ be: this.model.be, params }, this.model.config, pixels, shape, this.options.signal);
  }

  /** The labelled test set, or the reason why there is none. */
  testImages(): TestSet | { reason: string } {
    return this.options.testSet ?? { reason: NO_DATA };
  }
}

/** Encodes pixels [n, h, w, c] to codes and features. */
export async function encodeImages(
  { be, params }: Pick<Placed, 'be' | 'params'>,
  { tokenizer: config }: AimConfig,
  pixels: Float32Array,
  [n, h, w, c]: [number, number, number, number],
  signal: AbortSignal | undefined,
): Promise<EncodedImages> {
  const tokenizer = tokenizerOf(config);
  const codes: number[] = [];
  const features: number[] = [];
  const per = h * w * c;
  for (let at = 0; at < n; at += CHUNK) {
    signal?.throwIfAborted();
    const k = Math.min(CHUNK, n - at);
    const x = be.from(pixels.subarray(at * per, (at + k) * per), [k, h, w, c]);
    const z = tokenizer.encode(be, params.vqvae, config, x);
    const q = tokenizer.quantize(be, params.vqvae, config, z);
    for (const v of await be.read(z)) features.push(v);
    for (const v of await be.read(q)) codes.push(v);
    be.free(x, z, q);
  }
  return { codes: Uint32Array.from(codes), features: Float64Array.from(features) };
}

/** What the model says of images that are known: the logits of every token given those before it, and likelihoods. */
import { OptionError } from '../core/errors.js';
import { checkOptions, type OptionTable, shown } from '../core/options.js';
import type { NumArray } from '../core/tensor.js';
import { Acts } from './acts.js';
import { aimForward } from './aim.js';
import { findClasses } from './classes.js';
import { conditionOf } from './conditions.js';
import type { AimConfig } from './config.js';
import type { Model } from './model.js';
import { modulationForward, modulationTensors } from './modulation.js';
import type { Placed } from './placed.js';

/** Options of `logits` and `logLikelihood`. */
export interface LikelihoodOptions {
  /** Aborts the computation. */
  signal?: AbortSignal | undefined;
}

const LIKELIHOOD = {
  signal: { type: 'signal', about: 'stops the computation' },
} as const satisfies OptionTable<LikelihoodOptions>;

/** The class of every image, or one for all: numbers or names, and null for the unconditional class of guidance. */
export type Classes = number | string | null | readonly (number | string | null)[];

/** Images per forward pass. Bounds the memory. */
const CHUNK = 10;

/** Codes [n, T] and labels [n] of n images. */
export interface Sequences {
  tokens: NumArray;
  labels: ArrayLike<number>;
}

/**
 * Computes the logits of whole sequences in chunks of images, and calls `use(index of the first image, logits [k, T, V])` for each.
 * Row t of an image are the logits of its token t, given its class and its tokens before t.
 */
export async function forwardLogits(
  { be, params }: Pick<Placed, 'be'> & { params: Pick<Placed['params'], 'mamba'> },
  config: AimConfig,
  { tokens, labels }: Sequences,
  use: (first: number, logits: NumArray) => void,
  signal?: AbortSignal,
): Promise<void> {
  const { num_tokens: T, vocab_size: V } = config;
  const condition = conditionOf(config.condition);
  const p = params.mamba.backbone;
  const n = labels.length;
  const chunk = Math.max(1, Math.min(CHUNK, Math.floor(be.traits.chunkBytes / (4 * T * V))));
  for (let at = 0; at < n; at += chunk) {
    signal?.throwIfAborted();
    const k = Math.min(chunk, n - at);
    const t = be.from(tokens.subarray(at * T, (at + k) * T), [k, T], 'u32');
    const inputs = condition.inputs(be, config.condition, k);
    condition.write(
      be,
      config.condition,
      inputs,
      Array.from({ length: k }, (_, i) => labels[at + i]!),
    );
    const step = be.from(new Uint32Array(k), [k], 'u32');
    const a = new Acts(be);
    const modulation = modulationForward(be, p, config, inputs, a);
    const logits = aimForward(be, p, config, { tokens: t, step, modulation, length: T, shift: 0 }, a);
    try {
      use(at, await be.read(logits));
    } finally {
      be.free(t, ...Object.values(inputs), step, logits, ...modulationTensors(modulation));
    }
  }
}

/** −log softmax(logits)[target] in nats, in float64. */
export function crossEntropy(logits: NumArray, target: number): number {
  let max = Number.NEGATIVE_INFINITY;
  for (const v of logits) max = Math.max(max, v);
  let sum = 0;
  for (const v of logits) sum += Math.exp(v - max);
  return Math.log(sum) + max - logits[target]!;
}

/** See AiM.logits. */
export async function logits(
  model: Model,
  codes: readonly ArrayLike<number>[],
  classes: Classes,
  options: LikelihoodOptions = {},
): Promise<Float32Array<ArrayBuffer>[]> {
  const size = model.config.num_tokens * model.config.vocab_size;
  const out: Float32Array<ArrayBuffer>[] = [];
  await each(model, 'logits', codes, classes, options, (i, values) => {
    // A device that was lost gives some images again.
    out[i] = Float32Array.from(values.subarray(0, size));
  });
  return out;
}

/** See AiM.logLikelihood. */
export async function logLikelihood(
  model: Model,
  codes: readonly ArrayLike<number>[],
  classes: Classes,
  options: LikelihoodOptions = {},
): Promise<number[]> {
  const { num_tokens: T, vocab_size: V } = model.config;
  const out: number[] = [];
  await each(model, 'logLikelihood', codes, classes, options, (i, values) => {
    let sum = 0;
    for (let t = 0; t < T; t++) sum -= crossEntropy(values.subarray(t * V, (t + 1) * V), codes[i]![t]!);
    out[i] = sum;
  });
  return out;
}

/** Checks the arguments, then calls `use(i, logits [T, V])` for every image. */
async function each(
  model: Model,
  call: string,
  codes: readonly ArrayLike<number>[],
  classes: Classes,
  options: LikelihoodOptions,
  use: (i: number, logits: NumArray) => void,
): Promise<void> {
  model.assertLive();
  const { config } = model;
  const { num_tokens: T, vocab_size: V } = config;
  const { signal } = checkOptions<LikelihoodOptions, typeof LIKELIHOOD>(call, options, LIKELIHOOD);
  const sequences = { tokens: codesOf(call, codes, config), labels: await labelsOf(model, call, codes.length, classes) };
  await model.attempt(
    (on) =>
      forwardLogits(
        on,
        config,
        sequences,
        (first, values) => {
          for (let i = 0; i < values.length / (T * V); i++) use(first + i, values.subarray(i * T * V, (i + 1) * T * V));
        },
        signal,
      ),
    signal,
  );
}

/** The codes of all images as one array [n·T]. Throws OptionError. */
export function codesOf(
  call: string,
  codes: readonly ArrayLike<number>[],
  { num_tokens: T, vocab_size: V }: AimConfig,
): Uint32Array {
  if (!Array.isArray(codes))
    throw new OptionError(`${call}: the codes are ${shown(codes)}; pass a list with those of each image.`);
  const all = new Uint32Array(codes.length * T);
  for (const [i, one] of (codes as readonly ArrayLike<number>[]).entries()) {
    if (one?.length !== T)
      throw new OptionError(`${call}: image ${i} has ${one?.length ?? 'no'} codes; this model has ${T} in an image.`);
    const bad = Array.prototype.findIndex.call(one, (c: number) => !(Number.isInteger(c) && c >= 0 && c < V));
    if (bad >= 0) throw new OptionError(`${call}: code ${bad} of image ${i} is ${one[bad]}; codes go from 0 to ${V - 1}.`);
    all.set(Uint32Array.from(one), i * T);
  }
  return all;
}

/** The class number of each of n images; null is the unconditional class. Throws OptionError. */
export async function labelsOf(model: Model, call: string, n: number, classes: Classes): Promise<number[]> {
  const { num_classes, condition } = model.config;
  const list = Array.isArray(classes) ? (classes as (number | string | null)[]) : Array(n).fill(classes);
  if (list.length !== n)
    throw new OptionError(
      `${call}: there are ${list.length} classes for ${n} images; give one for each, or a single one for all.`,
    );
  const unconditional = conditionOf(condition).unconditional(condition) as number;
  const known = new Map<number | string | null, number>([[null, unconditional]]);
  for (const one of new Set(list)) if (one !== null) known.set(one, (await findClasses([one], num_classes, model.classes))[0]!);
  return list.map((one) => known.get(one)!);
}

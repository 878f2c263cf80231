/**
 * Draws tokens. A step is recorded once per batch size and replayed per token. Tokens, counters and random numbers stay on the
 * device, so nothing is read back until an image or a preview is asked for.
 */
import type { Backend, Recording } from '../backend/backend.js';
import { checkOptions, type OptionTable } from '../core/options.js';
import type { Tensor } from '../core/tensor.js';
import { sample } from '../ops/sample.js';
import { pause } from '../platform/runtime.js';
import { Acts } from './acts.js';
import { type AimParams, aimForward, aimState } from './aim.js';
import type { Condition, ConditionInputs } from './condition.js';
import { conditionOf } from './conditions.js';
import type { AimConfig } from './config.js';
import { modulationForward } from './modulation.js';

export interface SamplingOptions {
  /** Classifier-free guidance w on logits, u + (c − u)·w; 1 is off (and costs half). Default 1.5. */
  cfgScale?: number;
  /** Divides the logits; 0 is greedy. Default 1. */
  temperature?: number;
  /** Keep the k most likely tokens; 0 keeps all. Default 0. */
  topK?: number;
  /** Keep the smallest set of most likely tokens whose probabilities sum to p, in (0, 1]. Default 1. */
  topP?: number;
  /** Position rows as in training, or the authors' decoder's off-by-one. Default 'trained'. */
  positions?: 'trained' | 'authors';
}

export type Sampling = Required<SamplingOptions>;

export const SAMPLING = {
  cfgScale: {
    type: 'number',
    min: 0,
    max: 1e6,
    default: 1.5,
    about: 'classifier-free guidance on the logits; 1 is off and twice as fast',
  },
  temperature: { type: 'number', min: 0, max: 1e6, default: 1, about: 'divides the logits; 0 is greedy' },
  topK: { type: 'integer', min: 0, default: 0, about: 'keep the k most likely tokens; 0 keeps all' },
  topP: {
    type: 'number',
    min: 0,
    exclusiveMin: true,
    max: 1,
    default: 1,
    about: 'keep the most likely tokens whose probabilities sum to this; 1 keeps all',
  },
  positions: {
    type: 'choice',
    choices: ['trained', 'authors'],
    default: 'trained',
    about: "position rows as in training, or the authors' decoder's off-by-one",
  },
} as const satisfies OptionTable<SamplingOptions>;

/** Fills in defaults. Throws OptionError naming the option, its value and what is accepted. */
export function checkSampling(options: SamplingOptions): Sampling {
  const sampling = checkOptions<SamplingOptions, typeof SAMPLING>('sampling', options, SAMPLING);
  // A very small temperature would overflow the scaled logits; its effect is that of greedy sampling.
  return sampling.temperature < 1e-4 ? { ...sampling, temperature: 1, topK: 1 } : sampling;
}

/** Draws `count` token sequences at a time with fixed options. */
export class Sampler {
  /** [count, T], filled from the left. */
  readonly tokens: Tensor;
  /** Guided logits [count, V] of the latest position. */
  readonly logits: Tensor;
  /** [count] positions drawn so far. */
  readonly step: Tensor;
  private readonly kind: Condition;
  private readonly inputs: ConditionInputs = {};
  private readonly seed: Tensor;
  private readonly state: ReturnType<typeof aimState>;
  private readonly condition: Recording;
  private readonly forward: Recording;
  private readonly draw: Recording;
  private readonly guided: boolean;

  constructor(
    readonly be: Backend,
    private readonly config: AimConfig,
    params: AimParams,
    readonly count: number,
    s: Sampling,
  ) {
    this.guided = s.cfgScale !== 1;
    this.kind = conditionOf(config.condition);
    const m = this.guided ? 2 * count : count;
    try {
      this.tokens = be.tensor([count, config.num_tokens], 'u32');
      this.step = be.tensor([count], 'u32');
      this.seed = be.tensor([count, 2], 'u32');
      this.inputs = this.kind.inputs(be, config.condition, m);
      this.state = aimState(be, config, m);

      const conditioned = be.record(() => modulationForward(be, params, config, this.inputs, new Acts(be)));
      this.condition = conditioned.recording;
      const stepped = be.record(() => {
        const logits = aimForward(be, params, config, {
          tokens: this.tokens,
          step: this.step,
          modulation: conditioned.result,
          length: 1,
          shift: s.positions === 'authors' ? 1 : 0,
          guidance: this.guided ? s.cfgScale : undefined,
          state: this.state.layers,
        });
        return be.reshape(logits, [count, config.vocab_size]);
      });
      this.forward = stepped.recording;
      this.logits = stepped.result;
      this.draw = be.record(() => {
        be.run(
          sample.forward,
          { logits: this.logits, seed: this.seed, step: this.step, tokens: this.tokens },
          // More than the vocabulary is all of it; the op takes 32 bits.
          { temperature: s.temperature, top_k: Math.min(s.topK, config.vocab_size), top_p: s.topP },
        );
      }).recording;
    } catch (error) {
      // The batch may be too large for the device: free what was allocated so far.
      this.dispose();
      throw error;
    }
  }

  /** Begins new images, each of a value of the model's condition (a label in [0, K)); `seeds` are integers in [0, 2^53). */
  start(values: readonly unknown[], seeds: readonly number[]): void {
    const { be, config } = this;
    const unconditional = this.guided ? values.map(() => this.kind.unconditional(config.condition)) : [];
    this.kind.write(be, config.condition, this.inputs, [...values, ...unconditional]);
    be.write(this.seed, Uint32Array.from(seeds.flatMap((s) => [s >>> 0, Math.floor(s / 2 ** 32)])));
    be.zero(this.step);
    be.zero(this.tokens);
    for (const arena of this.state.arenas) be.zero(arena);
    this.condition.replay();
  }

  /** Computes the logits of the next position and draws its token. */
  next(): void {
    this.forward.replay();
    this.draw.replay();
  }

  /** Computes the logits of the position in `step` without drawing; for checks that force the tokens. */
  logitsOnly(): void {
    this.forward.replay();
  }

  /** Bytes moved and commands submitted to draw one token of each image. */
  get cost(): { bytes: number; commands: number } {
    const [forward, draw] = [this.forward.cost, this.draw.cost];
    return { bytes: forward.bytes + draw.bytes, commands: forward.commands + draw.commands };
  }

  dispose(): void {
    for (const r of [this.draw, this.forward, this.condition]) r?.dispose();
    this.be.free(this.tokens, this.step, this.seed, ...Object.values(this.inputs), ...(this.state?.arenas ?? []));
  }
}

/** Time of the last pause for the event loop. Shared by all batches, since many short ones would block it just as long. */
let lastPause = 0;

/** Steps submitted at once, between two waits for the device. */
const BLOCK = 4;
/**
 * How far encoding may be ahead of the device: enough blocks that the device never waits, and few enough (one on a slow device)
 * that abort and progress stay prompt.
 */
const AHEAD_MS = 25;
const MOST_AHEAD = 6;

/**
 * Runs a started sampler to its last token. Further blocks of steps are encoded while the device still works on earlier ones.
 * `onDone(n)` is called in order for each position n (from 1) whose token is drawn.
 */
export async function drawTokens(
  be: Backend,
  sampler: Sampler,
  total: number,
  { signal, onDone }: { signal?: AbortSignal | undefined; onDone?: ((drawn: number) => unknown) | undefined },
): Promise<void> {
  const block = be.traits.asynchronous ? BLOCK : 1;
  /** Submitted blocks, oldest first: the position that each ends at, and the promise of its end. */
  const running: { until: number; done: Promise<void> }[] = [];
  let reported = 0;
  let blockMs = Number.POSITIVE_INFINITY;
  let last = performance.now();
  const finishOldest = async () => {
    const { until, done } = running.shift()!;
    await done;
    blockMs = performance.now() - last;
    last += blockMs;
    signal?.throwIfAborted();
    while (onDone && reported < until) {
      const result = onDone(++reported);
      if (result instanceof Promise) await result;
    }
  };
  try {
    for (let t = 0; t < total; ) {
      signal?.throwIfAborted();
      // The first step is a block of its own, so that the device starts at once.
      const until = Math.min(total, t === 0 ? 1 : t + block);
      for (; t < until; t++) sampler.next();
      const done = be.settle();
      // A failure is reported where the block is awaited. If something throws before that, it is not awaited any more.
      done.catch(() => {});
      running.push({ until, done });
      const ahead = block === 1 ? 0 : Math.max(1, Math.min(MOST_AHEAD, Math.floor(AHEAD_MS / blockMs)));
      while (running.length > ahead) await finishOldest();
      if (performance.now() - lastPause > 12) {
        await pause();
        lastPause = performance.now();
      }
    }
    while (running.length) await finishOldest();
  } catch (error) {
    // Wait for all submitted work: the caller frees the tensors next.
    for (const { done } of running) await done.catch(() => {});
    await be.settle().catch(() => {});
    throw error;
  }
}

/**
 * Draws tokens. The commands of one step are recorded once per batch size and replayed for each token. Tokens, counters and
 * random numbers stay on the device, so nothing is read back until an image or a preview is needed.
 */
import type { Backend, Recording } from '../backend/backend.js';
import { checkOptions, type OptionTable } from '../core/options.js';
import type { Tensor } from '../core/tensor.js';
import { NO_MIN_P, sample } from '../ops/sample.js';
import { pause } from '../platform/runtime.js';
import { Acts } from './acts.js';
import { type AimParams, aimForward, aimState } from './aim.js';
import type { Condition, ConditionInputs } from './condition.js';
import { conditionOf } from './conditions.js';
import type { AimConfig } from './config.js';
import { checkGuidance, GUIDANCE, type GuidanceOptions, isPlain } from './guidance.js';
import { type MixInputs, modulationForward } from './modulation.js';

/** How tokens are drawn from the logits. What the model recommends (`AiM.sampling`) comes before the defaults named here. */
export interface SamplingOptions extends GuidanceOptions {
  /** Divides the logits. 0 always takes the most likely token. Default 1. */
  temperature?: number;
  /** Draw only from the k most likely tokens. 0 keeps all. Default 0. */
  topK?: number;
  /** Draw only from the smallest set of most likely tokens whose probabilities sum to p, in (0, 1]. 1 keeps all. Default 1. */
  topP?: number;
  /**
   * Draw only from tokens at least this many times as probable as the most likely one, in [0, 1] (min-p, Nguyen et al. 2024). 0 keeps
   * all. Default 0.
   */
  minP?: number;
  /** Position rows as in training, or with the off-by-one error of the authors' decoder. Default 'trained'. */
  positions?: 'trained' | 'authors';
}

export type Sampling = Required<SamplingOptions>;

/** Sampling settings that a model recommends, in the generation_config.json of its checkpoint. */
export type ModelSampling = Pick<SamplingOptions, 'cfgScale' | 'temperature' | 'topK' | 'topP' | 'minP'>;

export const SAMPLING = {
  ...GUIDANCE,
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
  minP: {
    type: 'number',
    min: 0,
    max: 1,
    default: 0,
    about: 'keep tokens at least this many times as probable as the most likely; 0 keeps all',
  },
  positions: {
    type: 'choice',
    choices: ['trained', 'authors'],
    default: 'trained',
    about: "position rows as in training, or the authors' decoder's off-by-one",
  },
} as const satisfies OptionTable<SamplingOptions>;

/** Fills in defaults. Throws OptionError with the option, its value and what is accepted. */
export function checkSampling(options: SamplingOptions): Sampling {
  const sampling = checkOptions<SamplingOptions, typeof SAMPLING>('sampling', options, SAMPLING);
  checkGuidance(sampling);
  // A very small temperature would overflow the scaled logits. Greedy sampling has the same effect.
  return sampling.temperature < 1e-4 ? { ...sampling, temperature: 1, topK: 1 } : sampling;
}

/** What a sampler can do besides drawing from a condition and a seed. Each costs memory and kernels, so it is asked for. */
export interface SamplerAbilities {
  /** Interpolate between two conditions, by what between.ts has for it. */
  mixes?: Pick<typeof import('./between.js'), 'mixForward'> | undefined;
  /** Take random words from the caller. */
  noise?: boolean;
  /** The result of `guidanceModule` for the sampling options: guidance of any kind but one scale on logits. */
  guidance?: GuidanceModule | undefined;
}

/** What `Sampler.start` may be given besides conditions and seeds; one entry for each sequence. */
export interface StartWith {
  /** The second condition and its share; a sampler that `mixes` needs them. */
  mix?: { values: readonly unknown[]; shares: readonly number[] } | undefined;
  /** T random words in place of those of the seed; a sampler with `noise` needs them. */
  noise?: readonly Uint32Array[] | undefined;
  /** The first tokens of the sequence, which are kept. */
  kept?: readonly Uint32Array[] | undefined;
}

type GuidanceModule = typeof import('./guidance_by_position.js');

/** What a Sampler needs besides for guidance of any kind but one scale on logits. A chunk of its own, because few pages ask for it. */
export const guidanceModule = async (s: Sampling): Promise<GuidanceModule | undefined> =>
  isPlain(s) ? undefined : import('./guidance_by_position.js');

/** Draws `count` sequences of tokens at a time with fixed sampling options. */
export class Sampler {
  /** u32 [count, T], filled from the left. */
  readonly tokens: Tensor;
  /** Logits [count, V] of the latest position, after guidance. */
  readonly logits: Tensor;
  /** u32 [count]: the number of positions drawn so far. */
  readonly step: Tensor;
  private readonly kind: Condition;
  private readonly inputs: ConditionInputs = {};
  private readonly second: MixInputs | undefined;
  private readonly seed: Tensor;
  /** u32 [count]: the number of tokens that are kept. */
  private readonly kept: Tensor;
  private readonly noise: Tensor | undefined;
  /** [T]: guidance by position, if it is not the same for all. */
  private scales: Tensor | undefined;
  private readonly state: ReturnType<typeof aimState>;
  private readonly condition: Recording;
  private readonly forward: Recording;
  private readonly draw: Recording;
  private readonly guided: boolean;

  /**
   * Allocates the tensors and records a step. Throws OutOfMemoryError if the device cannot hold the state of `count` sequences
   * (of twice as many with guidance).
   *
   * @param be The device, on which `params` are.
   * @param config The model's configuration.
   * @param params The parameters of stage 2 (`mamba.backbone`), which are only read.
   * @param count The number of sequences to draw at a time.
   * @param s Checked sampling options.
   * @param can What else it is asked for.
   */
  constructor(
    readonly be: Backend,
    private readonly config: AimConfig,
    params: AimParams,
    readonly count: number,
    s: Sampling,
    can: SamplerAbilities = {},
  ) {
    this.guided = s.cfgScale !== 1;
    this.kind = conditionOf(config.condition);
    const m = this.guided ? 2 * count : count;
    try {
      this.tokens = be.tensor([count, config.num_tokens], 'u32');
      this.step = be.tensor([count], 'u32');
      this.seed = be.tensor([count, 2], 'u32');
      this.kept = be.tensor([count], 'u32');
      if (can.noise) this.noise = be.tensor([count, config.num_tokens], 'u32');
      this.inputs = this.kind.inputs(be, config.condition, m);
      if (can.mixes) {
        const other = this.kind.inputs(be, config.condition, m);
        this.second = { other, share: be.tensor([m]), forward: can.mixes.mixForward };
      }
      this.state = aimState(be, config, m);
      const guide = isPlain(s) ? undefined : this.guideBy(can.guidance!, s);

      const conditioned = be.record(() => modulationForward(be, params, config, this.inputs, new Acts(be), this.second));
      this.condition = conditioned.recording;
      const stepped = be.record(() => {
        const logits = aimForward(be, params, config, {
          tokens: this.tokens,
          step: this.step,
          modulation: conditioned.result,
          length: 1,
          shift: s.positions === 'authors' ? 1 : 0,
          guidance: this.guided ? { scale: s.cfgScale, guide } : undefined,
          state: this.state.layers,
        });
        return be.reshape(logits, [count, config.vocab_size]);
      });
      this.forward = stepped.recording;
      this.logits = stepped.result;
      this.draw = be.record(() => {
        be.run(
          sample.forward,
          { logits: this.logits, seed: this.seed, kept: this.kept, noise: this.noise, step: this.step, tokens: this.tokens },
          // The op takes 32 bits, so limit k to the vocabulary, which means all tokens.
          {
            temperature: s.temperature,
            top_k: Math.min(s.topK, config.vocab_size),
            top_p: s.topP,
            log_min_p: Math.max(NO_MIN_P, Math.log(s.minP)),
          },
        );
      }).recording;
    } catch (error) {
      // The batch may be too large for the device. Free what was allocated so far.
      this.dispose();
      throw error;
    }
  }

  /** Compiles the kernels at the same time. The first step would compile them one by one. */
  async compile(): Promise<void> {
    await Promise.all([this.condition, this.forward, this.draw].map((recording) => recording.compile()));
  }

  private guideBy({ guidanceScales, guideForward }: GuidanceModule, s: Sampling) {
    const { be, step } = this;
    const scales = be.from(guidanceScales(s, this.config.num_tokens));
    this.scales = scales;
    return (logits: Tensor, y: Tensor) => guideForward(be, s.cfgOn, { logits, scales, step, y });
  }

  /**
   * Starts new images with a condition for each (for labels: a class number in [0, K)) and seeds, integers in [0, 2^53).
   *
   * Kept tokens pass through the same steps as drawn ones: `draw` leaves them as they are. So what follows them is, to the bit,
   * what follows when the same tokens were drawn. One pass over all of them would be faster, but rounds its sums differently.
   */
  start(values: readonly unknown[], seeds: readonly number[], { mix, noise, kept }: StartWith = {}): void {
    const { be, config } = this;
    const { num_tokens: T } = config;
    const unconditional = this.guided ? values.map(() => this.kind.unconditional(config.condition)) : [];
    this.kind.write(be, config.condition, this.inputs, [...values, ...unconditional]);
    if (this.second) {
      const { values: others, shares } = mix!;
      this.kind.write(be, config.condition, this.second.other, [...others, ...unconditional]);
      be.write(this.second.share, Float32Array.from([...shares, ...unconditional.map(() => 0)]));
    }
    be.write(this.seed, Uint32Array.from(seeds.flatMap((s) => [s >>> 0, Math.floor(s / 2 ** 32)])));
    for (const [i, words] of (noise ?? []).entries()) be.write(this.noise!, words, i * T);
    be.zero(this.step);
    be.zero(this.tokens);
    be.zero(this.kept);
    if (kept) {
      const tokens = new Uint32Array(this.count * T);
      for (const [i, one] of kept.entries()) tokens.set(one, i * T);
      be.write(this.tokens, tokens);
      be.write(
        this.kept,
        Uint32Array.from(kept, (one) => one.length),
      );
    }
    for (const arena of this.state.arenas) be.zero(arena);
    this.condition.replay();
  }

  /** Computes the logits of the next position and draws its token, for each sequence. */
  next(): void {
    this.forward.replay();
    this.draw.replay();
  }

  /** Computes the logits of the position in `step` without drawing a token. For checks that set the tokens themselves. */
  logitsOnly(): void {
    this.forward.replay();
  }

  /** Bytes moved and commands submitted to draw one token of each sequence. */
  get cost(): { bytes: number; commands: number } {
    const [forward, draw] = [this.forward.cost, this.draw.cost];
    return { bytes: forward.bytes + draw.bytes, commands: forward.commands + draw.commands };
  }

  /** Frees all tensors and recordings. */
  dispose(): void {
    for (const r of [this.draw, this.forward, this.condition]) r?.dispose();
    const { second } = this;
    this.be.free(this.tokens, this.step, this.seed, this.kept, this.noise, this.scales, second?.share);
    this.be.free(...Object.values(this.inputs), ...Object.values(second?.other ?? {}), ...(this.state?.arenas ?? []));
  }
}

/** Time of the last pause for the event loop. All batches share it, because many short batches would block the loop as well. */
let lastPause = 0;

/** Steps to submit between two waits for the device. */
const BLOCK = 4;
/**
 * How far encoding may run ahead of the device, in milliseconds: enough that the device never waits, but little enough that
 * aborts and progress stay prompt.
 */
const AHEAD_MS = 25;
/** The most blocks of steps that encoding may run ahead. */
const MOST_AHEAD = 6;

/**
 * Runs a started sampler until all `total` tokens are drawn. Encodes further blocks of steps while the device works on earlier
 * ones. Calls `onDone(n)` in order for each position n, from 1, when its token is drawn. Rejects with `signal.reason` when
 * aborted.
 */
export async function drawTokens(
  be: Backend,
  sampler: Sampler,
  total: number,
  { signal, onDone }: { signal?: AbortSignal | undefined; onDone?: ((drawn: number) => unknown) | undefined },
): Promise<void> {
  const block = be.traits.asynchronous ? BLOCK : 1;
  /** The submitted blocks, oldest first: the position at the end of each, and the promise that it is done. */
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
      // The first block has a single step, so that the device starts early.
      const until = Math.min(total, t === 0 ? 1 : t + block);
      for (; t < until; t++) sampler.next();
      const done = be.settle();
      // A failure is reported where the block is awaited, unless something else throws before that.
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
    // Wait for all submitted work, because the caller frees the tensors next.
    for (const { done } of running) await done.catch(() => {});
    await be.settle().catch(() => {});
    throw error;
  }
}

/** Options of classifier-free guidance: how strong it is at each position, and what it is applied to. */
import { OptionError } from '../core/errors.js';
import type { OptionTable } from '../core/options.js';
import type { Tensor } from '../core/tensor.js';

/** How guidance works on the images that are drawn. */
export interface GuidanceOptions {
  /** Classifier-free guidance w on the logits, u + (c − u)·w. 1 turns it off, which halves the work. Default 1.5. */
  cfgScale?: number;
  /**
   * How guidance grows over the T positions, from 1 to `cfgScale`: 1 + (w − 1)·f(x), x = t/(T − 1). 'constant': f = 1. 'linear': x
   * (Chang et al. 2023). 'cosine': (1 − cos πx)/2. 'power-cosine': (1 − cos πx^a)/2 with a = `cfgPower` (Gao et al. 2023). Default
   * 'constant'.
   */
  cfgSchedule?: 'constant' | 'linear' | 'cosine' | 'power-cosine';
  /** The power a of 'power-cosine': the larger, the later guidance grows. Default 2.75, as RAR-B draws (Yu et al. 2024). */
  cfgPower?: number;
  /**
   * Guidance acts from this share of the positions on: at t ≥ cfgStart·T. Before, images are drawn as with scale 1 (Kynkäänniemi et
   * al. 2024). Default 0.
   */
  cfgStart?: number;
  /** Guidance acts up to this share of the positions: at t < cfgEnd·T. Default 1. */
  cfgEnd?: number;
  /**
   * What is guided: 'logits', as the authors' code does it, or 'probabilities', as Eq. 11 of the AiM paper (arXiv 2408.12245) has it:
   * u + (c − u)·w of softmax(u) and softmax(c), where a result below 0 is 0. Temperature and cuts come after. Default 'logits'.
   */
  cfgOn?: 'logits' | 'probabilities';
}

export const GUIDANCE = {
  cfgScale: {
    type: 'number',
    min: 0,
    max: 1e6,
    default: 1.5,
    about: 'classifier-free guidance on the logits; 1 is off and twice as fast',
  },
  cfgSchedule: {
    type: 'choice',
    choices: ['constant', 'linear', 'cosine', 'power-cosine'],
    default: 'constant',
    about: 'how guidance grows over the positions, from 1 to the scale',
  },
  cfgPower: { type: 'number', min: 0, exclusiveMin: true, max: 100, default: 2.75, about: 'the power of power-cosine' },
  cfgStart: { type: 'number', min: 0, max: 1, default: 0, about: 'share of the positions from which on guidance acts' },
  cfgEnd: { type: 'number', min: 0, max: 1, default: 1, about: 'share of the positions up to which guidance acts' },
  cfgOn: {
    type: 'choice',
    choices: ['logits', 'probabilities'],
    default: 'logits',
    about: "what is guided: logits as in the authors' code, probabilities as in the paper",
  },
} as const satisfies OptionTable<GuidanceOptions>;

export type Checked = Required<GuidanceOptions>;

/** Throws OptionError where guidance acts at no position. */
export function checkGuidance({ cfgStart, cfgEnd }: Checked): void {
  if (cfgStart >= cfgEnd)
    throw new OptionError(
      `cfgStart is ${cfgStart} and cfgEnd ${cfgEnd}; cfgEnd must be larger (cfgScale 1 draws without guidance).`,
    );
}

/** Guidance of a recorded step. */
export interface Guidance {
  /** The scale w of logits, unless there is `guide`. */
  scale: number;
  /** Writes the guided logits y [b, V] of the logits [2b, V] of b conditional and b unconditional rows. */
  guide?: ((logits: Tensor, y: Tensor) => void) | undefined;
}

/** Whether guidance is the same at all positions, and on logits. */
export const isPlain = ({ cfgScale, cfgSchedule, cfgStart, cfgEnd, cfgOn }: Checked) =>
  cfgScale === 1 || (cfgSchedule === 'constant' && cfgStart === 0 && cfgEnd === 1 && cfgOn === 'logits');

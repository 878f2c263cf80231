/**
 * What `verify` allows, by how a model computes. Goldens are of the weights as they are stored, made in float64.
 *
 * Rounding to float16 moves a number above 6e-5 by at most u = 2^-11 of itself. Errors of many numbers add up by chance and grow with depth
 * and with differences of near numbers (norms, gradients). The figures below are, in whole powers of two times u, about three
 * times the most that was measured on the goldens of random weights; a trained model stays further below.
 */
import { type ModelHandle, modelOf } from '../model/handle.js';

/** Shares of a tensor's largest magnitude, unless said otherwise. */
export interface Tolerances {
  logits: number;
  /** Of the tokenizer, before they are quantized. */
  features: number;
  /** Decoded images. */
  pixels: number;
  loss: number;
  gradient: number;
  /** What rounding makes of a gradient that is 0: a share of the largest of all gradients. */
  vanishing: number;
  /** Error of a tensor's small gradients, of which AdamW makes whole steps: a share of its largest. */
  noise: number;
  /**
   * How close two candidates must be to change places: logits as a share of the largest, squared distances of normalised vectors
   * as a share of 4, the largest there is. Where numbers are rounded this is the tolerance of logits; float32 alone does better.
   */
  tie: number;
}

/** How a model computes, and what may therefore differ. */
export interface VerifyMode {
  name: 'reference' | 'f32' | 'f16 weights' | 'mixed';
  weights: string;
  products: string;
  /** Why results differ at all from the goldens. */
  reason: string;
  allowed: Readonly<Tolerances>;
}

const u = 2 ** -11;

const f32: Tolerances = {
  logits: 1e-4,
  features: 1e-4,
  pixels: 1e-3,
  loss: 1e-4,
  gradient: 1e-3,
  vanishing: 1e-6,
  noise: 1e-6,
  tie: 2.5e-6,
};

const MODES: Record<VerifyMode['name'], Pick<VerifyMode, 'reason' | 'allowed'>> = {
  reference: {
    reason: 'float64 throughout, goldens stored as float32',
    allowed: { ...f32, logits: 1e-5, features: 1e-5, pixels: 1e-5, loss: 1e-5, gradient: 1e-5 },
  },
  f32: { reason: 'float32 sums in another order', allowed: f32 },
  // Measured: logits 6.5e-4, features 1.3e-3, pixels 1.5e-3, losses 4e-6. Training has no such weights.
  'f16 weights': {
    reason: 'every element of a matrix rounded, by up to 2^-11 of itself',
    allowed: { ...f32, logits: 4 * u, features: 8 * u, pixels: 8 * u, loss: u, tie: 4 * u },
  },
  // Measured: logits 1.1e-3, features 1.7e-3, pixels 2.2e-3, losses 3.3e-4, gradients 8e-3, vanishing 2.9e-5.
  mixed: {
    reason: 'both factors of large matrix products rounded, by up to 2^-11 of themselves',
    allowed: {
      logits: 8 * u,
      features: 16 * u,
      pixels: 16 * u,
      loss: 2 * u,
      gradient: 64 * u,
      vanishing: u / 4,
      noise: 4 * u,
      tie: 8 * u,
    },
  },
};

/** How a model computes on its device, whatever was asked for. */
export function verifyMode(handle: ModelHandle): VerifyMode {
  const model = modelOf(handle);
  const { be, rounded } = model;
  const halves = [...model.named().values()].some(({ tensor }) => tensor.dtype === 'f16');
  const exact = be.name === 'reference';
  const name = be.traits.matrixUnits ? 'mixed' : rounded ? 'f16 weights' : exact ? 'reference' : 'f32';
  const wide = exact ? 'float64' : 'float32';
  const weights = rounded ? 'float16, rounded from what is stored' : halves ? 'float16, as they are stored' : wide;
  const missing = be.traits.roundsProducts ? ", since 'mixed' needs matrix units that this device does not have" : '';
  return {
    name,
    weights,
    products: be.traits.matrixUnits ? 'float16 factors, float32 sums' : `${wide}${missing}`,
    ...MODES[name],
  };
}

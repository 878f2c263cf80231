/**
 * The tolerances of `verify`, which depend on how a model computes. Goldens are computed in float64 with the weights as stored.
 *
 * Rounding to float16 changes a number above 6e-5 by at most u = 2^-11 of itself. The errors of many numbers add up randomly.
 * They grow with depth and where close numbers are subtracted (norms, gradients). The tolerances below are powers of two times u,
 * about three times the largest error measured on goldens with random weights. Trained models have smaller errors.
 */
import { type ModelHandle, modelOf } from '../model/handle.js';

/** Tolerances relative to a tensor's largest magnitude, unless stated otherwise. */
export interface Tolerances {
  logits: number;
  /** The tokenizer's features before quantization. */
  features: number;
  /** Pixels of decoded images. */
  pixels: number;
  loss: number;
  gradient: number;
  /** A gradient that would be 0 without rounding, relative to the largest value of all gradients. */
  vanishing: number;
  /** Error of small gradients, relative to the largest of the tensor. AdamW makes full steps even of small gradients. */
  noise: number;
  /**
   * Difference of two candidates below which they may swap: of logits relative to the largest one, of squared distances of
   * normalised vectors relative to 4, the maximum. With rounding it equals the tolerance of logits; with float32 it is smaller.
   */
  tie: number;
}

/** How a model computes, and the errors that this may cause. */
export interface VerifyMode {
  name: 'reference' | 'f32' | 'f16 weights' | 'mixed';
  /** The number format of the weights, as text. */
  weights: string;
  /** The number format of matrix products, as text. */
  products: string;
  /** The reason why results differ from the goldens. */
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

/** How a model really computes on its device, which may differ from the options that were given. */
export function verifyMode(handle: ModelHandle): VerifyMode {
  const model = modelOf(handle);
  const { be, rounded } = model;
  const halves = [...model.named().values()].some(({ tensor }) => tensor.dtype === 'f16');
  const exact = be.name === 'reference';
  const name =
    be.traits.matrixUnits || be.traits.halfActivations ? 'mixed' : rounded ? 'f16 weights' : exact ? 'reference' : 'f32';
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

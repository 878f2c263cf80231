/**
 * Numbers on which specs and assembly kernels must agree. AssemblyScript compiles this file too, so it has nothing but integer
 * constants, and functions of `number` (f64 there).
 */

/** Elements of which `mse` makes one sum. */
export const MSE_CHUNK = 16384;

/** Elements of which `square_sum` makes one sum. */
export const SQUARE_SUM_CHUNK = 16384;

/** Positions between two states that `selective_scan.backward_states` stores. */
export const SCAN_CHUNK = 16;

/** Channels whose dB and dC `selective_scan.backward` adds up, for n states a channel. */
export function scanBlock(n: number): number {
  return n <= 16 ? 64 : n <= 32 ? 32 : 16;
}

/** Indices into `hyper`, what AdamW needs of a step; `clip` sets GRAD_SCALE and SKIP on the device. */
export const LR = 0;
export const BETA1 = 1;
export const BETA2 = 2;
export const EPS = 3;
export const BIAS1 = 4;
export const BIAS2 = 5;
export const GRAD_SCALE = 6;
export const SKIP = 7;

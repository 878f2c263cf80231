/**
 * Numbers that specs and assembly kernels share. AssemblyScript compiles this file too, so that it may contain only integer
 * constants and functions of `number`, which is f64 in AssemblyScript.
 */

/** Number of elements in each sum of `mse`. */
export const MSE_CHUNK = 16384;

/** Number of elements in each sum of `square_sum`. */
export const SQUARE_SUM_CHUNK = 16384;

/** Distance in positions between two states that `selective_scan.backward_states` stores. */
export const SCAN_CHUNK = 16;

/** Number of channels whose dB and dC `selective_scan.backward` adds up, for n states in each channel. */
export function scanBlock(n: number): number {
  return n <= 16 ? 64 : n <= 32 ? 32 : 16;
}

/** Indices into `hyper`, which holds AdamW's values for a step. `clip` sets GRAD_SCALE and SKIP on the device. */
export const LR = 0;
export const BETA1 = 1;
export const BETA2 = 2;
export const EPS = 3;
export const BIAS1 = 4;
export const BIAS2 = 5;
export const GRAD_SCALE = 6;
export const SKIP = 7;

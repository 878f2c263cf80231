/** Repeated timing, and what the figures are compared with. */
import { performance } from 'node:perf_hooks';
import type { Backend } from '../../backend/backend.js';
import { noise } from '../../backend/tune.js';
import { WebGpuBackend } from '../../backend/webgpu.js';
import { BYTES, type Tensor } from '../../core/tensor.js';
import { linear } from '../../ops/linear.js';
import { widen } from '../../ops/widen.js';

export interface Timing {
  /** Milliseconds. */
  median: number;
  fastest: number;
  slowest: number;
}

/** Milliseconds of warm-up: a GPU that was idle takes that long to raise its clock. */
const WARM_UP = 300;

export function timing(times: readonly number[]): Timing {
  const sorted = times.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return {
    median: (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2,
    fastest: sorted[0]!,
    slowest: sorted.at(-1)!,
  };
}

/** Times `fn` once the device is warm. */
export async function timed(
  runs: number,
  fn: () => Promise<unknown>,
  signal: AbortSignal | undefined,
  warmUp = WARM_UP,
): Promise<Timing> {
  const times: number[] = [];
  signal?.throwIfAborted();
  // The first call may compile kernels, for which the GPU waits; it is no part of the warm-up.
  await fn();
  const begin = performance.now();
  while (performance.now() - begin < warmUp) {
    signal?.throwIfAborted();
    await fn();
  }
  for (let i = 0; i < runs; i++) {
    signal?.throwIfAborted();
    const start = performance.now();
    await fn();
    times.push(performance.now() - start);
  }
  return timing(times);
}

/** Time of one of the `calls` that `fn` records, repeated until about `budget` ms are measured, waiting only at the end. */
export async function perCall(
  be: Backend,
  runs: number,
  budget: number,
  fn: () => void,
  signal: AbortSignal | undefined,
  calls = 1,
): Promise<Timing> {
  const { recording } = be.record(fn);
  try {
    const burst = (n: number) => async () => {
      for (let i = 0; i < n; i++) recording.replay();
      await be.settle();
    };
    await burst(1)();
    const once = (await timed(1, burst(1), signal, 0)).median;
    const n = Math.max(1, Math.min(200, Math.round(budget / Math.max(once, 0.01))));
    const { median, fastest, slowest } = await timed(runs, burst(n), signal, budget);
    const each = n * calls;
    return { median: median / each, fastest: fastest / each, slowest: slowest / each };
  } finally {
    recording.dispose();
  }
}

/** Bytes that no cache holds. */
const UNCACHED = 2 ** 27;

/** Bytes a second of a plain copy on the device, far larger than its caches: the ceiling of everything that waits for memory. */
export async function copyBandwidth(be: Backend, runs: number, signal: AbortSignal | undefined): Promise<number> {
  const most = be instanceof WebGpuBackend ? be.device.limits.maxStorageBufferBindingSize : UNCACHED;
  const n = Math.min(2 * UNCACHED, most) / 4;
  const [x, y] = [be.tensor([n]), be.tensor([n])];
  try {
    be.write(x, noise(n));
    const { median } = await perCall(be, runs, 50, () => be.run(widen.forward, { x, y }), signal);
    return (8 * n * 1000) / median;
  } finally {
    be.free(x, y);
  }
}

/** FLOP/s of a square product of f32 tensors: 4096³, or the largest before that takes a slow device longer than a moment. */
export async function gemmCeiling(
  be: Backend,
  runs: number,
  signal: AbortSignal | undefined,
): Promise<{ size: number; rate: number }> {
  for (let size = 256; ; size *= 2) {
    const { median } = await gemm(be, { m: size, n: size, k: size }, 'f32', runs, signal);
    if (size === 4096 || median > 10) return { size, rate: (2 * size ** 3 * 1000) / median };
  }
}

export interface GemmShape {
  m: number;
  n: number;
  k: number;
}

/** Time of y = x·wᵀ. */
export async function gemm(
  be: Backend,
  { m, n, k }: GemmShape,
  dtype: 'f32' | 'f16',
  runs: number,
  signal: AbortSignal | undefined,
): Promise<Timing> {
  const weights = matrices(be, n, k, dtype, 1);
  try {
    return await products(be, m, weights, runs, signal);
  } finally {
    be.free(...weights);
  }
}

/** Time of y = x·wᵀ for each m of `rows`, with another w each time, as in generation, so that w comes from memory. */
export async function* gemmUncached(
  be: Backend,
  rows: readonly number[],
  { n, k }: Omit<GemmShape, 'm'>,
  dtype: 'f32' | 'f16',
  runs: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<[m: number, t: Timing]> {
  const weights = matrices(be, n, k, dtype, Math.ceil(UNCACHED / (n * k * BYTES[dtype])));
  try {
    for (const m of rows) yield [m, await products(be, m, weights, runs, signal)];
  } finally {
    be.free(...weights);
  }
}

function matrices(be: Backend, n: number, k: number, dtype: 'f32' | 'f16', count: number): Tensor[] {
  const values = noise(n * k, 1 / Math.sqrt(k));
  return Array.from({ length: count }, () => {
    const w = be.tensor([n, k], dtype);
    be.write(w, values);
    return w;
  });
}

/** Time of one product of m rows with one of `weights`. */
async function products(
  be: Backend,
  m: number,
  weights: readonly Tensor[],
  runs: number,
  signal: AbortSignal | undefined,
): Promise<Timing> {
  const [n, k] = weights[0]!.shape as [number, number];
  const [x, y] = [be.tensor([m, k]), be.tensor([m, n])];
  // Few rows as a token's step has them.
  const product = m <= 128 ? linear.step : linear.forward;
  try {
    be.write(x, noise(m * k));
    const all = () => {
      for (const w of weights) be.run(product, { x, w, y });
    };
    return await perCall(be, runs, 50, all, signal, weights.length);
  } finally {
    be.free(x, y);
  }
}

/** The exponent of `cost ~ size^e`, by least squares of the logarithms. */
export function exponent(points: readonly (readonly [size: number, cost: number])[]): number {
  const logs = points.map(([x, y]) => [Math.log(x), Math.log(y)] as const);
  const mean = (i: 0 | 1) => logs.reduce((sum, p) => sum + p[i], 0) / logs.length;
  const [mx, my] = [mean(0), mean(1)];
  const over = logs.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0);
  return over / logs.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
}

/** Repeated timing, and what the figures are compared with. */
import { performance } from 'node:perf_hooks';
import type { Backend } from '../../backend/backend.js';
import { linear, widen } from '../../ops/index.js';

export interface Timing {
  /** Milliseconds. */
  median: number;
  fastest: number;
  slowest: number;
}

/** Milliseconds of warm-up: a GPU that was idle takes that long to raise its clock. */
const WARM_UP = 300;

/** Times `fn` once the device is warm. */
export async function timed(runs: number, fn: () => Promise<unknown>, signal?: AbortSignal, warmUp = WARM_UP): Promise<Timing> {
  const times: number[] = [];
  const begin = performance.now();
  do {
    signal?.throwIfAborted();
    await fn();
  } while (performance.now() - begin < warmUp);
  for (let i = 0; i < runs; i++) {
    signal?.throwIfAborted();
    const start = performance.now();
    await fn();
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  const at = (q: number) => times[Math.floor(q * (times.length - 1))]!;
  const median = (at(0.5) + times[times.length >> 1]!) / 2;
  return { median, fastest: at(0), slowest: at(1) };
}

/** Milliseconds of one call of what `fn` records, repeated until about `budget` ms are measured, waiting only at the end. */
export async function perCall(be: Backend, runs: number, budget: number, fn: () => void): Promise<Timing> {
  const { recording } = be.record(fn);
  try {
    const burst = (n: number) => async () => {
      for (let i = 0; i < n; i++) recording.replay();
      await be.settle();
    };
    await burst(1)();
    const once = (await timed(1, burst(1), undefined, 0)).median;
    const n = Math.max(1, Math.min(200, Math.round(budget / Math.max(once, 0.01))));
    const { median, fastest, slowest } = await timed(runs, burst(n), undefined, budget);
    return { median: median / n, fastest: fastest / n, slowest: slowest / n };
  } finally {
    recording.dispose();
  }
}

/** Values around zero; a short stretch repeated, since making millions would take longer than the measurement. */
export function noise(n: number, scale = 1): Float32Array {
  const stretch = Float32Array.from({ length: Math.min(n, 65521) }, () => (Math.random() * 2 - 1) * scale);
  const out = new Float32Array(n);
  for (let at = 0; at < n; at += stretch.length) out.set(stretch.subarray(0, Math.min(stretch.length, n - at)), at);
  return out;
}

/** Bytes a second of a plain copy on the device: the ceiling of everything that waits for memory. */
export async function copyBandwidth(be: Backend, runs: number): Promise<number> {
  const n = be.name === 'webgpu' ? 2 ** 25 : 2 ** 22;
  const [x, y] = [be.tensor([n]), be.tensor([n])];
  be.write(x, noise(n));
  const { median } = await perCall(be, runs, 50, () => be.run(widen.forward, { x, y }));
  be.free(x, y);
  return (8 * n * 1000) / median;
}

export interface GemmShape {
  m: number;
  n: number;
  k: number;
}

/** Seconds of y = x·wᵀ. */
export async function gemm(be: Backend, { m, n, k }: GemmShape, dtype: 'f32' | 'f16', runs: number): Promise<Timing> {
  const x = be.tensor([m, k], 'f32');
  const w = be.tensor([n, k], dtype);
  const y = be.tensor([m, n]);
  be.write(x, noise(m * k));
  be.write(w, noise(n * k, 1 / Math.sqrt(k)));
  const t = await perCall(be, runs, 50, () => be.run(linear.forward, { x, w, y }));
  be.free(x, w, y);
  return t;
}

/** The exponent of `cost ~ size^e`, by least squares of the logarithms. */
export function exponent(points: readonly (readonly [size: number, cost: number])[]): number {
  const logs = points.map(([x, y]) => [Math.log(x), Math.log(y)] as const);
  const mean = (i: 0 | 1) => logs.reduce((sum, p) => sum + p[i], 0) / logs.length;
  const [mx, my] = [mean(0), mean(1)];
  const over = logs.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0);
  return over / logs.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
}

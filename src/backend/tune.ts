/** Measures the candidates of every choice that plans have offered on this device (tuning.ts) and takes the fastest. */

import type { Progress } from '../core/progress.js';
import type { Tensor } from '../core/tensor.js';
import type { Question } from './tuning.js';
import type { WebGpuBackend } from './webgpu.js';

type GpuRecording = ReturnType<WebGpuBackend['record']>['recording'];

/** One choice and its measurements. */
export interface TunedKernel {
  /** The kernel, the name of the choice, and the sizes of the call that it applies to. */
  kernel: string;
  /** The candidate used without tuning. */
  usual: number;
  /** The candidate used from now on. */
  chosen: number;
  /** Milliseconds of a call, by candidate. Candidates that the device refuses are missing. */
  ms: Record<number, number>;
}

/** Milliseconds of work in one measurement. */
const BURST = 4;
/** Measurements of each candidate, alternating with the other candidates. */
const ROUNDS = 5;
const MOST_CALLS = 1000;
/** Share of the time that a candidate must save to replace the usual one. Smaller differences are noise. */
const GAIN = 0.03;

/** Measures the choices of `be` that are still open. Rejects with `signal.reason` when aborted. */
export async function tuneKernels(
  be: WebGpuBackend,
  { signal, onProgress }: { signal?: AbortSignal | undefined; onProgress?: ((progress: Progress) => void) | undefined } = {},
): Promise<TunedKernel[]> {
  const { choices, questions } = be.tuning;
  const open = [...questions.values()].filter((q) => !choices.has(q.key));
  const tuned: TunedKernel[] = [];
  const report = () => onProgress?.({ phase: 'tune', loaded: tuned.length, total: open.length });
  for (const q of open) {
    report();
    const ms = await compare(be, q, signal);
    const at = (candidate: number) => ms[candidate] ?? Number.POSITIVE_INFINITY;
    const fastest = q.candidates.reduce((a, b) => (at(b) < at(a) ? b : a));
    const chosen = at(fastest) < (1 - GAIN) * at(q.usual) ? fastest : q.usual;
    choices.set(q.key, chosen);
    tuned.push({ kernel: q.key, usual: q.usual, chosen, ms });
  }
  report();
  return tuned;
}

/** Measures the milliseconds of a call with each candidate. */
async function compare(be: WebGpuBackend, q: Question, signal: AbortSignal | undefined): Promise<Record<number, number>> {
  const { choices } = be.tuning;
  const tensors: Record<string, Tensor> = {};
  const calls: { candidate: number; recording: GpuRecording; times: number; best: number }[] = [];
  try {
    for (const [name, { shape, dtype }] of Object.entries(q.tensors)) {
      const t = be.tensor(shape, dtype);
      tensors[name] = t;
      be.write(t, dtype === 'u32' ? new Uint32Array(t.size) : noise(t.size));
    }
    for (const candidate of q.candidates) {
      signal?.throwIfAborted();
      choices.set(q.key, candidate);
      let recording: GpuRecording | undefined;
      const once = await tried(be.device, async () => {
        recording = be.record(() => be.run(q.entry, tensors as never, q.attrs as never)).recording;
        // The first run compiles the pipeline.
        await time(be, recording, 1);
        return time(be, recording, 1);
      });
      if (once === undefined) recording?.dispose();
      else calls.push({ candidate, recording: recording!, times: Math.min(MOST_CALLS, Math.ceil(BURST / once)), best: once });
    }
    for (let round = 0; round < ROUNDS; round++) {
      for (const call of calls) {
        signal?.throwIfAborted();
        call.best = Math.min(call.best, (await time(be, call.recording, call.times)) / call.times);
      }
    }
  } finally {
    choices.delete(q.key);
    for (const { recording } of calls) recording.dispose();
    be.free(...Object.values(tensors));
  }
  return Object.fromEntries(calls.map(({ candidate, best }) => [candidate, best]));
}

/** Milliseconds that the device takes to run a recording `times` times. Encoding happens before and is not measured. */
async function time(be: WebGpuBackend, { commands }: GpuRecording, times: number): Promise<number> {
  await be.settle();
  const encoded = be.encode(Array.from({ length: times }, () => commands).flat());
  const start = performance.now();
  be.device.queue.submit([encoded]);
  await be.settle();
  return performance.now() - start;
}

/** The result of `work`; undefined if the device refuses something in it, such as a pipeline or memory. */
async function tried<R>(device: GPUDevice, work: () => Promise<R>): Promise<R | undefined> {
  const scopes = ['validation', 'out-of-memory', 'internal'] as const;
  for (const scope of scopes) device.pushErrorScope(scope);
  let result: R;
  let errors: (GPUError | null)[];
  try {
    result = await work();
  } finally {
    errors = await Promise.all(scopes.map(() => device.popErrorScope().catch(() => null)));
  }
  return errors.some((error) => error) ? undefined : result;
}

/** n random values in ±scale. A short sequence is repeated, because drawing millions of values would outlast the measurement. */
export function noise(n: number, scale = 1): Float32Array {
  const stretch = Float32Array.from({ length: Math.min(n, 65521) }, () => (Math.random() * 2 - 1) * scale);
  const out = new Float32Array(n);
  for (let at = 0; at < n; at += stretch.length) out.set(stretch.subarray(0, Math.min(stretch.length, n - at)), at);
  return out;
}

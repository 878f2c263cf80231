/**
 * Dawn's binding polls for the GPU in a loop that keeps a core busy (its AsyncRunner queues the next poll with setImmediate). With a
 * software GPU that core is better spent on the GPU's own threads, so tests sleep a little in each turn of that loop.
 */
import { globals } from 'webgpu';

const SLEEP = 0.5; // ms

const { setImmediate } = globalThis;
const cell = new Int32Array(new SharedArrayBuffer(4));
let waits = 0;

function turn(): void {
  if (waits === 0) return;
  Atomics.wait(cell, 0, 0, SLEEP);
  setImmediate(turn);
}

function sleepDuring(type: string, method: string): void {
  const { prototype } = (
    globals as unknown as Record<string, { prototype: Record<string, (...args: unknown[]) => Promise<unknown>> }>
  )[type]!;
  const original = prototype[method]!;
  prototype[method] = function (...args) {
    const result = original.apply(this, args);
    if (waits++ === 0) setImmediate(turn);
    const end = () => {
      waits--;
    };
    result.then(end, end);
    return result;
  };
}

sleepDuring('GPUBuffer', 'mapAsync');
sleepDuring('GPUQueue', 'onSubmittedWorkDone');

/**
 * Dawn's binding polls for the GPU in a loop that keeps a core busy (its AsyncRunner queues the next poll with setImmediate). With a
 * software GPU that core is better spent on the GPU's own threads, so in long waits tests sleep a little in each turn of that loop.
 */
import { globals } from 'webgpu';

/** In ms. Short waits, of which there are thousands, are not worth a sleep. */
const SHORT = 4;
const LONGEST_SLEEP = 1;
/** Sleeps may add this share to a wait. */
const SHARE = 1 / 8;

const { setImmediate } = globalThis;
const cell = new Int32Array(new SharedArrayBuffer(4));
let waits = 0;
/** When the last wait ended or the first one began. */
let since = 0;

function turn(): void {
  if (waits === 0) return;
  const elapsed = performance.now() - since;
  if (elapsed > SHORT) Atomics.wait(cell, 0, 0, Math.min(LONGEST_SLEEP, elapsed * SHARE));
  setImmediate(turn);
}

type Waiting = Record<string, (...args: unknown[]) => Promise<unknown>>;

function sleepDuring(type: string, method: string): void {
  const { prototype } = (globals as unknown as Record<string, { prototype: Waiting }>)[type]!;
  const original = prototype[method]!;
  prototype[method] = function (...args) {
    const result = original.apply(this, args);
    if (waits++ === 0) {
      since = performance.now();
      setImmediate(turn);
    }
    const end = () => {
      waits--;
      since = performance.now();
    };
    result.then(end, end);
    return result;
  };
}

sleepDuring('GPUBuffer', 'mapAsync');
sleepDuring('GPUQueue', 'onSubmittedWorkDone');

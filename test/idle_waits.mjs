/**
 * Dawn's binding polls for the GPU in a loop that keeps a core busy (its AsyncRunner queues the next poll with setImmediate). With a
 * software GPU that core is better spent on the GPU's own threads, so in long waits tests, and Node processes that they start, sleep
 * a little in each turn of that loop.
 */
import { globals } from 'webgpu';

/** In ms. Short waits, of which there are thousands, are not worth a sleep. */
const SHORT = 4;
const LONGEST_SLEEP = 1;
/** Sleeps may add this share to a wait. */
const SHARE = 1 / 8;

/** A wait on a lost device may never end. After this time it is taken for one. */
const ENDLESS = 3000;

const { setImmediate } = globalThis;
const cell = new Int32Array(new SharedArrayBuffer(4));
/** When each wait began. */
const waits = new Map();
/** When a wait last began or ended. */
let since = 0;

function turn() {
  const now = performance.now();
  for (const [wait, begun] of waits) if (now - begun > ENDLESS) waits.delete(wait);
  if (waits.size === 0) return;
  if (now - since > SHORT) Atomics.wait(cell, 0, 0, Math.min(LONGEST_SLEEP, (now - since) * SHARE));
  setImmediate(turn).unref();
}

function sleepDuring(type, method) {
  const { prototype } = globals[type];
  const original = prototype[method];
  prototype[method] = function (...args) {
    const result = original.apply(this, args);
    since = performance.now();
    if (waits.size === 0) setImmediate(turn).unref();
    waits.set(result, since);
    const end = () => {
      waits.delete(result);
      since = performance.now();
    };
    result.then(end, end);
    return result;
  };
}

// Setup files run once for each test file, also where files share a process.
if (!globalThis.idleWaits) {
  sleepDuring('GPUBuffer', 'mapAsync');
  sleepDuring('GPUQueue', 'onSubmittedWorkDone');
  globalThis.idleWaits = true;
}

/**
 * Where threads share kernel calls: a few words of shared memory. A call is posted cut in parts; whoever is free takes the next
 * one, the poster included. So a helper that sleeps or comes late costs nothing but its help, and only parts already begun are
 * waited for.
 */
export type Kernel = (...args: number[]) => unknown;

/** An instance's exports, in the module's order. */
export const kernelsOf = (instance: WebAssembly.Instance) => Object.entries(instance.exports) as [string, Kernel][];

export interface Board {
  words: Int32Array<SharedArrayBuffer>;
  args: Float64Array<SharedArrayBuffer>;
}

/** Parts that nobody took yet, or less than 0; parts done. */
const LEFT = 0;
const DONE = 1;
/** What the parts are of. */
const PARTS = 2;
const KERNEL = 3;
const ARGS = 4;
const STRIDE = 5;
const FAILED = 6;
/** Helpers that sleep. */
const ASLEEP = 7;

/** Looks at the board before a thread sleeps: about 50 µs, longer than what one thread does between two shared calls. */
const LOOKS = 10000;

export function newBoard(): Board {
  return { words: new Int32Array(new SharedArrayBuffer(32)), args: new Float64Array(new SharedArrayBuffer(8 * 60)) };
}

/**
 * Runs kernel number `kernel` in parts. Its arguments are `args`, the last (scratch memory) moved on by `stride` for each thread,
 * then part and parts. False: a part failed.
 */
export function share(
  { words, args }: Board,
  kernels: readonly Kernel[],
  kernel: number,
  values: readonly number[],
  stride: number,
  parts: number,
): boolean {
  args.set(values);
  words[PARTS] = parts;
  words[KERNEL] = kernel;
  words[ARGS] = values.length;
  words[STRIDE] = stride;
  words[FAILED] = 0;
  words[DONE] = 0;
  Atomics.store(words, LEFT, parts);
  if (Atomics.load(words, ASLEEP) > 0) Atomics.notify(words, LEFT, parts - 1);
  take({ words, args }, kernels, 0);
  // A page's own thread may not sleep; others leave the processor to who computes.
  const maySleep = !('document' in globalThis);
  for (let looks = 0; ; looks++) {
    const done = Atomics.load(words, DONE);
    if (done === parts) return words[FAILED] === 0;
    if (maySleep && looks > LOOKS) Atomics.wait(words, DONE, done);
  }
}

/** A helper's life: takes parts as they come, and sleeps when none came for a while. */
export function serve(board: Board, kernels: readonly Kernel[], thread: number): never {
  const { words } = board;
  for (;;) {
    take(board, kernels, thread);
    for (let looks = 0; looks < LOOKS && Atomics.load(words, LEFT) <= 0; looks++);
    const left = Atomics.load(words, LEFT);
    if (left > 0) continue;
    // Said before `wait` looks at LEFT again, which the poster changes before it asks who sleeps: one of the two sees the other.
    Atomics.add(words, ASLEEP, 1);
    Atomics.wait(words, LEFT, left);
    Atomics.sub(words, ASLEEP, 1);
  }
}

/** Takes parts until none is left. */
function take({ words, args }: Board, kernels: readonly Kernel[], thread: number): void {
  while (Atomics.load(words, LEFT) > 0) {
    const part = Atomics.sub(words, LEFT, 1) - 1;
    if (part < 0) return;
    // Until this part is done, the board stays as it is.
    const parts = words[PARTS]!;
    const values = Array.from(args.subarray(0, words[ARGS]));
    values[values.length - 1]! += thread * words[STRIDE]!;
    try {
      kernels[words[KERNEL]!]!(...values, part, parts);
    } catch {
      words[FAILED] = 1;
    }
    if (Atomics.add(words, DONE, 1) === parts - 1 && thread > 0) Atomics.notify(words, DONE);
  }
}

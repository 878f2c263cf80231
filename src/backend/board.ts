/**
 * How threads share a kernel call: through a few words of shared memory, the board. The main thread posts a call divided into
 * parts. Every free thread, the main thread included, takes the next part. A helper that sleeps or wakes late therefore delays
 * nothing: only parts that were already taken are waited for.
 */
export type Kernel = (...args: number[]) => unknown;

/** The exports of an instance, in the order of its module. */
export const kernelsOf = (instance: WebAssembly.Instance) => Object.entries(instance.exports) as [string, Kernel][];

/** The shared memory: state words (indices below) and the arguments of the posted call. */
export interface Board {
  words: Int32Array<SharedArrayBuffer>;
  args: Float64Array<SharedArrayBuffer>;
}

/** Parts not taken yet; 0 or less if there are none. */
const LEFT = 0;
/** Parts that are done. */
const DONE = 1;
/** The posted call: the number of its parts, kernel, number of arguments and scratch stride; FAILED is set if a part throws. */
const PARTS = 2;
const KERNEL = 3;
const ARGS = 4;
const STRIDE = 5;
const FAILED = 6;
/** The number of helpers that sleep. */
const ASLEEP = 7;

/** How often a thread polls the board before it sleeps: about 50 µs, more than the usual time between two shared calls. */
const POLLS = 10000;

/** A new board without a call. */
export function newBoard(): Board {
  return { words: new Int32Array(new SharedArrayBuffer(32)), args: new Float64Array(new SharedArrayBuffer(8 * 60)) };
}

/**
 * Runs kernel number `kernel` in `parts` parts. The kernel receives `values`, then the number of its part and `parts`. The last
 * of the values is the address of scratch memory, which moves by `stride` bytes for each thread. Returns false if a part failed.
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
  // The main thread of a page must not block; other threads yield the processor to the threads that compute.
  const maySleep = !('document' in globalThis);
  for (let polls = 0; ; polls++) {
    const done = Atomics.load(words, DONE);
    if (done === parts) return words[FAILED] === 0;
    if (maySleep && polls > POLLS) Atomics.wait(words, DONE, done);
  }
}

/** The main loop of a helper: takes parts as they are posted, and sleeps after POLLS polls without one. */
export function serve(board: Board, kernels: readonly Kernel[], thread: number): never {
  const { words } = board;
  for (;;) {
    take(board, kernels, thread);
    for (let polls = 0; polls < POLLS && Atomics.load(words, LEFT) <= 0; polls++);
    const left = Atomics.load(words, LEFT);
    if (left > 0) continue;
    // Increment ASLEEP before waiting on LEFT. The main thread stores LEFT before it reads ASLEEP, so no wake-up is lost.
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
    // The board does not change until this part is done.
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

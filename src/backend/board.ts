/**
 * Where threads share kernel calls. A call is posted cut in parts; whoever is free takes the next one, the poster included. So a
 * helper that sleeps or comes late costs nothing but its help, and only parts already begun are waited for.
 */
export type Kernel = (...args: number[]) => void;

/** What `WebAssembly.instantiate` needs of a module's exports: the same order in each instance. */
export const kernelsOf = (instance: WebAssembly.Instance) => Object.entries(instance.exports) as [string, Kernel][];

/** Words of a board: parts that nobody took yet (or less than 0), parts done, then what the parts are of. */
const [LEFT, DONE, PARTS, KERNEL, ARGS, STRIDE, FAILED, ASLEEP] = [0, 1, 2, 3, 4, 5, 6, 7] as const;
const WORDS_BYTES = 32;
const MOST_ARGS = 60;

/** Looks at the board before a helper sleeps: about 50 µs, longer than what one thread does between two shared calls. */
const LOOKS = 10000;

export class Board {
  private readonly words: Int32Array;
  private readonly args: Float64Array;

  constructor(readonly buffer = new SharedArrayBuffer(WORDS_BYTES + 8 * MOST_ARGS)) {
    this.words = new Int32Array(buffer, 0, WORDS_BYTES / 4);
    this.args = new Float64Array(buffer, WORDS_BYTES);
  }

  /**
   * Runs kernel number `kernel` in parts. Its arguments are `args`, the last (scratch memory) moved on by `stride` for each
   * thread, then part and parts. False: a part failed.
   */
  run(kernels: readonly Kernel[], kernel: number, args: readonly number[], stride: number, parts: number): boolean {
    const { words } = this;
    this.args.set(args);
    words[PARTS] = parts;
    words[KERNEL] = kernel;
    words[ARGS] = args.length;
    words[STRIDE] = stride;
    words[FAILED] = 0;
    words[DONE] = 0;
    Atomics.store(words, LEFT, parts);
    if (Atomics.load(words, ASLEEP) > 0) Atomics.notify(words, LEFT, parts - 1);
    this.take(kernels, 0);
    // A browser's main thread may not sleep, and a part is short.
    while (Atomics.load(words, DONE) < parts);
    return words[FAILED] === 0;
  }

  /** A helper's life: takes parts as they come, and sleeps when none came for a while. */
  serve(kernels: readonly Kernel[], thread: number): never {
    const { words } = this;
    for (;;) {
      this.take(kernels, thread);
      for (let looks = 0; looks < LOOKS && Atomics.load(words, LEFT) <= 0; looks++);
      const left = Atomics.load(words, LEFT);
      if (left > 0) continue;
      // Said before `left` is looked at again, which the poster changes before it asks who sleeps: one of the two sees the other.
      Atomics.add(words, ASLEEP, 1);
      Atomics.wait(words, LEFT, left);
      Atomics.sub(words, ASLEEP, 1);
    }
  }

  /** Takes parts until none is left. */
  private take(kernels: readonly Kernel[], thread: number): void {
    const { words } = this;
    while (Atomics.load(words, LEFT) > 0) {
      const part = Atomics.sub(words, LEFT, 1) - 1;
      if (part < 0) return;
      // Until this part is done, the board stays as it is.
      const args = Array.from(this.args.subarray(0, words[ARGS]));
      args[args.length - 1]! += thread * words[STRIDE]!;
      try {
        kernels[words[KERNEL]!]!(...args, part, words[PARTS]!);
      } catch {
        words[FAILED] = 1;
      }
      Atomics.add(words, DONE, 1);
    }
  }
}

/**
 * SIMD WebAssembly: every op is one exported function over linear memory. With several threads the memory is shared, and helper
 * threads that run the same module take parts of large calls (board.ts). Kernels write only to their outputs and their scratch
 * memory, never to static data, so threads do not interfere.
 */
import deflated from '../../build/aim.wasm';
import { DeviceError, OutOfMemoryError } from '../core/errors.js';
import type { NumArray, Storage, Tensor } from '../core/tensor.js';
import type { AnyEntry } from '../ops/spec.js';
import type { Thread } from '../platform/thread.js';
import { Backend, type Command, type Cost, type Profile, SYNCHRONOUS, tally } from './backend.js';
import { type Board, type Kernel, kernelsOf, newBoard, share } from './board.js';
import { Heap } from './heap.js';

interface WasmStorage extends Storage {
  /** Address in linear memory. */
  at: number;
}

interface WasmCommand extends Command {
  run(): void;
}

const PAGE = 65536;
/** wasm32 addresses 4 GiB. The last page stays unused, so that end addresses fit in 32 bits. */
const MAX_PAGES = 65535;
const LIMITS = { initial: 2, maximum: 65536 };
/** The address where tensors begin. The static data of all binaries is below it (asconfig.json). */
const HEAP = LIMITS.initial * PAGE;

/** Floating-point operations for which sharing a part with another thread pays off: about 30 µs of work. */
const PART_FLOPS = 500_000;

/** How to open the WASM backend. */
export interface WasmOptions {
  /** Threads to compute with, including this one. Only one is used if memory cannot be shared or workers fail. Default 1. */
  threads?: number;
  /** Minimum floating-point operations of a part. A value below the default makes threads share small calls too. */
  partFlops?: number;
  /** URL to fetch the module from instead of the copy in the bundle (for a Content-Security-Policy that requires it). */
  wasmUrl?: string | URL;
  signal?: AbortSignal;
}

/** The bundle's compiled module, for plain and for shared memory. */
const bundled: { plain?: Promise<WebAssembly.Module>; shared?: Promise<WebAssembly.Module> } = {};

function inflate(base64: string): Promise<ArrayBuffer> {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  // The Blob of jsdom, in which many projects run their tests, has no stream().
  const stream = new ReadableStream<BufferSource>({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
  return new Response(stream.pipeThrough(new DecompressionStream('deflate'))).arrayBuffer();
}

/**
 * Changes a binary so that it imports shared memory. Plain and shared modules differ in one bit: a flag of the limits in
 * `"memory" (memory (limits flags …))`. Setting it here saves a second binary. Kernels need no atomic instructions, because no
 * two threads write to the same address.
 */
function importingShared(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const name = [6, ...new TextEncoder().encode('memory'), 2];
  const at = bytes.findIndex((_, i) => name.every((byte, k) => bytes[i + k] === byte)) + name.length;
  bytes[at]! |= 2;
  return bytes;
}

async function compile({ wasmUrl, signal }: WasmOptions, shared: boolean): Promise<WebAssembly.Module> {
  const prepared = (binary: ArrayBuffer) => WebAssembly.compile(shared ? importingShared(new Uint8Array(binary)) : binary);
  const kind = shared ? 'shared' : 'plain';
  try {
    if (wasmUrl) {
      const response = await fetch(wasmUrl, { signal: signal ?? null });
      if (!response.ok) throw new Error(`HTTP ${response.status} ${response.statusText}`);
      return await prepared(await response.arrayBuffer());
    }
    bundled[kind] ??= inflate(deflated).then(prepared);
    return await bundled[kind];
  } catch (error) {
    delete bundled[kind];
    if (signal?.aborted) throw signal.reason;
    throw new DeviceError(
      `WebAssembly with SIMD could not be started${wasmUrl ? ` from ${wasmUrl}` : ''}: ${(error as Error).message}. ` +
        "It needs a runtime with SIMD and, under a Content-Security-Policy, 'wasm-unsafe-eval'.",
      { cause: error },
    );
  }
}

/** Memory that threads can share; undefined where that is not allowed (a page that is not cross-origin isolated). */
function sharedMemory(): WebAssembly.Memory | undefined {
  if (typeof SharedArrayBuffer === 'undefined' || globalThis.crossOriginIsolated === false) return undefined;
  try {
    return new WebAssembly.Memory({ ...LIMITS, shared: true });
  } catch {
    return undefined;
  }
}

/** The kernel of an entry, its number on the board, and the scratch memory that it needs for given dims and attributes. */
interface EntryKernel {
  number: number;
  kernel: Kernel;
  scratchBytes: ((sizes: number[]) => number) | undefined;
}

type WasmArgs = [module: WebAssembly.Module, memory: WebAssembly.Memory, partFlops: number, shared: boolean];

/** Runs ops as WASM kernels on one or several threads. Created by `create`. */
export class WasmBackend extends Backend<WasmStorage, WasmCommand> {
  readonly name = 'wasm';
  readonly traits = SYNCHRONOUS;
  private rows: Profile | undefined;
  protected readonly heap: Heap;
  private readonly modules: WebAssembly.Module[] = [];
  /** What `extend` was given. */
  private readonly extensions = new Set<() => Uint8Array<ArrayBuffer>>();
  private readonly names: string[] = [];
  private readonly kernels: Kernel[] = [];
  private readonly known = new Map<AnyEntry, EntryKernel>();
  private board: Board | undefined;
  private helpers: Thread[] = [];
  /** The number of threads that calls are divided for, including helpers that are still starting. */
  protected threads = 1;
  /** Scratch memory: an area of `bytes` for each of `threads`, starting at address `at`. */
  private scratch = { at: 0, bytes: 0, threads: 0 };

  protected constructor(
    module: WebAssembly.Module,
    protected readonly memory: WebAssembly.Memory,
    private readonly partFlops: number,
    private readonly shared: boolean,
  ) {
    super();
    this.instantiate(module);
    this.heap = new Heap(HEAP, (end) => this.growTo(end));
  }

  private instantiate(module: WebAssembly.Module): void {
    const abort = (_message: number, _file: number, line: number) => {
      throw new DeviceError(`a WASM kernel stopped at line ${line}; please report this.`);
    };
    const instance = new WebAssembly.Instance(module, { env: { memory: this.memory, abort } });
    if ((instance.exports.heap_base as () => number)() > HEAP)
      throw new DeviceError('the static data of a WASM module reaches into the heap.');
    const exports = kernelsOf(instance);
    this.modules.push(module);
    this.names.push(...exports.map(([name]) => name));
    this.kernels.push(...exports.map(([, kernel]) => kernel));
  }

  /** Replaces all helpers by `count` new ones that know all modules. They take part in calls as soon as they have started. */
  private async startHelpers(count: number): Promise<void> {
    for (const helper of this.helpers) helper.end();
    this.helpers = [];
    this.threads = 1 + count;
    this.board = newBoard();
    const { modules, memory, board } = this;
    // A chunk of its own: pages that may not share memory do without it.
    const starting = import('./helpers.js').then(({ startHelper }) =>
      Promise.all(Array.from({ length: count }, (_, i) => startHelper({ modules, memory, board, thread: i + 1 }))),
    );
    const started = (await starting.catch((): (Thread | undefined)[] => [])).filter((helper) => helper !== undefined);
    // Each thread finds its scratch memory by its number, so numbers must have no gaps: use all helpers or none.
    if (started.length === count && !this.disposed && this.board === board) this.helpers = started;
    else {
      for (const helper of started) helper.end();
      if (this.board === board) this.threads = 1;
    }
  }

  override extend(binary: () => Uint8Array<ArrayBuffer>): void {
    if (this.extensions.has(binary)) return;
    this.extensions.add(binary);
    const bytes = binary();
    this.instantiate(new WebAssembly.Module(this.shared ? importingShared(bytes) : bytes));
    if (this.threads > 1) void this.startHelpers(this.threads - 1);
  }

  /**
   * Compiles the kernels (once per page or process), instantiates them and starts the helpers. Throws DeviceError if WASM with
   * SIMD is not available.
   */
  static async create(options: WasmOptions = {}): Promise<WasmBackend> {
    return WasmBackend.open(options, (...args) => new WasmBackend(...args));
  }

  /** `create` for subclasses. */
  protected static async open<B extends WasmBackend>(options: WasmOptions, make: (...args: WasmArgs) => B): Promise<B> {
    const { threads = 1, partFlops = PART_FLOPS } = options;
    const shared = threads > 1 ? sharedMemory() : undefined;
    const module = await compile(options, shared !== undefined);
    const memory = shared ?? new WebAssembly.Memory(LIMITS);
    const backend = make(module, memory, partFlops, shared !== undefined);
    if (shared) await backend.startHelpers(threads - 1);
    return backend;
  }

  get description(): string {
    return `wasm (SIMD, ${this.threads} thread${this.threads > 1 ? 's' : ''})`;
  }

  execute(commands: readonly WasmCommand[]): void {
    const { rows } = this;
    if (!rows) {
      for (const c of commands) c.run();
      return;
    }
    for (const c of commands) {
      const start = performance.now();
      c.run();
      tally(rows, c, performance.now() - start);
    }
  }

  async settle(): Promise<void> {
    this.assertLive();
  }

  async profile(fn: () => Promise<unknown>): Promise<Profile> {
    const rows: Profile = new Map();
    this.rows = rows;
    try {
      await fn();
    } finally {
      this.rows = undefined;
    }
    return rows;
  }

  protected allocate(bytes: number): WasmStorage {
    const rounded = Math.ceil(bytes / 64) * 64;
    return { bytes, released: false, at: this.heap.alloc(rounded) };
  }
  protected release(s: WasmStorage): void {
    this.heap.release(s.at, Math.ceil(s.bytes / 64) * 64);
  }

  protected prepare(
    e: AnyEntry,
    tensors: Record<string, Tensor | undefined>,
    dims: Record<string, number>,
    cost: Cost,
  ): WasmCommand[] | undefined {
    if (e.parts) return undefined;
    const { number, kernel, scratchBytes } = this.kernelOf(e);
    const pointers = e.names.map((n) => {
      const t = tensors[n];
      return t ? address(t) : 0;
    });
    const sizes = [...e.dimNames, ...e.attrNames].map((n) => dims[n]!);
    const args = [...pointers, ...sizes];
    const parts = e.wasmParts ? this.partsOf(cost.flops) : 1;
    const call = (scratch: number[], stride: number) => {
      // A kernel that is never shared ignores these two arguments: part 0 of 1.
      if (parts === 1) kernel(...args, ...scratch, 0, 1);
      else if (!share(this.board!, this.kernels, number, [...args, ...scratch], stride, parts))
        throw new DeviceError(`${e.key} failed in one of the WASM threads; please report this.`);
    };
    const run = scratchBytes ? this.withScratch(e, scratchBytes(sizes), (at, stride) => call([at], stride)) : () => call([], 0);
    return [{ key: e.key, ...cost, run }];
  }

  /** The kernel of an entry and the function that computes its scratch bytes, if it has one. Checks the number of arguments. */
  private kernelOf(e: AnyEntry): EntryKernel {
    const known = this.known.get(e);
    if (known) return known;
    const name = `${e.op}_${e.entry}`;
    const file = `assembly/${e.op}.ts`;
    if (e.wasmBinary && !this.names.includes(name)) this.extend(e.wasmBinary);
    const number = this.names.indexOf(name);
    const kernel = this.kernels[number] as Kernel | undefined;
    if (!kernel)
      throw new DeviceError(
        `${e.key} has no WASM kernel; ${file} must export ${name}, and \`npm run build\` must have run since. ` +
          'Kernels that only training uses are there once a Trainer has begun.',
      );
    const size = this.kernels[this.names.indexOf(`${name}_scratch`)] as Kernel | undefined;
    const sizes = [...e.dimNames, ...e.attrNames];
    const check = (name: string, f: Kernel, args: string[]) => {
      if (f.length !== args.length)
        throw new DeviceError(
          `${name} of ${file} takes ${f.length} arguments, but by src/ops/${e.op}.ts they are ${args.length} (${args.join(', ')}); ` +
            'make them agree and run `npm run build`.',
        );
    };
    check(name, kernel, [...e.names, ...sizes, ...(size ? ['scratch'] : []), ...(e.wasmParts ? ['part', 'parts'] : [])]);
    if (size) check(`${name}_scratch`, size, sizes);
    const found = { number, kernel, scratchBytes: size && ((values: number[]) => (size(...values) as number) >>> 0) };
    this.known.set(e, found);
    return found;
  }

  /**
   * Returns a function that runs `call` with the address of a scratch area of `bytes` and the distance to the next thread's area.
   * All kernels share one area, which may move when a later kernel needs more, so the address is read when the kernel runs.
   */
  protected withScratch(_e: AnyEntry, bytes: number, call: (at: number, stride: number) => void): () => void {
    if (bytes > 0) this.growScratch(bytes);
    return () => call(this.scratch.at, this.scratch.bytes);
  }

  protected prepareZero(t: Tensor): WasmCommand {
    const at = address(t);
    return {
      key: 'zero',
      flops: 0,
      bytes: t.size * 4,
      run: () => void new Uint8Array(this.memory.buffer, at, t.size * 4).fill(0),
    };
  }

  protected upload(t: Tensor, data: NumArray, offset: number): void {
    this.view(t).set(data, offset);
  }
  protected async download(t: Tensor): Promise<NumArray> {
    return this.view(t).slice();
  }
  protected destroy(): void {
    for (const helper of this.helpers) helper.end();
  }

  private view(t: Tensor): Float32Array | Uint32Array {
    const at = address(t);
    return t.dtype === 'u32' ? new Uint32Array(this.memory.buffer, at, t.size) : new Float32Array(this.memory.buffer, at, t.size);
  }

  /** The number of parts for a call: up to two per thread, so that one slow part does not leave the other threads idle. */
  private partsOf(flops: number): number {
    return this.threads === 1 ? 1 : Math.max(1, Math.min(2 * this.threads, Math.floor(flops / this.partFlops)));
  }

  private growScratch(bytes: number): void {
    const { threads, scratch } = this;
    if (bytes <= scratch.bytes && threads <= scratch.threads) return;
    if (scratch.bytes) this.heap.release(scratch.at, scratch.bytes * scratch.threads);
    const rounded = Math.ceil(Math.max(bytes, scratch.bytes) / 64) * 64;
    this.scratch = { at: 0, bytes: 0, threads: 0 };
    this.scratch = { at: this.heap.alloc(rounded * threads), bytes: rounded, threads };
  }

  private growTo(end: number): void {
    const have = this.memory.buffer.byteLength;
    if (end <= have) return;
    const pages = Math.ceil((end - have) / PAGE);
    if (have / PAGE + pages > MAX_PAGES) throw outOfMemory(end);
    // Grow by at least an eighth, to keep the number of grow calls small.
    const generous = Math.min(Math.max(pages, (have / PAGE) >> 3), MAX_PAGES - have / PAGE);
    for (const n of [generous, pages]) {
      try {
        this.memory.grow(n);
        return;
      } catch {}
    }
    throw outOfMemory(end);
  }
}

const address = (t: Tensor) => (t.storage as WasmStorage).at + t.offset * 4;

function outOfMemory(bytes: number): OutOfMemoryError {
  return new OutOfMemoryError(
    `WebAssembly memory cannot grow to ${(bytes / 2 ** 20).toFixed(0)} MiB (its limit is 4096 MiB); ` +
      'draw fewer images at once, or use WebGPU for this model.',
  );
}

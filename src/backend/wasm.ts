/** SIMD WebAssembly on one thread: every op is one exported function over linear memory. */
import deflated from '../../build/aim.wasm';
import { DeviceError, OutOfMemoryError } from '../errors.js';
import type { AnyEntry } from '../ops/spec.js';
import { Backend, type Command, type Cost, type NumArray, type Profile, type Storage, type Tensor } from './backend.js';
import { Heap } from './heap.js';

interface WasmStorage extends Storage {
  at: number;
}

interface WasmCommand extends Command {
  run(): void;
}

type Kernel = (...args: number[]) => void;
const PAGE = 65536;
/** wasm32 addresses 4 GiB; the last page stays unused so that end addresses fit in 32 bits. */
const MAX_PAGES = 65535;

export interface WasmOptions {
  /** Fetch the module from here instead of using the bytes in the bundle (for a CSP that asks for it). */
  wasmUrl?: string | URL;
  signal?: AbortSignal;
}

let bundled: Promise<WebAssembly.Module> | undefined;

function inflate(base64: string): Promise<ArrayBuffer> {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'))).arrayBuffer();
}

async function compile({ wasmUrl, signal }: WasmOptions): Promise<WebAssembly.Module> {
  try {
    if (wasmUrl) {
      const response = await fetch(wasmUrl, { signal: signal ?? null });
      if (!response.ok) throw new Error(`HTTP ${response.status} ${response.statusText}`);
      return await WebAssembly.compile(await response.arrayBuffer());
    }
    bundled ??= inflate(deflated).then((bytes) => WebAssembly.compile(bytes));
    return await bundled;
  } catch (error) {
    bundled = undefined;
    if (signal?.aborted) throw signal.reason;
    throw new DeviceError(
      `WebAssembly with SIMD could not be started${wasmUrl ? ` from ${wasmUrl}` : ''}: ${(error as Error).message}. ` +
        "It needs a runtime with SIMD and, under a Content-Security-Policy, 'wasm-unsafe-eval'.",
      { cause: error },
    );
  }
}

export class WasmBackend extends Backend<WasmStorage, WasmCommand> {
  readonly name = 'wasm';
  readonly description = 'wasm (SIMD, 1 thread)';
  private rows: Profile | undefined;
  private readonly heap: Heap;
  private scratch = { at: 0, bytes: 0 };

  private constructor(
    private readonly exports: Record<string, Kernel>,
    private readonly memory: WebAssembly.Memory,
  ) {
    super();
    const base = Math.ceil((exports.heap_base as unknown as () => number)() / 64) * 64;
    this.heap = new Heap(base, (end) => this.growTo(end));
  }

  /** Compiles (once per page or process) and instantiates the kernels. Throws DeviceError where SIMD WASM is missing. */
  static async create(options: WasmOptions = {}): Promise<WasmBackend> {
    const module = await compile(options);
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 65536 });
    const instance = await WebAssembly.instantiate(module, {
      env: {
        memory,
        abort: (_message: number, _file: number, line: number) => {
          throw new DeviceError(`a WASM kernel stopped at line ${line}; please report this.`);
        },
      },
    });
    return new WasmBackend(instance.exports as unknown as Record<string, Kernel>, memory);
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
      const row = rows.get(c.key) ?? { ms: 0, calls: 0, flops: 0, bytes: 0 };
      row.ms += performance.now() - start;
      row.calls++;
      row.flops += c.flops;
      row.bytes += c.bytes;
      rows.set(c.key, row);
    }
  }

  async settle(): Promise<void> {}

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
  ): WasmCommand[] {
    const kernel = this.exports[`${e.op}_${e.entry}`];
    const pointers = e.names.map((n) => {
      const t = tensors[n];
      return t ? address(t) : 0;
    });
    const args = [...pointers, ...e.dimNames.map((n) => dims[n]!), ...e.attrNames.map((n) => dims[n]!)];
    const scratch = e.wasmScratch?.(dims) ?? 0;
    if (scratch > 0) this.growScratch(scratch);
    if (!kernel || kernel.length !== args.length + (e.wasmScratch ? 1 : 0))
      throw new DeviceError(`${e.key}: the WASM module and the op's spec disagree; rebuild with \`npm run build\`.`);
    // The scratch area may move when a later op wants more, so its address is looked up at run time.
    const run = e.wasmScratch ? () => kernel(...args, this.scratch.at) : () => kernel(...args);
    return [{ key: e.key, ...cost, run }];
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
  protected destroy(): void {}

  private view(t: Tensor): Float32Array | Uint32Array {
    const at = address(t);
    return t.dtype === 'u32' ? new Uint32Array(this.memory.buffer, at, t.size) : new Float32Array(this.memory.buffer, at, t.size);
  }

  private growScratch(bytes: number): void {
    if (bytes <= this.scratch.bytes) return;
    if (this.scratch.bytes) this.heap.release(this.scratch.at, this.scratch.bytes);
    const rounded = Math.ceil(bytes / 64) * 64;
    this.scratch = { at: 0, bytes: 0 };
    this.scratch = { at: this.heap.alloc(rounded), bytes: rounded };
  }

  private growTo(end: number): void {
    const have = this.memory.buffer.byteLength;
    if (end <= have) return;
    const pages = Math.ceil((end - have) / PAGE);
    if (have / PAGE + pages > MAX_PAGES) throw outOfMemory(end);
    // Growing in steps of an eighth keeps the number of grow calls small.
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

/** A WASM backend that detects kernels that write past the scratch memory they asked for. */

import { WasmBackend, type WasmOptions } from '../src/backend/wasm.js';
import { DeviceError } from '../src/core/errors.js';
import type { AnyEntry } from '../src/ops/spec.js';
import { bringKernels } from '../src/train/kernels.js';

/** Both are NaN as f32, so that a result computed from unwritten scratch memory is NaN. */
const UNWRITTEN = 0xffc0dead;
const GUARD = 0xffc0beef;

/**
 * Gives every call of a kernel scratch memory of its own, full of NaN, with guard words behind that of each thread: more of them
 * than the kernel asked for, so that one that asks for too little writes to them wherever its arrays begin.
 */
export class GuardedWasm extends WasmBackend {
  /** Keys of the entries whose kernels asked for scratch memory. */
  readonly asked = new Set<string>();
  /** Share of the requested scratch memory that kernels get. With less than 1 the guard must report an error. */
  share = 1;

  static override async create(options: WasmOptions = {}): Promise<GuardedWasm> {
    const be = await WasmBackend.open(options, (...parts) => new GuardedWasm(...parts));
    bringKernels(be);
    return be;
  }

  protected override withScratch(e: AnyEntry, bytes: number, call: (at: number, stride: number) => void): () => void {
    this.asked.add(e.key);
    const given = Math.floor((bytes * this.share) / 16) * 16;
    // Areas begin at multiples of 16, as kernels may expect; what lies between the end and the next multiple is guard too.
    const stride = Math.ceil((5 * bytes + 4096) / 64) * 64;
    const usable = this.share === 1 ? bytes : given;
    return () => {
      const { threads } = this;
      const at = this.heap.alloc(stride * threads);
      const words = () => new Uint32Array(this.memory.buffer, at, (stride * threads) / 4);
      for (let t = 0; t < threads; t++) {
        words().fill(UNWRITTEN, (t * stride) / 4, (t * stride + usable) / 4);
        words().fill(GUARD, (t * stride + usable) / 4, ((t + 1) * stride) / 4);
      }
      try {
        call(at, stride);
        const after = words();
        for (let t = 0; t < threads; t++)
          for (let i = (t * stride + usable) / 4; i < ((t + 1) * stride) / 4; i++)
            if (after[i] !== GUARD)
              throw new DeviceError(
                `${e.key} wrote past its ${usable} bytes of scratch memory, at byte ${4 * i - t * stride}; ` +
                  `${e.op}_${e.entry}_scratch in assembly/${e.op}.ts must ask for more.`,
              );
      } finally {
        this.heap.release(at, stride * threads);
      }
    };
  }
}

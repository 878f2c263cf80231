/** Best-fit allocator with coalescing over a growable address range, for WebAssembly linear memory. */
export class Heap {
  private readonly free: { at: number; size: number }[] = [];
  private end: number;

  /** @param grow makes all addresses below its argument usable, or throws. */
  constructor(
    private readonly start: number,
    private readonly grow: (end: number) => void,
  ) {
    this.end = start;
  }

  /** Allocates `size` bytes (a multiple of 16) and returns their address. */
  alloc(size: number): number {
    let best = -1;
    for (let i = 0; i < this.free.length; i++) {
      const f = this.free[i]!;
      if (f.size >= size && (best < 0 || f.size < this.free[best]!.size)) best = i;
      if (f.size === size) break;
    }
    if (best >= 0) {
      const block = this.free[best]!;
      const at = block.at;
      block.at += size;
      block.size -= size;
      if (block.size === 0) this.free.splice(best, 1);
      return at;
    }
    // A free block at the very end is extended rather than left as a hole.
    const last = this.free.at(-1);
    const at = last && last.at + last.size === this.end ? last.at : this.end;
    this.grow(at + size);
    if (at !== this.end) this.free.pop();
    this.end = at + size;
    return at;
  }

  /** Frees a block that `alloc` returned, with the same size. */
  release(at: number, size: number): void {
    let i = 0;
    let j = this.free.length;
    while (i < j) {
      const mid = (i + j) >> 1;
      if (this.free[mid]!.at < at) i = mid + 1;
      else j = mid;
    }
    const prev = this.free[i - 1];
    const next = this.free[i];
    const joinsPrev = prev !== undefined && prev.at + prev.size === at;
    const joinsNext = next !== undefined && at + size === next.at;
    if (joinsPrev && joinsNext) {
      prev.size += size + next.size;
      this.free.splice(i, 1);
    } else if (joinsPrev) prev.size += size;
    else if (joinsNext) {
      next.at = at;
      next.size += size;
    } else this.free.splice(i, 0, { at, size });
  }

  /** Bytes between the start and the highest address in use so far. */
  get span(): number {
    return this.end - this.start;
  }
}

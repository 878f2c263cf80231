/** Lays out the tensors of a PyTorch checkpoint (torch.ts) as a safetensors file, whose bytes are read on request. */
import { CheckpointError } from '../core/errors.js';
import { type ByteSource, checkRange } from './bytes.js';
import { DTYPE_BYTES, type Dtype } from './dtype.js';
import { entryOffset, type ZipEntry } from './zip.js';

/** The bytes that one or several tensors are views of. */
export class TorchStorage {
  constructor(
    readonly key: string,
    /** undefined: the storage has no dtype of its own, so each tensor gives one. */
    readonly dtype: Dtype | undefined,
    /** Number of elements; for a storage without dtype, number of bytes. */
    readonly count: number,
  ) {}
}

/** A view of a storage. Offset and strides count elements. */
export class TorchTensor {
  constructor(
    readonly storage: TorchStorage,
    readonly dtype: Dtype,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly stride: readonly number[],
  ) {}
}

/** A PyTorch checkpoint as a safetensors file, made on the fly. */
export interface TorchSource extends ByteSource {
  /** Contents of the file that are not read, with the reason, e.g. `args (argparse.Namespace)`. */
  readonly ignored: readonly string[];
}

/** The position of a tensor in the safetensors file. */
interface PlacedTensor {
  name: string;
  tensor: TorchTensor;
  entry: ZipEntry;
  /** Byte range in the data. */
  begin: number;
  end: number;
}

/** A complete safetensors file: its header, the position of each tensor, and its size in bytes. */
export interface Layout {
  head: Uint8Array;
  placed: PlacedTensor[];
  size: number;
}

/**
 * Lays out tensors, in the order of the archive. Throws CheckpointError with the name `file` for tensors that are far larger than
 * the file of `fileSize` bytes. `files` gives the archive's entry of each storage.
 */
export function layoutTensors(
  file: string,
  fileSize: number,
  tensors: ReadonlyMap<string, TorchTensor>,
  files: ReadonlyMap<TorchStorage, ZipEntry>,
): Layout {
  const metadata: Record<string, string> = { format: 'pt' };
  const first = new Map<string, string>();
  const placed: PlacedTensor[] = [];
  for (const name of [...tensors.keys()].sort()) {
    const tensor = tensors.get(name)!;
    const { storage, dtype, offset, shape, stride } = tensor;
    const view = JSON.stringify([storage.key, dtype, offset, shape, stride]);
    const same = first.get(view);
    const empty = shape.includes(0);
    if (same !== undefined && !empty) metadata[name] = same;
    else {
      first.set(view, name);
      placed.push({ name, tensor, entry: files.get(storage)!, begin: 0, end: 0 });
    }
  }
  placed.sort((a, b) => a.entry.header - b.entry.header || a.tensor.offset - b.tensor.offset || (a.name < b.name ? -1 : 1));
  let at = 0;
  for (const item of placed) {
    const { shape, dtype } = item.tensor;
    item.begin = at;
    item.end = at += shape.reduce((product, size) => product * size, DTYPE_BYTES[dtype]);
  }
  // Views may overlap and repeat elements, but no real checkpoint consists of that.
  if (!(at <= 16 * fileSize + 2 ** 26))
    throw new CheckpointError(
      `${file} describes tensors of ${at} bytes in all, though it has only ${fileSize}; save it again with contiguous tensors.`,
    );
  const header: Record<string, unknown> = Object.create(null);
  header.__metadata__ = metadata;
  for (const { name, tensor, begin, end } of placed) {
    if (name === '__metadata__')
      throw new CheckpointError(`${file} has a tensor named __metadata__, which safetensors does not allow; rename it.`);
    header[name] = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [begin, end] };
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const head = new Uint8Array(8 + json.length);
  new DataView(head.buffer).setBigUint64(0, BigInt(json.length), true);
  head.set(json, 8);
  return { head, placed, size: head.length + at };
}

/** Reads bytes of the safetensors file that `layoutTensors` describes. */
export class TorchReader implements TorchSource {
  readonly name: string;
  readonly size: number;
  /** The last storage that was read as a whole. */
  private whole: { entry: ZipEntry; bytes: Uint8Array } | undefined;

  constructor(
    private readonly source: ByteSource,
    private readonly layout: Layout,
    readonly ignored: readonly string[],
    /** The offset of each entry's bytes, where it is known. */
    private readonly offsets = new Map<ZipEntry, number>(),
  ) {
    this.name = source.name;
    this.size = layout.size;
  }

  async read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    checkRange(this.name, this.size, offset, length);
    signal?.throwIfAborted();
    const { head, placed } = this.layout;
    if (offset + length <= head.length) return head.subarray(offset, offset + length);
    let i = this.find(offset - head.length);
    if (offset >= head.length && offset - head.length + length <= placed[i]!.end)
      return this.part(placed[i]!, offset - head.length - placed[i]!.begin, length, signal);
    const out = new Uint8Array(length);
    let have = 0;
    if (offset < head.length) {
      out.set(head.subarray(offset));
      have = head.length - offset;
      i = 0;
    }
    for (; have < length; i++) {
      const item = placed[i]!;
      const at = offset + have - head.length - item.begin;
      const piece = await this.part(item, at, Math.min(length - have, item.end - item.begin - at), signal);
      out.set(piece, have);
      have += piece.length;
    }
    return out;
  }

  async finish(): Promise<void> {
    this.whole = undefined;
    await this.source.finish?.();
  }

  async rest(): Promise<void> {
    this.whole = undefined;
    await this.source.rest?.();
  }

  async close(): Promise<void> {
    this.whole = undefined;
    await this.source.close();
  }

  /** The index of the tensor that contains a byte of the data. Skips empty tensors. */
  private find(at: number): number {
    const { placed } = this.layout;
    let [low, high] = [0, placed.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (placed[middle]!.end > at) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** `length` bytes from byte `at` of a tensor. */
  private async part({ tensor, entry }: PlacedTensor, at: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    const bytes = DTYPE_BYTES[tensor.dtype];
    const first = tensor.offset * bytes;
    let begin = this.offsets.get(entry);
    if (begin === undefined) {
      begin = await entryOffset(this.source, entry, signal);
      this.offsets.set(entry, begin);
    }
    if (isContiguous(tensor)) return this.source.read(begin + first + at, length, signal);
    if (this.whole?.entry !== entry) {
      this.whole = undefined;
      this.whole = { entry, bytes: await this.source.read(begin, entry.size, signal) };
    }
    return gather(this.whole.bytes, tensor, bytes, at, length);
  }
}

function isContiguous({ shape, stride }: TorchTensor): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && stride[i] !== expected) return false;
    expected *= shape[i]!;
  }
  return true;
}

/** Bytes [at, at + length) of the tensor in row-major order. */
function gather(storage: Uint8Array, tensor: TorchTensor, size: number, at: number, length: number): Uint8Array {
  const { shape, stride, offset } = tensor;
  const out = new Uint8Array(length);
  const first = Math.floor(at / size);
  // The position of the first element, dimension by dimension.
  const index = new Array<number>(shape.length).fill(0);
  let from = offset;
  for (let d = shape.length - 1, rest = first; d >= 0; d--) {
    index[d] = rest % shape[d]!;
    rest = Math.floor(rest / shape[d]!);
    from += index[d]! * stride[d]!;
  }
  let to = first * size - at;
  while (to < length) {
    for (let k = Math.max(0, -to); k < size && to + k < length; k++) out[to + k] = storage[from * size + k]!;
    to += size;
    for (let d = shape.length - 1; d >= 0; d--) {
      from += stride[d]!;
      if (++index[d]! < shape[d]!) break;
      from -= shape[d]! * stride[d]!;
      index[d] = 0;
    }
  }
  return out;
}

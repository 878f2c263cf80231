/**
 * Checkpoints split into several safetensors files (shards), as Hugging Face saves large ones: model.safetensors.index.json has
 * the `weight_map` from tensor to file. They are read as if they were one file.
 */
import { CheckpointError } from '../core/errors.js';
import { parseJson } from '../core/json.js';
import { type ByteSource, checkRange, type SourceOptions } from '../io/bytes.js';
import { parseHeader } from '../io/safetensors.js';

/** Most files of one checkpoint; each costs a request. The largest published models have fewer than 200. */
const MAX_SHARDS = 1000;

/** The names of the files, sorted. Throws CheckpointError if `text` is no index or names more than MAX_SHARDS files. */
export function shardNames(text: string, name: string): string[] {
  let map: unknown;
  try {
    map = (parseJson(text) as { weight_map?: unknown } | null)?.weight_map;
  } catch (error) {
    throw new CheckpointError(`${name} is not valid JSON: ${(error as Error).message}; download it again.`, { cause: error });
  }
  const files = typeof map === 'object' && map !== null && !Array.isArray(map) ? [...new Set(Object.values(map))].sort() : [];
  if (files.length === 0) throw new CheckpointError(`${name} has no weight_map from tensors to files; download it again.`);
  if (files.length > MAX_SHARDS)
    throw new CheckpointError(
      `${name} names ${files.length} files, more than the ${MAX_SHARDS} that are read; check the checkpoint.`,
    );
  for (const file of files) {
    // The files must be beside the index.
    if (typeof file !== 'string' || !/^[^/\\]+\.safetensors$/.test(file))
      throw new CheckpointError(
        `${name} names the file ${JSON.stringify(file)?.slice(0, 120)}, not a .safetensors file beside it; download it again.`,
      );
  }
  return files as string[];
}

/** Gives for each of `count` files a listener that reports the progress of all of them together. */
export function sharedProgress(count: number, onProgress: SourceOptions['onProgress']) {
  const loaded = new Array<number>(count).fill(0);
  const totals = new Array<number | undefined>(count).fill(undefined);
  const sum = (a: number, b: number | undefined) => a + (b ?? Number.NaN);
  return (index: number): SourceOptions['onProgress'] =>
    onProgress &&
    ((progress) => {
      loaded[index] = progress.loaded;
      totals[index] = progress.total;
      const total = totals.reduce<number>(sum, 0);
      onProgress({ phase: progress.phase, loaded: loaded.reduce(sum, 0), total: Number.isNaN(total) ? undefined : total });
    });
}

/**
 * One safetensors file out of several: a header of all tensors, then the data of each file in turn. The files are opened one
 * after the other, and only the file being read has a connection. Throws CheckpointError if a file is damaged or two of them
 * have a tensor of the same name.
 */
export async function joinShards(
  count: number,
  open: (index: number) => Promise<ByteSource>,
  name: string,
  { signal }: { signal?: AbortSignal | undefined },
): Promise<ByteSource> {
  const shards: { source: ByteSource; dataOffset: number; begin: number; end: number }[] = [];
  const tensors: [string, object][] = [];
  const owner = new Map<string, string>();
  let at = 0;
  const close = async () => {
    for (const { source } of shards) await source.close();
  };
  try {
    for (let i = 0; i < count; i++) {
      const source = await open(i);
      const shard = { source, dataOffset: 0, begin: at, end: at };
      shards.push(shard);
      const header = await parseHeader(source, { signal });
      shard.dataOffset = header.dataOffset;
      for (const [tensor, { dtype, shape, begin, end }] of header.tensors) {
        const other = owner.get(tensor);
        if (other)
          throw new CheckpointError(`${source.name} and ${other} both have a tensor ${tensor}; download the checkpoint again.`);
        owner.set(tensor, source.name);
        tensors.push([tensor, { dtype, shape, data_offsets: [at + begin, at + end] }]);
        shard.end = Math.max(shard.end, at + end);
      }
      at = shard.end;
      await source.rest?.();
    }
  } catch (error) {
    await close();
    throw error;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(tensors)));
  const head = new Uint8Array(8 + json.length);
  new DataView(head.buffer).setBigUint64(0, BigInt(json.length), true);
  head.set(json, 8);
  const size = head.length + at;
  let current = shards[0];
  const joined: ByteSource = {
    name,
    size,
    async read(offset, length, own) {
      checkRange(name, size, offset, length);
      if (offset + length <= head.length) return head.subarray(offset, offset + length);
      const from = offset - head.length;
      const inside = shards.find(({ begin, end }) => from >= begin && from + length <= end);
      if (inside) {
        if (inside !== current) await current?.source.rest?.();
        current = inside;
        return inside.source.read(inside.dataOffset + from - inside.begin, length, own);
      }
      const out = new Uint8Array(length);
      for (let have = 0; have < length; ) {
        const position = offset + have;
        const next = position < head.length ? head.length : head.length + shards.find((s) => position - head.length < s.end)!.end;
        const piece = await joined.read(position, Math.min(length - have, next - position), own);
        out.set(piece, have);
        have += piece.length;
      }
      return out;
    },
    async finish() {
      for (const { source } of shards) {
        await source.finish?.();
        await source.rest?.();
      }
    },
    close,
  };
  return joined;
}

/**
 * Features of a source's images in shards. With a cache folder, each shard is a file whose name is a hash of the images and the
 * network, so that an evaluation that was interrupted continues, and a reference is computed once.
 */
import { CheckpointError, IoError } from '../core/errors.js';
import { openFile } from '../io/file_source.js';
import { parseHeader, readFloats, type TensorData, writeSafetensors } from '../io/safetensors.js';
import { createSha256, sha256Text } from '../io/sha256.js';
import { exists, makeFolder, writeAtomic } from '../platform/files.js';
import type { FeatureNetwork, Features, ImageBytes } from './features.js';
import type { ImageSource } from './images.js';

export interface ShardOptions {
  /** Images in a shard. */
  shard: number;
  /** Folder of the cache; created if it is missing. */
  cache?: string | undefined;
  signal?: AbortSignal | undefined;
  /** Called with the number of images that are done. */
  onImages?: ((done: number) => void) | undefined;
  onWarning?: ((message: string) => void) | undefined;
}

/** A change of what features mean gets another number, so that old files are not used. */
const FORMAT = 'aim-js features 1';

/** Yields the features of the source's images in order, a shard at a time. Rejects with `signal.reason` when aborted. */
export async function* shardFeatures(source: ImageSource, net: FeatureNetwork, o: ShardOptions): AsyncGenerator<Features> {
  const { shard, cache, signal, onImages } = o;
  for (let first = 0; first < source.length; first += shard) {
    signal?.throwIfAborted();
    const count = Math.min(shard, source.length - first);
    // Half of the progress is making the images, where that can take long.
    const drawing = { signal, onImages: (done: number) => onImages?.(first + done / 2) };
    let images: ImageBytes | undefined;
    let file: string | undefined;
    if (cache !== undefined) {
      let content = await source.key?.(first, count, { signal });
      if (content === undefined) {
        images = await source.images(first, count, drawing);
        content = pixelHash(images);
      }
      file = `${cache}/${sha256Text([FORMAT, net.kind, net.id, content].join('\n'))}.safetensors`;
      const known = await readShard(file, count, net, o);
      if (known) {
        onImages?.(first + count);
        yield known;
        continue;
      }
    }
    images ??= await source.images(first, count, drawing);
    const features = await net.run(images, { signal, onImages: (done) => onImages?.(first + done) });
    images = undefined;
    // Not before there is something to keep: a call that is refused leaves nothing.
    if (cache !== undefined) await makeFolder(cache);
    if (file !== undefined) await writeAtomic(file, writeSafetensors(tensorsOf(features, net), { format: FORMAT }), { signal });
    yield features;
  }
}

function pixelHash({ count, width, height, data }: ImageBytes): string {
  const hash = createSha256();
  hash.update(new TextEncoder().encode(JSON.stringify([count, width, height])));
  hash.update(data);
  return hash.hex();
}

const tensorsOf = ({ count, pool, spatial, logits }: Features, net: FeatureNetwork): TensorData[] => [
  { name: 'pool', dtype: 'F32', shape: [count, net.size], data: pool },
  { name: 'logits', dtype: 'F32', shape: [count, net.classes], data: logits },
  ...(net.spatial ? [{ name: 'spatial', dtype: 'F32' as const, shape: [count, net.spatial], data: spatial }] : []),
];

/** The features in a file; undefined if there is none, or one that cannot be read, which is then computed again. */
async function readShard(file: string, count: number, net: FeatureNetwork, o: ShardOptions): Promise<Features | undefined> {
  if (!(await exists(file))) return undefined;
  const source = await openFile(file);
  try {
    const header = await parseHeader(source, { signal: o.signal });
    const read = async (name: string, size: number) => {
      if (header.tensors.get(name)?.shape.join() !== `${count},${size}`)
        throw new CheckpointError(`${file} has no ${name} of ${count} images; remove the file.`);
      return readFloats(source, header, name, { finite: true, signal: o.signal });
    };
    const [pool, logits] = [await read('pool', net.size), await read('logits', net.classes)];
    return { count, pool, logits, spatial: net.spatial ? await read('spatial', net.spatial) : new Float32Array() };
  } catch (error) {
    if (!(error instanceof CheckpointError || error instanceof IoError)) throw error;
    o.onWarning?.(`${file} is damaged and is computed again (${error.message})`);
    return undefined;
  } finally {
    await source.close();
  }
}

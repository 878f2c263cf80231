/** IDX files (yann.lecun.com/exdb/mnist): big-endian magic 0x0000_08_rank (unsigned bytes), sizes, then the bytes. */
import { IoError } from '../errors.js';
import { exists, openFile } from '../platform/files.js';
import { importOptional } from '../platform/runtime.js';

export interface IdxArray {
  shape: number[];
  data: Uint8Array;
}

/** Parses an IDX file of unsigned bytes. Throws IoError naming the file when the magic or the sizes do not fit. */
export function parseIdx(bytes: Uint8Array, name: string, rank: number): IdxArray {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = bytes.length >= 4 ? view.getUint32(0) : 0;
  if (magic !== 0x0800 + rank)
    throw new IoError(
      `${name} is no IDX file of rank ${rank} (magic 0x${magic.toString(16)}, expected 0x${(0x0800 + rank).toString(16)}).`,
    );
  const head = 4 + 4 * rank;
  const shape = bytes.length >= head ? Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i)) : [];
  const size = shape.reduce((a, b) => a * b, 1);
  if (bytes.length !== head + size)
    throw new IoError(
      `${name}: its header tells of ${shape.join('×')} = ${size} bytes, the file holds ${bytes.length - head}; it is cut or damaged.`,
    );
  return { shape, data: bytes.subarray(head) };
}

/** Reads NAME or NAME.gz in `folder`. */
export async function readIdx(folder: string, name: string, rank: number): Promise<IdxArray> {
  const plain = `${folder}/${name}`;
  if (await exists(plain)) return parseIdx(await readBytes(plain), plain, rank);
  const zipped = `${plain}.gz`;
  if (!(await exists(zipped)))
    throw new IoError(`there is neither ${plain} nor ${zipped}; pass the folder that holds the IDX files.`);
  const { gunzipSync } = await importOptional<typeof import('node:zlib')>('node:zlib');
  let bytes: Uint8Array;
  try {
    bytes = gunzipSync(await readBytes(zipped));
  } catch (error) {
    throw new IoError(`${zipped} is no readable gzip file: ${(error as Error).message}.`, { cause: error });
  }
  return parseIdx(bytes, zipped, rank);
}

/** Grey images [n, h, w] as RGB floats in [-1, 1], padded with black to size × size. */
export function greyToRgb({ shape, data }: IdxArray, index: readonly number[], size: number): Float32Array {
  const [n, h, w] = shape as [number, number, number];
  const [top, left] = [(size - h) >> 1, (size - w) >> 1];
  const out = new Float32Array(index.length * size * size * 3).fill(-1);
  index.forEach((source, i) => {
    if (source >= n) throw new IoError(`image ${source} was asked for, but the data set has ${n}.`);
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) {
        const v = data[(source * h + y) * w + x]! / 127.5 - 1;
        out.fill(v, ((i * size + y + top) * size + x + left) * 3, ((i * size + y + top) * size + x + left) * 3 + 3);
      }
    }
  });
  return out;
}

async function readBytes(path: string): Promise<Uint8Array> {
  const file = await openFile(path);
  try {
    return await file.read(0, file.size);
  } finally {
    await file.close();
  }
}

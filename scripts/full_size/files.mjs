/**
 * Files of a model with the tensors of the published AiM-B and values by chance, in every form that checkpoints of it come in. A value
 * depends on the name and the index alone, so that each form is made anew and nothing of it stays in memory.
 */
import { createHash } from 'node:crypto';
import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { crc32, gunzipSync } from 'node:zlib';
import { root } from '../setup.mjs';

const official = `${root}test/fixtures/official`;

/** The tensors of the file, by name: [{ name, shape, size }]. */
export const TENSORS = Object.entries(
  JSON.parse(gunzipSync(readFileSync(`${official}/aim-b-tensors.json.gz`)).toString()).tensors,
)
  .map(([name, { shape }]) => ({ name, shape, size: shape.reduce((a, b) => a * b, 1) }))
  .sort((a, b) => (a.name < b.name ? -1 : 1));

/** A statistic of the authors' tokenizer, which nothing reads and which is saved as zeros. */
export const UNUSED = 'vqvae.quantize.codebook_used';

/** Bytes of the parameters as float32. */
export const WEIGHT_BYTES = 4 * TENSORS.reduce((sum, { name, size }) => sum + (name === UNUSED ? 0 : size), 0);

/** The module of sources that `entry` bundles to, for scripts. */
export async function bundled(entry) {
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    entryPoints: [root + entry],
    bundle: true,
    format: 'esm',
    platform: 'node',
    write: false,
  });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
}

/** The values of a tensor, of the size that they have at initialisation. */
export function valuesOf({ name, shape, size }) {
  const out = new Float32Array(size);
  if (name === UNUSED) return out;
  const [, ...fan] = shape;
  const isNorm = shape.length === 1 && /norm\w*\.weight$|\.D$/.test(name);
  const isLog = name.endsWith('A_log');
  const bound = shape.length > 1 ? 1 / Math.sqrt(fan.reduce((a, b) => a * b, 1)) : 0.05;
  let state = createHash('sha256').update(name).digest().readInt32LE() | 1;
  for (let i = 0; i < size; i++) {
    // The generator xorshift32.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const u = state / 2 ** 31;
    out[i] = isNorm ? 1 + 0.05 * u : isLog ? Math.log(8.5 + 7.5 * u) : bound * u;
  }
  return out;
}

const bytesOf = (tensor) => {
  const values = valuesOf(tensor);
  return new Uint8Array(values.buffer);
};

function writeAll(fd, bytes) {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

/** Writes a safetensors file of some tensors under the names that `rename` gives them. */
export function writeSafetensors(path, tensors = TENSORS, rename = (name) => name) {
  const header = { __metadata__: { format: 'pt', 'mamba.lm_head.weight': 'mamba.backbone.embeddings.word_embeddings.weight' } };
  let at = 0;
  for (const { name, shape, size } of tensors)
    header[rename(name)] = { dtype: 'F32', shape, data_offsets: [at, (at += 4 * size)] };
  const text = Buffer.from(JSON.stringify(header));
  const json = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, ' ')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const fd = openSync(path, 'w');
  writeAll(fd, length);
  writeAll(fd, json);
  for (const tensor of tensors) writeAll(fd, bytesOf(tensor));
  closeSync(fd);
}

/**
 * Writes what torch.save makes of `wrap(dict)`: a zip archive without compression, each entry followed by its checksum and size and
 * its data at a multiple of 64. `torch` is test/io/torch_file.ts.
 */
export function writeTorch(torch, path, tensors = TENSORS, rename = (name) => name, wrap = (dict) => dict) {
  const dict = new torch.Ordered();
  tensors.forEach(({ name, shape, size }, i) => {
    dict.set(rename(name), new torch.TensorView({ type: 'FloatStorage', key: String(i), count: size }, shape));
  });
  const entries = [
    ['data.pkl', () => torch.pickle(wrap(dict))],
    ['byteorder', () => Buffer.from('little')],
    ...tensors.map((tensor, i) => [`data/${i}`, () => bytesOf(tensor)]),
    ['version', () => Buffer.from('3\n')],
  ];
  const fd = openSync(path, 'w');
  const central = [];
  let at = 0;
  const put = (bytes) => {
    writeAll(fd, bytes);
    at += bytes.length;
  };
  for (const [file, content] of entries) {
    const name = Buffer.from(`archive/${file}`);
    const bytes = content();
    const sum = crc32(bytes);
    const begin = at;
    const padding = (64 - ((at + 34 + name.length) % 64)) % 64;
    put(Buffer.concat([numbers([4, 0x04034b50], [2, 0], [2, 8], [14, 0], [4, 0], [2, name.length], [2, padding + 4]), name]));
    put(Buffer.concat([Buffer.from('FB'), numbers([2, padding]), Buffer.alloc(padding, 'Z')]));
    put(bytes);
    put(numbers([4, 0x08074b50], [4, sum], [4, bytes.length], [4, bytes.length]));
    const fields = numbers(
      [4, 0x02014b50],
      [2, 0],
      [2, 0],
      [2, 8],
      [2, 0],
      [4, 0],
      [4, sum],
      [4, bytes.length],
      [4, bytes.length],
    );
    central.push(Buffer.concat([fields, numbers([2, name.length], [12, 0], [4, begin]), name]));
  }
  const [count, begin] = [central.length, at];
  for (const entry of central) put(entry);
  put(numbers([4, 0x06054b50], [4, 0], [2, count], [2, count], [4, at - begin], [4, begin], [2, 0]));
  closeSync(fd);
}

/** Little-endian numbers of these many bytes. */
function numbers(...fields) {
  const out = Buffer.alloc(fields.reduce((sum, [bytes]) => sum + bytes, 0));
  let at = 0;
  for (const [bytes, value] of fields) {
    out.writeUIntLE(value, at, Math.min(bytes, 4));
    at += bytes;
  }
  return out;
}

/** Writes the tensors as `count` safetensors files with their index. */
export function writeShards(folder, count, rename = (name) => name) {
  const map = {};
  for (let i = 0; i < count; i++) {
    const file = `model-${String(i + 1).padStart(5, '0')}-of-${String(count).padStart(5, '0')}.safetensors`;
    const part = TENSORS.slice(Math.floor((i * TENSORS.length) / count), Math.floor(((i + 1) * TENSORS.length) / count));
    writeSafetensors(join(folder, file), part, rename);
    for (const { name } of part) map[rename(name)] = file;
  }
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map: map }));
}

/** A new folder with config.json in it. */
export function configured(folder) {
  mkdirSync(folder, { recursive: true });
  copyFileSync(`${official}/aim-b-config.json`, join(folder, 'config.json'));
  return folder;
}

/** Says which tensors of a safetensors file are missing or do not have their values, to the bit; undefined if all have them. */
export function differences(path, tensors = TENSORS) {
  const fd = openSync(path, 'r');
  try {
    const length = Buffer.alloc(8);
    readSync(fd, length, 0, 8, 0);
    const json = Buffer.alloc(Number(length.readBigUInt64LE()));
    readSync(fd, json, 0, json.length, 8);
    const header = JSON.parse(json.toString());
    const wrong = tensors.filter((tensor) => {
      const { dtype, data_offsets: [begin, end] = [] } = header[tensor.name] ?? {};
      if (dtype !== 'F32' || end - begin !== 4 * tensor.size) return true;
      const got = Buffer.alloc(end - begin);
      readSync(fd, got, 0, got.length, 8 + json.length + begin);
      return !got.equals(bytesOf(tensor));
    });
    return wrong.length ? `${wrong.length} tensors are wrong, the first ${wrong[0].name}` : undefined;
  } finally {
    closeSync(fd);
  }
}

/**
 * Writes PyTorch checkpoints as torch.save does (torch/serialization.py: a stored zip of data.pkl, byteorder, data/KEY and
 * version, each entry with a data descriptor and padded to 64 bytes; CPython's pickle protocol 2 with a memo), for tests.
 */
import { crc32 } from '../../src/io/zip.js';

const utf8 = new TextEncoder();

/** An object of a class, called with these arguments. */
export class Call {
  constructor(
    readonly module: string,
    readonly name: string,
    readonly args: unknown[] = [],
    readonly state?: unknown,
  ) {}
}

export class Global {
  constructor(
    readonly module: string,
    readonly name: string,
  ) {}
}

export interface Storage {
  /** FloatStorage, HalfStorage … */
  type: string;
  key: string;
  bytes: Uint8Array;
  count: number;
}

export class TensorView {
  constructor(
    readonly storage: Storage,
    readonly shape: number[],
    readonly stride: number[] = strides(shape),
    readonly offset = 0,
    readonly parameter = false,
  ) {}
}

export function strides(shape: readonly number[]): number[] {
  let step = 1;
  return [...shape]
    .reverse()
    .map((size) => (step *= size) / size || 1)
    .reverse();
}

/** A collections.OrderedDict, as state dicts are. */
export class Ordered extends Map<string, unknown> {}

export function storage(key: string, type: string, data: ArrayBufferView & { length: number }): Storage {
  return { key, type, bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength), count: data.length };
}

/** Pickles a value by protocol 2. Before PyTorch 1.6, storages were described with one more value. */
export function pickle(value: unknown, legacy = false): Uint8Array {
  const out: number[] = [0x80, 2];
  const memo = new Map<unknown, number>();
  let count = 0;
  const put = (key?: unknown) => {
    if (key !== undefined) memo.set(key, count);
    if (count < 256) out.push(0x71, count);
    else out.push(0x72, ...le(count, 4));
    count++;
  };
  const known = (key: unknown) => {
    const index = memo.get(key);
    if (index === undefined) return false;
    if (index < 256) out.push(0x68, index);
    else out.push(0x6a, ...le(index, 4));
    return true;
  };
  const global = (module: string, name: string) => {
    if (known(`c${module}.${name}`)) return;
    out.push(0x63, ...utf8.encode(`${module}\n${name}\n`));
    put(`c${module}.${name}`);
  };
  const tuple = (items: unknown[]) => {
    if (items.length === 0) {
      out.push(0x29);
      return;
    }
    if (items.length > 3) out.push(0x28);
    for (const item of items) save(item);
    out.push(items.length > 3 ? 0x74 : 0x84 + items.length);
    put();
  };
  const items = (map: Iterable<[unknown, unknown]>) => {
    out.push(0x28);
    for (const [key, value] of map) {
      save(key);
      save(value);
    }
    out.push(0x75);
  };
  const save = (value: unknown): void => {
    if (value === null || value === undefined) out.push(0x4e);
    else if (typeof value === 'boolean') out.push(value ? 0x88 : 0x89);
    else if (typeof value === 'number' && Number.isInteger(value)) {
      if (value >= 0 && value < 256) out.push(0x4b, value);
      else if (value >= 0 && value < 65536) out.push(0x4d, ...le(value, 2));
      else if (Math.abs(value) < 2 ** 31) out.push(0x4a, ...le(value >>> 0, 4));
      else out.push(0x8a, 8, ...new Uint8Array(new BigInt64Array([BigInt(value)]).buffer));
    } else if (typeof value === 'number') {
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setFloat64(0, value, false);
      out.push(0x47, ...bytes);
    } else if (typeof value === 'string') {
      if (known(`s${value}`)) return;
      const bytes = utf8.encode(value);
      out.push(0x58, ...le(bytes.length, 4), ...bytes);
      put(`s${value}`);
    } else if (Array.isArray(value)) {
      out.push(0x5d);
      put();
      if (value.length === 0) return;
      out.push(0x28);
      for (const item of value) save(item);
      out.push(0x65);
    } else if (value instanceof Global) global(value.module, value.name);
    else if (value instanceof TensorView) {
      if (value.parameter) {
        global('torch._utils', '_rebuild_parameter');
        out.push(0x28);
      }
      global('torch._utils', '_rebuild_tensor_v2');
      out.push(0x28);
      const { type, key, count: length } = value.storage;
      out.push(0x28);
      for (const part of ['storage', new Global('torch', type), key, 'cpu', length, ...(legacy ? [null] : [])]) save(part);
      out.push(0x74);
      put();
      out.push(0x51);
      save(value.offset);
      tuple(value.shape);
      tuple(value.stride);
      save(false);
      save(new Call('collections', 'OrderedDict'));
      out.push(0x74);
      put();
      out.push(0x52);
      put();
      if (!value.parameter) return;
      save(true);
      save(new Call('collections', 'OrderedDict'));
      out.push(0x74);
      put();
      out.push(0x52);
      put();
    } else if (value instanceof Call) {
      global(value.module, value.name);
      tuple(value.args);
      out.push(0x52);
      put();
      if (value.state !== undefined) {
        save(value.state);
        out.push(0x62);
      }
    } else if (value instanceof Ordered) {
      global('collections', 'OrderedDict');
      out.push(0x29, 0x52);
      put();
      items(value);
      // torch.nn.Module.state_dict gives its dict an attribute.
      save(new Map([['_metadata', new Map([['', new Map([['version', 1]])]])]]));
      out.push(0x62);
    } else {
      out.push(0x7d);
      put();
      items(value instanceof Map ? value : Object.entries(value as object));
    }
  };
  save(value);
  out.push(0x2e);
  return Uint8Array.from(out);
}

function le(value: number, size: number): number[] {
  return Array.from({ length: size }, (_, i) => Math.floor(value / 256 ** i) & 255);
}

export interface ZipOptions {
  /** With a 64-bit directory, as archives beyond 4 GiB have it. */
  zip64?: boolean;
}

/** A stored zip as PyTorch writes it. */
export function zip(files: Readonly<Record<string, Uint8Array>>, { zip64 = false }: ZipOptions = {}): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  const central: Uint8Array[] = [];
  let at = 0;
  const add = (bytes: Uint8Array | number[]) => {
    parts.push(new Uint8Array(bytes));
    at += bytes.length;
  };
  for (const [name, bytes] of Object.entries(files)) {
    const path = utf8.encode(name);
    const header = at;
    const padding = (64 - ((at + 34 + path.length) % 64)) % 64;
    // The sizes follow in the data descriptor.
    add([...le(0x04034b50, 4), ...le(0, 2), ...le(8, 2), ...le(0, 18), ...le(path.length, 2), ...le(padding + 4, 2)]);
    add(path);
    add([...utf8.encode('FB'), ...le(padding, 2), ...new Array<number>(padding).fill(0x5a)]);
    add(bytes);
    add([...le(0x08074b50, 4), ...le(crc32(bytes), 4), ...le(bytes.length, 4), ...le(bytes.length, 4)]);
    const sizes = zip64 ? le(0xffffffff, 4) : le(bytes.length, 4);
    const extra = zip64 ? [...le(1, 2), ...le(24, 2), ...le(bytes.length, 8), ...le(bytes.length, 8), ...le(header, 8)] : [];
    central.push(
      Uint8Array.from([
        ...[...le(0x02014b50, 4), ...le(0, 4), ...le(8, 2), ...le(0, 2), ...le(0, 4), ...le(crc32(bytes), 4), ...sizes, ...sizes],
        ...[...le(path.length, 2), ...le(extra.length, 2), ...le(0, 2), ...le(0, 2), ...le(0, 2), ...le(0, 4)],
        ...(zip64 ? le(0xffffffff, 4) : le(header, 4)),
        ...path,
        ...extra,
      ]),
    );
  }
  const offset = at;
  for (const entry of central) add(entry);
  const [length, count] = [at - offset, central.length];
  if (zip64) {
    const record = at;
    add([...le(0x06064b50, 4), ...le(44, 8), ...le(45, 2), ...le(45, 2), ...le(0, 4), ...le(0, 4)]);
    add([...le(count, 8), ...le(count, 8), ...le(length, 8), ...le(offset, 8)]);
    add([...le(0x07064b50, 4), ...le(0, 4), ...le(record, 8), ...le(1, 4)]);
  }
  const end = zip64 ? [...le(0xffff, 2), ...le(0xffff, 2), ...le(0xffffffff, 4), ...le(0xffffffff, 4)] : [];
  add([...le(0x06054b50, 4), ...le(0, 4)]);
  add(zip64 ? end : [...le(count, 2), ...le(count, 2), ...le(length, 4), ...le(offset, 4)]);
  add(le(0, 2));
  const out = new Uint8Array(at);
  let to = 0;
  for (const part of parts) {
    out.set(part, to);
    to += part.length;
  }
  return out;
}

/** The storages of all tensors in a value. */
function storages(value: unknown, found = new Map<string, Storage>()): Map<string, Storage> {
  if (value instanceof TensorView) found.set(value.storage.key, value.storage);
  else if (Array.isArray(value)) for (const item of value) storages(item, found);
  else if (value instanceof Map) for (const item of value.values()) storages(item, found);
  else if (value?.constructor === Object) for (const item of Object.values(value)) storages(item, found);
  return found;
}

/** The bytes of the file that `torch.save(value)` writes. */
export function torchFile(value: unknown, options: ZipOptions & { folder?: string } = {}): Uint8Array<ArrayBuffer> {
  const { folder = 'archive' } = options;
  const files: Record<string, Uint8Array> = {
    [`${folder}/data.pkl`]: pickle(value),
    [`${folder}/byteorder`]: utf8.encode('little'),
  };
  for (const [key, { bytes }] of storages(value)) files[`${folder}/data/${key}`] = bytes;
  files[`${folder}/version`] = utf8.encode('3\n');
  files[`${folder}/.data/serialization_id`] = utf8.encode('0636457737946401051300000025273995036293');
  return zip(files, options);
}

/** A checkpoint as torch.save wrote it before PyTorch 1.6, with the bytes of `storages`. */
export function legacyFile(
  value: unknown,
  storages: readonly Storage[],
  { protocol = 1001, little = true }: { protocol?: number; little?: boolean } = {},
): Uint8Array<ArrayBuffer> {
  const magic = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
  const machine = { protocol_version: 1001, little_endian: little, type_sizes: { short: 2, int: 4, long: 4 } };
  const parts: (Uint8Array | number[])[] = [magic, pickle(protocol), pickle(machine), pickle(value, true)];
  parts.push(pickle(storages.map(({ key }) => key)));
  for (const { count, bytes } of storages) parts.push(le(count, 8), bytes);
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

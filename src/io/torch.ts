/**
 * Reads PyTorch checkpoints (.pt, .pth, .bin as `torch.save` writes them) as if they were safetensors files. Since PyTorch 1.6
 * such a file is a zip archive without compression: `NAME/data.pkl` describes the objects, `NAME/data/KEY` holds the bytes of
 * each storage, and tensors are views of storages (offset, shape, strides). Older ones are described at `legacySource`. The pickle is never executed (pickle.ts). Only
 * tensors and plain containers are understood; everything else is left out and listed by name.
 * Source: torch/serialization.py and torch/_utils.py.
 */
import { CheckpointError } from '../core/errors.js';
import type { ByteSource } from './bytes.js';
import { DTYPE_BYTES, type Dtype } from './dtype.js';
import { PyCall, PyDict, PyGlobal, PyList, type PyValue, readPickle, readPickles } from './pickle.js';
import { layoutTensors, TorchReader, type TorchSource, TorchStorage, TorchTensor } from './torch_reader.js';
import { readEntry, readZip, type ZipEntry } from './zip.js';

/** How a PyTorch checkpoint is read. */
export interface TorchOptions {
  /** The dict that holds the tensors, e.g. 'ema' or 'model.module'. Default: see `findTensors`. */
  part?: string | undefined;
  signal?: AbortSignal | undefined;
}

const STORAGES: Readonly<Record<string, Dtype>> = {
  DoubleStorage: 'F64',
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
};
const DTYPES: Readonly<Record<string, Dtype>> = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  int64: 'I64',
  int32: 'I32',
  int16: 'I16',
  int8: 'I8',
  uint8: 'U8',
  uint16: 'U16',
  uint32: 'U32',
  uint64: 'U64',
  bool: 'BOOL',
};

const MAX_PICKLE = 2 ** 26;
const MAX_DIMS = 64;
const MAX_DEPTH = 8;
/** Usual names of the dict with the weights: first in the order of the authors of AiM's tokenizer (LlamaGen), then others. */
const WEIGHT_DICTS = ['ema', 'model', 'state_dict', 'module', 'model_state_dict', 'model_ema', 'params_ema', 'params', 'weights'];
const NEVER = /optimizer|scheduler|discriminator|loss/i;
/** The start of files from before PyTorch 1.6: their magic number as a pickled integer. */
const LEGACY = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const REMEDY = "save it again with a current PyTorch: torch.save(model.state_dict(), 'model.pt')";

/**
 * Returns the source itself or, if it is a PyTorch checkpoint, its tensors as a safetensors file. Checkpoints are recognised by
 * their first bytes, not by their name. Throws CheckpointError for a PyTorch file that cannot be read.
 */
export async function asSafetensors(source: ByteSource, options: TorchOptions = {}): Promise<ByteSource> {
  if (!(source.size >= 8)) return source;
  const start = await source.read(0, Math.min(LEGACY.length, source.size), options.signal);
  // A safetensors file begins with the length of a header, at most 100 MB. These files begin with larger numbers.
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  if (view.getBigUint64(0, true) <= 100_000_000n) return source;
  if (view.getUint32(0, true) === 0x04034b50) return torchSource(source, options);
  if (LEGACY.every((byte, i) => start[i] === byte)) return legacySource(source, options);
  if (start[0] === 0x80 && start[1]! >= 2 && start[1]! <= 5)
    throw new CheckpointError(`${source.name} is a bare Python pickle, no checkpoint of torch.save; ${REMEDY}.`);
  return source;
}

/**
 * Presents a PyTorch checkpoint as a safetensors file: a header, then the tensors, contiguous and in the order of the archive.
 * Bytes are read on request. At most one storage is in memory: that of a tensor whose elements are not contiguous. A tensor that
 * is the same view as another one, such as a tied head, is left out and named in the metadata, as safetensors does. Throws
 * CheckpointError with the file's name for what cannot be understood.
 */
export async function torchSource(source: ByteSource, { part, signal }: TorchOptions = {}): Promise<TorchSource> {
  const { name: file } = source;
  const entries = await readZip(source, signal);
  const prefix = await checkArchive(source, entries, signal);
  const root = readPickle(await readEntry(source, entries.get(`${prefix}data.pkl`)!, MAX_PICKLE, signal), {
    file,
    call: (target, args) => rebuild(file, target, args),
    persistent: (id) => storage(file, id),
  });
  const { tensors, ignored } = findTensors(file, root, part);
  const files = new Map<TorchStorage, ZipEntry>();
  for (const [name, { storage }] of tensors) {
    const entry = entries.get(`${prefix}data/${storage.key}`);
    if (!entry) throw bad(file, `has no bytes for the tensor ${short(name)}: its entry data/${short(storage.key)} is missing`);
    const bytes = storage.count * (storage.dtype ? DTYPE_BYTES[storage.dtype] : 1);
    if (entry.method !== 0)
      throw new CheckpointError(`${file} is a compressed zip archive, as torch.save never writes it; ${REMEDY}.`);
    if (entry.size < bytes)
      throw bad(file, `has ${entry.size} bytes for the tensor ${short(name)}, whose storage takes ${bytes}`);
    files.set(storage, entry);
  }
  return new TorchReader(source, layoutTensors(file, source.size, tensors, files), ignored);
}

/** Bytes of a legacy file that are read for its pickles, as long as they do not end there. */
const FIRST_READ = 2 ** 20;

/**
 * Presents a checkpoint from before PyTorch 1.6, such as the FID network's weights, like `torchSource`. Such a file is a sequence of
 * pickles (magic number, protocol, facts about the machine, the objects, the keys of the storages), and then, for each key, its
 * number of elements (int64) and their bytes.
 */
async function legacySource(source: ByteSource, { part, signal }: TorchOptions): Promise<TorchSource> {
  const { name: file, size } = source;
  const storages = new Map<string, TorchStorage>();
  const handlers = {
    file,
    call: (target: string, args: readonly PyValue[]) => rebuild(file, target, args),
    persistent(id: PyValue) {
      const found = storage(file, id);
      if (id instanceof PyList && id.items[5] !== null && id.items[5] !== undefined)
        throw new CheckpointError(`${file} holds storages that are parts of others, as PyTorch 0.4 saved them; ${REMEDY}.`);
      if (found instanceof TorchStorage) storages.set(found.key, found);
      return found;
    },
  };
  let read: ReturnType<typeof readPickles> | undefined;
  for (let length = Math.min(FIRST_READ, size); !read; length = Math.min(4 * length, size)) {
    const bytes = await source.read(0, length, signal);
    try {
      read = readPickles(bytes, 5, handlers);
    } catch (error) {
      // The pickles may be longer than what was read.
      if (length === size || length >= MAX_PICKLE) throw error;
    }
  }
  const [, protocol, machine, root, keys] = read.values;
  if (protocol !== 1001 || !(machine instanceof PyDict) || !(keys instanceof PyList))
    throw bad(file, 'begins like a checkpoint from before PyTorch 1.6, and does not go on like one');
  if (machine.entries.get('little_endian') !== true)
    throw new CheckpointError(`${file} was written on a big-endian machine; ${REMEDY} on a common one.`);
  const { tensors, ignored } = findTensors(file, root!, part);
  const entries = new Map<string, ZipEntry>();
  const offsets = new Map<ZipEntry, number>();
  let at = read.end;
  for (const key of keys.items) {
    const known = typeof key === 'string' ? storages.get(key) : undefined;
    if (!known?.dtype) throw bad(file, `has bytes of a storage ${short(String(key))} that no tensor describes`);
    const bytes = known.count * DTYPE_BYTES[known.dtype];
    if (at + 8 + bytes > size) throw bad(file, `ends within the bytes of its storage ${short(known.key)}`);
    const head = await source.read(at, 8, signal);
    const count = new DataView(head.buffer, head.byteOffset).getBigInt64(0, true);
    if (count !== BigInt(known.count))
      throw bad(file, `has ${count} elements in its storage ${short(known.key)}, of which its description has ${known.count}`);
    const entry = { name: known.key, method: 0, packed: bytes, size: bytes, crc: 0, header: at };
    entries.set(known.key, entry);
    offsets.set(entry, at + 8);
    at += 8 + bytes;
  }
  const files = new Map<TorchStorage, ZipEntry>();
  for (const [name, { storage }] of tensors) {
    const entry = entries.get(storage.key);
    if (!entry) throw bad(file, `has no bytes for the tensor ${short(name)}`);
    files.set(storage, entry);
  }
  return new TorchReader(source, layoutTensors(file, size, tensors, files), ignored, offsets);
}

/** Checks what kind of archive it is. Returns the folder inside it that contains data.pkl, such as `archive/`. */
async function checkArchive(
  source: ByteSource,
  entries: ReadonlyMap<string, ZipEntry>,
  signal: AbortSignal | undefined,
): Promise<string> {
  const found = [...entries.keys()].filter((name) => /^([^/]*\/)?data\.pkl$/.test(name));
  if (found.length !== 1)
    throw new CheckpointError(
      `${source.name} is a zip archive ${found.length ? 'with several files' : 'without a file'} data.pkl, no PyTorch checkpoint; pass model.safetensors or a file of torch.save.`,
    );
  const prefix = found[0]!.slice(0, -'data.pkl'.length);
  if (entries.has(`${prefix}constants.pkl`))
    throw new CheckpointError(`${source.name} is a TorchScript program, of which only weights could be read; ${REMEDY}.`);
  const order = entries.get(`${prefix}byteorder`);
  if (order && new TextDecoder().decode(await readEntry(source, order, 64, signal)).trim() !== 'little')
    throw new CheckpointError(`${source.name} was written on a big-endian machine; ${REMEDY} on a common one.`);
  return prefix;
}

/** Interprets a persistent id: ('storage', class, key, device, count). */
function storage(file: string, id: PyValue): PyValue {
  const [tag, type, key, , count] = id instanceof PyList ? id.items : [];
  if (tag !== 'storage' || !(type instanceof PyGlobal) || typeof key !== 'string' || !isSize(count))
    throw bad(file, 'refers to something outside of its pickle that is no storage of a tensor');
  const name = /^torch(?:\.cuda|\.storage)?\.(\w+)$/.exec(type.name)?.[1] ?? '';
  if (name === 'UntypedStorage' || name === '_UntypedStorage') return new TorchStorage(key, undefined, count);
  const dtype = Object.hasOwn(STORAGES, name) ? STORAGES[name] : undefined;
  return dtype ? new TorchStorage(key, dtype, count) : new PyCall(type.name, []);
}

/** The results of the few functions that checkpoints call. All other calls only record a name. */
function rebuild(file: string, target: string, args: readonly PyValue[]): PyValue | undefined {
  switch (target) {
    case 'collections.OrderedDict':
    case 'builtins.dict':
    case '__builtin__.dict':
      return dictOf(args[0]);
    case 'collections.defaultdict':
      return dictOf(args[1]);
    case 'torch.Size':
      return args[0] instanceof PyList ? new PyList('tuple', args[0].items) : undefined;
    case 'torch._utils._rebuild_tensor':
    case 'torch._utils._rebuild_tensor_v2':
      return tensor(file, args, args[0] instanceof TorchStorage ? args[0].dtype : undefined);
    case 'torch._utils._rebuild_tensor_v3':
      return tensor(file, args, args[6] instanceof PyGlobal ? dtypeOf(args[6].name) : undefined);
    case 'torch._utils._rebuild_parameter':
    case 'torch._utils._rebuild_parameter_with_state':
      return args[0] instanceof TorchTensor ? args[0] : undefined;
    case 'torch._tensor._rebuild_from_type_v2': {
      const [inner, , values] = args;
      return inner instanceof PyGlobal && values instanceof PyList ? rebuild(file, inner.name, values.items) : undefined;
    }
    default:
      return undefined;
  }
}

function dtypeOf(name: string): Dtype | undefined {
  const short = name.replace(/^torch\./, '');
  return Object.hasOwn(DTYPES, short) ? DTYPES[short] : undefined;
}

/** The dict of the pairs in a list. */
function dictOf(pairs: PyValue | undefined): PyDict {
  if (pairs instanceof PyDict) return pairs;
  const dict = new PyDict();
  for (const pair of pairs instanceof PyList ? pairs.items : []) {
    const [key, value] = pair instanceof PyList ? pair.items : [];
    if (typeof key === 'string' && value !== undefined) dict.entries.set(key, value);
    else dict.unnamed++;
  }
  return dict;
}

/** A tensor from (storage, offset, shape, strides). Returns undefined if its storage or dtype is unknown. */
function tensor(file: string, args: readonly PyValue[], dtype: Dtype | undefined): TorchTensor | undefined {
  const [from, offset, shape, stride] = args;
  if (!(from instanceof TorchStorage) || !dtype) return undefined;
  const isSizes = (list: PyValue | undefined): list is PyList => list instanceof PyList && list.items.every(isSize);
  if (!isSize(offset) || !isSizes(shape) || !isSizes(stride) || shape.items.length !== stride.items.length)
    throw bad(file, `has a tensor whose offset, shape or strides are not whole numbers (storage ${short(from.key)})`);
  if (shape.items.length > MAX_DIMS) throw bad(file, `has a tensor of ${shape.items.length} dimensions`);
  const made = new TorchTensor(from, dtype, offset, shape.items as number[], stride.items as number[]);
  const available = from.dtype ? from.count : Math.floor(from.count / DTYPE_BYTES[dtype]);
  if (!made.shape.includes(0) && !(offset + reach(made) < available))
    throw bad(
      file,
      `has a tensor [${made.shape}] with strides [${made.stride}] that lies beyond its storage of ${available} elements`,
    );
  return made;
}

/** Distance in elements from the first to the last element of a tensor that is not empty. */
function reach({ shape, stride }: TorchTensor): number {
  return shape.reduce((sum, size, i) => sum + (size - 1) * stride[i]!, 0);
}

/**
 * The tensors of the dict that holds the weights: the one at `part` if given; else the root if it has tensors; else the first
 * dict with a usual name below the root, or the only dict below it that has tensors.
 */
function findTensors(
  file: string,
  root: PyValue,
  part: string | undefined,
): { tensors: Map<string, TorchTensor>; ignored: string[] } {
  const ignored: string[] = [];
  const path = part === undefined ? undefined : part.split('.');
  let dict: PyValue | undefined = root;
  let at = '';
  for (let depth = 0; depth < MAX_DEPTH && dict instanceof PyDict; depth++) {
    const { entries } = dict as PyDict;
    const next = path?.[depth];
    const wanted = next ?? (path || holdsTensors(dict) ? undefined : choose(file, entries));
    for (const [key, value] of entries)
      if (key !== wanted && !(wanted === undefined && value instanceof TorchTensor))
        ignored.push(`${at}${short(String(key))} (${describe(value)})`);
    if (dict.unnamed) ignored.push(`${dict.unnamed} values of ${at || 'the file'} whose keys are no names`);
    if (wanted === undefined) {
      const tensors = new Map<string, TorchTensor>();
      for (const [key, value] of entries) if (value instanceof TorchTensor) tensors.set(String(key), value);
      if (tensors.size) return { tensors, ignored };
      break;
    }
    if (next !== undefined && !entries.has(next))
      throw new CheckpointError(
        `${file} has no ${at}${next}; it has ${[...entries.keys()].slice(0, 10).join(', ') || 'nothing'}.`,
      );
    dict = entries.get(wanted);
    at += `${wanted}.`;
  }
  const what =
    root instanceof PyDict ? `a dict of ${[...root.entries.keys()].slice(0, 10).join(', ') || 'nothing'}` : describe(root);
  throw new CheckpointError(`${file} holds ${short(what)} and no dict of tensors; ${REMEDY}.`);
}

function holdsTensors(value: PyValue | undefined): boolean {
  return value instanceof PyDict && [...value.entries.values()].some((each) => each instanceof TorchTensor);
}

/** True if there are tensors in the dict or in a dict below it. `known` caches the answers. */
function leadsToTensors(value: PyValue | undefined, known: Map<PyDict, boolean>, depth = 0): boolean {
  if (!(value instanceof PyDict) || depth > MAX_DEPTH) return false;
  let leads = known.get(value);
  if (leads !== undefined) return leads;
  known.set(value, false);
  leads = holdsTensors(value) || [...value.entries.values()].some((each) => leadsToTensors(each, known, depth + 1));
  known.set(value, leads);
  return leads;
}

function choose(file: string, entries: ReadonlyMap<string | number, PyValue>): string | undefined {
  const known = new Map<PyDict, boolean>();
  for (const name of WEIGHT_DICTS) if (leadsToTensors(entries.get(name), known)) return name;
  const others = [...entries].flatMap(([key, value]) =>
    typeof key === 'string' && !NEVER.test(key) && leadsToTensors(value, known) ? [key] : [],
  );
  if (others.length > 1)
    throw new CheckpointError(
      `${file} has several dicts of tensors (${others.slice(0, 10).join(', ')}) and none is named ${WEIGHT_DICTS.slice(0, 3).join(', ')}; save the one that is wanted alone, or convert it with \`aim convert --part ${others[0]}\`.`,
    );
  return others[0];
}

function describe(value: PyValue): string {
  if (value instanceof PyGlobal || value instanceof PyCall) return short(value.name);
  if (value instanceof PyDict) return `dict of ${value.entries.size + value.unnamed}`;
  if (value instanceof PyList) return `${value.kind} of ${value.items.length}`;
  if (value instanceof TorchTensor) return 'tensor';
  if (value instanceof Uint8Array) return 'bytes';
  return value === null ? 'None' : typeof value === 'object' ? 'storage' : typeof value;
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function short(text: string): string {
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}

function bad(file: string, what: string): CheckpointError {
  return new CheckpointError(`${file} ${what}; the file is damaged or no checkpoint of PyTorch: save or download it again.`);
}

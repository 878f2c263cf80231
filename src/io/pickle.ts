/**
 * Reads Python pickles without executing them: a stack machine that builds numbers, strings, lists, tuples and dicts. Anything
 * that a pickle wants to import or call becomes a `PyGlobal` or a `PyCall`, which only record a name and arguments. The caller
 * decides which of them it understands. Nothing is ever imported, constructed or called here. Source: CPython's pickletools.py.
 */
import { CheckpointError } from '../core/errors.js';

export type PyValue = null | boolean | number | bigint | string | Uint8Array | PyList | PyDict | PyGlobal | PyCall | object;

/** A list, tuple or set. */
export class PyList {
  constructor(
    readonly kind: 'list' | 'tuple' | 'set',
    readonly items: PyValue[],
  ) {}
}

/** A dict. Keys that are neither strings nor numbers are only counted. */
export class PyDict {
  readonly entries = new Map<string | number, PyValue>();
  unnamed = 0;
}

/** Something that the pickle refers to by module and name, such as a class or function. */
export class PyGlobal {
  constructor(readonly name: string) {}
}

/** A call or construction that the pickle asks for. It was not carried out. */
export class PyCall {
  constructor(
    readonly name: string,
    readonly args: readonly PyValue[],
  ) {}
}

/** How the caller interprets what a pickle refers to. */
export interface PickleHandlers {
  /** Name of the file, for messages. */
  file: string;
  /** The value of `target(*args)`. Return undefined to leave it a PyCall. */
  call(target: string, args: readonly PyValue[]): PyValue | undefined;
  /** The value of a persistent id. */
  persistent(id: PyValue): PyValue;
}

/** Modules whose functions run code, start programs or touch files. A checkpoint that names one must not be trusted. */
const FORBIDDEN = new Set(
  (
    'os posix nt subprocess sys importlib runpy socket pty shutil ctypes code codeop timeit pdb bdb cProfile profile webbrowser ' +
    'multiprocessing signal tempfile urllib http ftplib smtplib requests pickle _pickle cPickle dill cloudpickle marshal pip ' +
    'commands popen2 platform'
  ).split(' '),
);
const FORBIDDEN_BUILTINS = new Set(
  (
    'eval exec execfile compile open file apply getattr setattr delattr globals locals vars __import__ input raw_input ' +
    'breakpoint exit quit reload'
  ).split(' '),
);

/** A mark on the stack, where a group of values begins. */
const MARK = Symbol('mark');
type Item = PyValue | typeof MARK;
/** Longest number or name that is written as text. */
const MAX_LINE = 1024;
const MAX_ITEMS = 4_000_000;

const OPS: Readonly<Record<number, string>> = {
  105: 'INST',
  111: 'OBJ',
  80: 'PERSID',
  130: 'EXT1',
  131: 'EXT2',
  132: 'EXT4',
  151: 'NEXT_BUFFER',
  152: 'READONLY_BUFFER',
};

/** The value of a pickle (protocols 0 to 5). Throws CheckpointError with the position of the byte and what was found there. */
export const readPickle = (bytes: Uint8Array, handlers: PickleHandlers) => new Machine(bytes, handlers).run();

/** The values of `count` pickles that follow each other, and where the last ends. Throws like readPickle. */
export function readPickles(bytes: Uint8Array, count: number, handlers: PickleHandlers): { values: PyValue[]; end: number } {
  const machine = new Machine(bytes, handlers);
  return { values: Array.from({ length: count }, () => machine.run()), end: machine.at };
}

class Machine {
  private readonly view: DataView;
  private readonly stack: Item[] = [];
  private readonly memo = new Map<number, PyValue>();
  at = 0;
  private op = 0;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly handlers: PickleHandlers,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): PyValue {
    this.stack.length = 0;
    this.memo.clear();
    for (;;) {
      this.op = this.at;
      const code = this.take(1)[0]!;
      // STOP
      if (code === 0x2e) return this.pop();
      this.step(code);
      if (this.stack.length > MAX_ITEMS) throw this.bad(`holds more than ${MAX_ITEMS} values at once`);
    }
  }

  private step(code: number): void {
    const { stack } = this;
    if (this.number(code) || this.text(code) || this.container(code) || this.memory(code)) return;
    switch (code) {
      // PROTO, FRAME
      case 0x80:
        if (this.uint(1) > 5) throw this.bad('is of a protocol later than 5');
        return;
      case 0x95:
        this.take(8);
        return;
      // MARK, POP, POP_MARK, DUP
      case 0x28:
        stack.push(MARK);
        return;
      case 0x30:
        if (stack.pop() === undefined) throw this.bad('takes a value that is not there');
        return;
      case 0x31:
        this.group();
        return;
      case 0x32:
        stack.push(this.top());
        return;
      // GLOBAL, STACK_GLOBAL
      case 0x63:
        stack.push(this.global(this.line(), this.line()));
        return;
      case 0x93: {
        const name = this.pop();
        stack.push(this.global(this.pop(), name));
        return;
      }
      // REDUCE, NEWOBJ, NEWOBJ_EX
      case 0x52:
      case 0x81:
      case 0x92: {
        if (code === 0x92) this.pop();
        const args = this.pop();
        const target = this.pop();
        if (!(args instanceof PyList) || args.kind !== 'tuple') throw this.bad('calls something without a tuple of arguments');
        const name = target instanceof PyGlobal || target instanceof PyCall ? target.name : undefined;
        if (name === undefined) throw this.bad('calls something that is no class or function');
        // Only a function that was named directly can be known; the result of a call cannot.
        const made = target instanceof PyGlobal && code !== 0x92 ? this.handlers.call(name, args.items) : undefined;
        stack.push(made ?? new PyCall(name, args.items));
        return;
      }
      // BUILD sets the state of an object, such as the `_metadata` of a state dict. Nothing needs it.
      case 0x62:
        this.pop();
        this.top();
        return;
      // BINPERSID
      case 0x51:
        stack.push(this.handlers.persistent(this.pop()));
        return;
      default:
        throw this.bad(`has the opcode ${OPS[code] ?? `0x${code.toString(16)}`}, which no checkpoint of tensors needs`);
    }
  }

  /** Handles opcodes of numbers, None and booleans. Returns true if it was one. */
  private number(code: number): boolean {
    const { stack } = this;
    switch (code) {
      case 0x4e:
        stack.push(null);
        return true;
      case 0x88:
      case 0x89:
        stack.push(code === 0x88);
        return true;
      // INT, LONG: decimal text; INT also writes booleans
      case 0x49:
      case 0x4c: {
        const text = this.line().replace(/L$/, '');
        if (!/^[+-]?\d+$/.test(text)) throw this.bad(`has the number ${JSON.stringify(text)}`);
        stack.push(code === 0x49 && /^0[01]$/.test(text) ? text === '01' : small(BigInt(text.replace(/^\+/, ''))));
        return true;
      }
      // BININT, BININT1, BININT2
      case 0x4a:
        stack.push(new DataView(this.take(4).slice().buffer).getInt32(0, true));
        return true;
      case 0x4b:
        stack.push(this.uint(1));
        return true;
      case 0x4d:
        stack.push(this.uint(2));
        return true;
      // LONG1, LONG4: little-endian two's complement
      case 0x8a:
      case 0x8b: {
        const length = this.uint(code === 0x8a ? 1 : 4);
        if (length > MAX_LINE) throw this.bad(`has a number of ${length} bytes`);
        let value = 0n;
        for (const byte of this.take(length).slice().reverse()) value = (value << 8n) | BigInt(byte);
        stack.push(small(length ? BigInt.asIntN(8 * length, value) : 0n));
        return true;
      }
      // FLOAT, BINFLOAT
      case 0x46: {
        const text = this.line();
        const value = Number(text.replace(/^([+-]?)(inf|nan)$/, (_, sign, word) => (word === 'nan' ? 'NaN' : `${sign}Infinity`)));
        if (text.trim() === '' || (Number.isNaN(value) && !/nan/.test(text)))
          throw this.bad(`has the number ${JSON.stringify(text)}`);
        stack.push(value);
        return true;
      }
      case 0x47:
        this.take(8);
        stack.push(this.view.getFloat64(this.at - 8, false));
        return true;
      default:
        return false;
    }
  }

  /** Handles opcodes of strings and bytes. Returns true if it was one. */
  private text(code: number): boolean {
    const { stack } = this;
    switch (code) {
      // STRING, UNICODE: a line of text
      case 0x53:
        stack.push(this.line().replace(/^(['"])(.*)\1$/, '$2'));
        return true;
      case 0x56:
        stack.push(this.line());
        return true;
      // SHORT_BINSTRING, BINSTRING, SHORT_BINUNICODE, BINUNICODE, BINUNICODE8
      case 0x55:
      case 0x54:
      case 0x8c:
      case 0x58:
      case 0x8d:
        stack.push(this.decode(this.take(this.uint(code === 0x55 || code === 0x8c ? 1 : code === 0x8d ? 8 : 4))));
        return true;
      // SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8
      case 0x43:
      case 0x42:
      case 0x8e:
      case 0x96:
        stack.push(this.take(this.uint(code === 0x43 ? 1 : code === 0x42 ? 4 : 8)));
        return true;
      default:
        return false;
    }
  }

  /** Handles opcodes of lists, tuples, dicts and sets. Returns true if it was one. */
  private container(code: number): boolean {
    const { stack } = this;
    switch (code) {
      // EMPTY_LIST, LIST, EMPTY_TUPLE, TUPLE, EMPTY_SET, FROZENSET
      case 0x5d:
        stack.push(new PyList('list', []));
        return true;
      case 0x6c:
        stack.push(new PyList('list', this.group()));
        return true;
      case 0x29:
        stack.push(new PyList('tuple', []));
        return true;
      case 0x74:
        stack.push(new PyList('tuple', this.group()));
        return true;
      case 0x8f:
        stack.push(new PyList('set', []));
        return true;
      case 0x91:
        stack.push(new PyList('set', this.group()));
        return true;
      // TUPLE1, TUPLE2, TUPLE3
      case 0x85:
      case 0x86:
      case 0x87: {
        const items = Array.from({ length: code - 0x84 }, () => this.pop()).reverse();
        stack.push(new PyList('tuple', items));
        return true;
      }
      // APPEND, APPENDS, ADDITEMS
      case 0x61:
      case 0x65:
      case 0x90: {
        const items = code === 0x61 ? [this.pop()] : this.group();
        const list = this.top();
        if (list instanceof PyList) for (const item of items) list.items.push(item);
        else if (!(list instanceof PyCall)) throw this.bad('adds values to something that is no list');
        return true;
      }
      // EMPTY_DICT, DICT
      case 0x7d:
        stack.push(new PyDict());
        return true;
      case 0x64: {
        const dict = new PyDict();
        this.setItems(dict, this.group());
        stack.push(dict);
        return true;
      }
      // SETITEM, SETITEMS
      case 0x73: {
        const value = this.pop();
        const key = this.pop();
        this.setItems(this.top(), [key, value]);
        return true;
      }
      case 0x75: {
        const items = this.group();
        this.setItems(this.top(), items);
        return true;
      }
      default:
        return false;
    }
  }

  /** Handles opcodes that store a value in the memo or recall it. Returns true if it was one. */
  private memory(code: number): boolean {
    switch (code) {
      // PUT, BINPUT, LONG_BINPUT, MEMOIZE
      case 0x70:
        this.memo.set(Number(this.line()), this.top());
        return true;
      case 0x71:
        this.memo.set(this.uint(1), this.top());
        return true;
      case 0x72:
        this.memo.set(this.uint(4), this.top());
        return true;
      case 0x94:
        this.memo.set(this.memo.size, this.top());
        return true;
      // GET, BINGET, LONG_BINGET
      case 0x67:
      case 0x68:
      case 0x6a: {
        const index = code === 0x67 ? Number(this.line()) : this.uint(code === 0x68 ? 1 : 4);
        const value = this.memo.get(index);
        if (value === undefined) throw this.bad(`recalls the value ${index}, which it never stored`);
        this.stack.push(value);
        return true;
      }
      default:
        return false;
    }
  }

  private setItems(dict: PyValue, items: readonly PyValue[]): void {
    if (dict instanceof PyCall) return;
    if (!(dict instanceof PyDict)) throw this.bad('sets items of something that is no dict');
    if (items.length % 2) throw this.bad('sets an item without a value');
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i]!;
      if (typeof key === 'string' || typeof key === 'number') dict.entries.set(key, items[i + 1]!);
      else dict.unnamed++;
    }
  }

  private global(module: PyValue, name: PyValue): PyGlobal {
    if (typeof module !== 'string' || typeof name !== 'string' || module.length + name.length > MAX_LINE)
      throw this.bad('imports something without a name');
    const full = `${module}.${name}`;
    const isBuiltin = module === 'builtins' || module === '__builtin__';
    if (FORBIDDEN.has(module.split('.')[0]!) || (isBuiltin && FORBIDDEN_BUILTINS.has(name)))
      throw new CheckpointError(
        `${this.handlers.file} names ${full}, which runs code as soon as Python loads the file; nothing of it was run here. ` +
          'Do not trust this file: get the weights from another place, best as safetensors.',
      );
    return new PyGlobal(full);
  }

  private top(): PyValue {
    const value = this.stack.at(-1);
    if (value === undefined || value === MARK) throw this.bad('uses a value that is not there');
    return value as PyValue;
  }

  private pop(): PyValue {
    const value = this.top();
    this.stack.pop();
    return value;
  }

  /** Removes the last mark and the values since then, and returns the values. */
  private group(): PyValue[] {
    const { stack } = this;
    const mark = stack.lastIndexOf(MARK);
    if (mark < 0) throw this.bad('ends a group that it never began');
    const values = stack.splice(mark + 1) as PyValue[];
    stack.pop();
    return values;
  }

  private take(length: number): Uint8Array {
    if (this.at + length > this.bytes.length) throw this.bad('is cut off');
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  private uint(size: 1 | 2 | 4 | 8): number {
    this.take(size);
    const at = this.at - size;
    if (size === 1) return this.view.getUint8(at);
    if (size === 2) return this.view.getUint16(at, true);
    if (size === 4) return this.view.getUint32(at, true);
    return Number(this.view.getBigUint64(at, true));
  }

  private line(): string {
    const end = this.bytes.subarray(this.at, this.at + MAX_LINE + 1).indexOf(10);
    if (end < 0) throw this.bad(`has a line without end or of more than ${MAX_LINE} bytes`);
    const text = this.decode(this.take(end));
    this.at++;
    return text;
  }

  private decode(bytes: Uint8Array): string {
    return new TextDecoder().decode(bytes);
  }

  private bad(what: string): CheckpointError {
    return new CheckpointError(
      `${this.handlers.file}: its pickle ${what} (byte ${this.op}); the file is damaged or no PyTorch checkpoint: save or download it again.`,
    );
  }
}

function small(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

/** Evaluates constants and types of a kernel for tests: the size of workgroup memory, and statements that fill it. */
import type { Kernel } from '../src/backend/wgsl/kernel.js';
import type { Declaration } from '../src/ops/shader_file.js';

/** A parsed WGSL type. */
export type WgslType =
  | { kind: 'array'; of: WgslType; count: string }
  | { kind: 'vector'; scalar: string; width: number; name: string }
  | { kind: 'scalar'; scalar: string };

/** A kernel's declarations of one kind, by name. */
function declared(kernel: Kernel, declare: Declaration['declare']): Record<string, string> {
  const all = kernel.body.flatMap(({ piece }) =>
    typeof piece !== 'string' && 'declare' in piece && piece.declare === declare ? [[piece.name, piece.value]] : [],
  );
  return Object.fromEntries(all);
}

/** Workgroup variables and their types. */
export function workgroupVariables(kernel: Kernel): [name: string, type: WgslType][] {
  const aliases = declared(kernel, 'alias');
  return Object.entries(declared(kernel, 'var<workgroup>')).map(([name, type]) => [name, typeOf(type, aliases)]);
}

const SHORT: Record<string, string> = { f: 'f32', i: 'i32', u: 'u32', h: 'f16' };
const SCALARS = ['f32', 'f16', 'u32', 'i32', 'bool', 'atomic<u32>'];

function typeOf(text: string, aliases: Record<string, string>): WgslType {
  if (aliases[text]) return typeOf(aliases[text], aliases);
  if (SCALARS.includes(text)) return { kind: 'scalar', scalar: text };
  if (text.startsWith('array<') && text.endsWith('>')) {
    // The count comes after the last comma that is in no angle brackets of its own.
    const at = text.lastIndexOf(', ');
    return { kind: 'array', of: typeOf(text.slice('array<'.length, at), aliases), count: text.slice(at + 2, -1) };
  }
  if (text.startsWith('vec')) {
    const scalar = text[4] === '<' ? text.slice(5, -1) : SHORT[text.slice(4)];
    if (scalar && SCALARS.includes(scalar)) return { kind: 'vector', scalar, width: Number(text[3]), name: text };
  }
  throw new Error(`the type ${text} is unknown here`);
}

/** Size of a variable of a type, bytes. */
export function bytesOf(type: WgslType, kernel: Kernel): number {
  if (type.kind === 'array') return bytesOf(type.of, kernel) * constant(type.count, kernel);
  const scalar = type.scalar === 'f16' ? 2 : 4;
  // A vector of three is as large as one of four.
  return type.kind === 'scalar' ? scalar : scalar * (type.width === 2 ? 2 : 4);
}

/** The value of a constant expression, in whole numbers as WGSL has them: a small parser of `a + b * f(c)`. */
export function constant(text: string, kernel: Kernel): number {
  const constants = declared(kernel, 'const');
  const tokens = tokensOf(text);
  let at = 0;
  const expect = (token: string) => {
    if (tokens[at++] !== token) throw new Error(`"${text}": ${token} is missing at token ${at}`);
  };
  const functions: Record<string, (...n: number[]) => number> = {
    select: (no, yes, choice) => (choice ? yes! : no!),
    min: Math.min,
    max: Math.max,
  };
  const primary = (): number => {
    const token = tokens[at++];
    if (token === '(') {
      const value = level(0);
      expect(')');
      return value;
    }
    if (token === undefined) throw new Error(`"${text}" ends too early`);
    if (isDigit(token[0]!)) return Number(token.endsWith('u') ? token.slice(0, -1) : token);
    if (tokens[at] === '(') {
      const args: number[] = [];
      do {
        at++;
        args.push(level(0));
      } while (tokens[at] === ',');
      expect(')');
      const call = functions[token];
      if (!call) throw new Error(`"${text}": the function ${token} is unknown here`);
      return call(...args);
    }
    if (token in kernel.constants) return kernel.constants[token]!;
    const value = constants[token];
    if (value === undefined) throw new Error(`"${text}": there is no constant ${token}`);
    return constant(value, kernel);
  };
  const levels: Record<string, (a: number, b: number) => number>[] = [
    { '==': (a, b) => Number(a === b) },
    { '+': (a, b) => a + b, '-': (a, b) => a - b },
    { '*': (a, b) => a * b, '/': (a, b) => Math.trunc(a / b), '%': (a, b) => a % b },
  ];
  const level = (n: number): number => {
    if (n === levels.length) return primary();
    let value = level(n + 1);
    for (let op = levels[n]![tokens[at] ?? '']; op; op = levels[n]![tokens[at] ?? '']) {
      at++;
      value = op(value, level(n + 1));
    }
    return value;
  };
  const value = level(0);
  if (at !== tokens.length) throw new Error(`"${text}": ${tokens[at]} is not understood`);
  return value;
}

const isDigit = (c: string) => c >= '0' && c <= '9';
const isWord = (c: string) => isDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c === '_';

function tokensOf(text: string): string[] {
  const tokens: string[] = [];
  for (let i = 0; i < text.length; ) {
    let end = i + 1;
    if (isWord(text[i]!)) while (end < text.length && isWord(text[end]!)) end++;
    else if (text.startsWith('==', i)) end = i + 2;
    if (text[i] !== ' ') tokens.push(text.slice(i, end));
    i = end;
  }
  return tokens;
}

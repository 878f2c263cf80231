/** A WebGPU kernel as a value: everything that one pass of an op's plan compiles, before it becomes text (assemble.ts). */
import type { Declaration, Piece, ShaderFile, Text } from '../../ops/shader_file.js';
import type { AnyEntry, GpuPass, TensorSpec } from '../../ops/spec.js';

/** A tensor or workspace that a pass binds. */
export interface Binding {
  readonly name: string;
  readonly writable: boolean;
}

/** A binding with the type that the kernel declares for it. */
export interface TypedBinding extends Binding {
  /** WGSL type of an element. */
  readonly element: string;
  /** True if elements are f16, packed into u32 and read as f32. In a kernel that writes f16 they are of WGSL's type f16 instead. */
  readonly half: boolean;
}

/** A piece of shader text and the file it comes from. */
export interface Located {
  readonly file: string | undefined;
  readonly piece: string | Text | Declaration;
}

export interface Kernel {
  /** Op, entry and a hash of everything else that distinguishes kernels of this entry, e.g. `linear.forward_vec4 1a2b3c`. */
  readonly label: string;
  /** The function that each workgroup calls. */
  readonly entry: string;
  /** The entry's parameters, by their names in BUILTINS (assemble.ts). */
  readonly builtins: readonly string[];
  /** Threads per workgroup, as a WGSL expression. */
  readonly threads: string;
  /** WGSL language extensions. */
  readonly enable: readonly string[];
  /** Constants that the plan sets, as u32. */
  readonly constants: Readonly<Record<string, number>>;
  /** Fields of the uniform `params` and their types. */
  readonly params: readonly (readonly [name: string, type: string])[];
  readonly bindings: readonly TypedBinding[];
  /** The pieces of the shader in order, with each included file once. */
  readonly body: readonly Located[];
}

/** The kernel of one pass. `half` names the tensors that are given as f16. */
export function kernelOf(e: AnyEntry, pass: GpuPass, half: ReadonlySet<string>): Kernel {
  const { shader } = e;
  const name = pass.entry ?? e.entry;
  const bindings = bindingsOf(e, pass);
  shader.check?.(e as never, pass as never, bindings);
  const sections = [...(pass.sections ?? []), name].map((wanted) => shader.sections[wanted]!);
  const { threads, builtins } = sections.at(-1)!;
  // Only the type f16 can be written number by number; it needs the feature shader-f16.
  const native = bindings.some((b) => b.writable && half.has(b.name));
  const body: Located[] = [];
  const seen = new Set<ShaderFile>();
  const constants = Object.fromEntries(
    Object.entries(pass.constants ?? {}).filter((c): c is [string, number] => c[1] !== undefined),
  );
  const append = (file: string | undefined, pieces: readonly Piece[]) => appendTo(body, seen, constants, file, pieces);
  append(shader.file, shader.head);
  const chosen = pass.include?.map((wanted) => shader.optional[wanted]!);
  append(shader.file, chosen ?? []);
  for (const { pieces } of sections) append(shader.file, pieces);
  return {
    label: `${e.op}.${name} ${hash(kernelKey(e, pass, half))}`,
    entry: name,
    builtins: builtins!,
    threads: threads!,
    enable: [...(pass.enable ?? []), ...(native ? ['f16'] : [])],
    constants,
    params: [
      ...e.dimNames.map((n) => [n, 'u32'] as const),
      ...e.attrNames.map((n) => [n, e.attrs[n] as string] as const),
      ...e.names.filter((n) => e.tensors[n].optional).map((n) => [`has_${n}`, 'u32'] as const),
    ],
    bindings: bindings.map((b) => ({ ...b, ...elementOf(e, pass, half, b.name, native) })),
    body,
  };
}

/** Appends pieces to `body`. Replaces an included file by its own pieces, unless it was included before, and writes out repetitions. */
function appendTo(
  body: Located[],
  seen: Set<ShaderFile>,
  constants: Kernel['constants'],
  file: string | undefined,
  pieces: readonly Piece[],
): void {
  for (const piece of pieces) {
    if (typeof piece !== 'string' && 'head' in piece) {
      if (seen.has(piece)) continue;
      seen.add(piece);
      appendTo(body, seen, constants, piece.file, piece.head);
    } else if (typeof piece !== 'string' && 'repeat' in piece) {
      const [name, times] = piece.repeat.split(' ') as [string, string];
      for (let n = 0; n < (constants[times] ?? Number(times)); n++) {
        const once: Located[] = [];
        appendTo(once, seen, constants, file, piece.pieces);
        body.push(...once.map((at) => ({ file, piece: numbered(at.piece, `$${name}`, n) })));
      }
    } else body.push({ file, piece });
  }
}

/** A piece with the number for the name. */
function numbered(piece: Located['piece'], name: string, n: number): Located['piece'] {
  if (typeof piece === 'string') return piece.replaceAll(name, String(n));
  return 'text' in piece ? { ...piece, text: piece.text.replaceAll(name, String(n)) } : piece;
}

/**
 * The bindings of a pass, in order: the tensors and workspaces that it names, else all tensors of the entry that kernels bind.
 */
export function bindingsOf(e: AnyEntry, { reads, writes }: GpuPass): Binding[] {
  if (!reads && !writes)
    return e.names.filter((n) => !e.tensors[n].between).map((name) => ({ name, writable: e.tensors[name].io !== 'in' }));
  const of = (names: string[] | undefined, writable: boolean) => (names ?? []).map((name) => ({ name, writable }));
  return [...of(reads, false), ...of(writes, true)];
}

/** The WGSL type of a binding's elements. */
function elementOf(e: AnyEntry, { elements, vec4 }: GpuPass, half: ReadonlySet<string>, name: string, native: boolean) {
  if (elements?.[name]) return { element: elements[name], half: false };
  const packed = half.has(name) && !native;
  const scalar = packed ? 'u32' : half.has(name) ? 'f16' : ((e.tensors[name] as TensorSpec | undefined)?.dtype ?? 'f32');
  const vector = packed ? 'vec2<u32>' : `vec4<${scalar}>`;
  return { element: vec4?.includes(name) ? vector : scalar, half: packed };
}

/** Bytes of an element: a number or a vector of them. */
export const bytesOf = (element: string) =>
  (element.includes('f16') ? 2 : 4) * (element.startsWith('vec') ? Number(element[3]) : 1);

/** A key that is equal for passes with the same kernel. */
export function kernelKey(e: AnyEntry, pass: GpuPass, half: ReadonlySet<string>): string {
  const { entry = e.entry, include, sections, constants, vec4, elements, reads, writes } = pass;
  return `${e.op}.${entry} ${JSON.stringify([constants, vec4, elements, reads, writes, sections, [...half], include, e.entry])}`;
}

/** Six hexadecimal digits of the FNV-1a hash. */
function hash(text: string): string {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return (h >>> 8).toString(16).padStart(6, '0');
}

/** A WebGPU kernel as a value: what one pass of an op's plan compiles, before it is text (assemble.ts). */
import type { Declaration, Piece, ShaderFile, Text } from '../../ops/shader_file.js';
import type { AnyEntry, GpuPass, TensorSpec } from '../../ops/spec.js';

export interface Binding {
  readonly name: string;
  readonly writable: boolean;
}

/** A binding as the kernel declares it. */
export interface TypedBinding extends Binding {
  /** WGSL type of its elements. */
  readonly element: string;
  /** Whether elements are f16, packed into u32: read as f32. */
  readonly half: boolean;
}

/** A stretch of a shader file. */
export interface Located {
  readonly file: string;
  readonly piece: string | Text | Declaration;
}

export interface Kernel {
  /** Op, entry and a hash of what else tells kernels of the entry apart, e.g. `linear.forward_vec4 1a2b3c`. */
  readonly label: string;
  /** The function that each workgroup calls. */
  readonly entry: string;
  /** Its parameters, by the names of BUILTINS in assemble.ts. */
  readonly builtins: readonly string[];
  /** Threads of a workgroup, as a WGSL expression. */
  readonly threads: string;
  /** WGSL language extensions. */
  readonly enable: readonly string[];
  /** What the plan fixes, as u32. */
  readonly constants: Readonly<Record<string, number>>;
  /** Fields of the uniform `params` and their types. */
  readonly params: readonly (readonly [name: string, type: string])[];
  readonly bindings: readonly TypedBinding[];
  /** The shader's text in order, each file once. */
  readonly body: readonly Located[];
}

/** Makes the kernel of one pass; `half` names the tensors given as f16. */
export function kernelOf(e: AnyEntry, pass: GpuPass, half: ReadonlySet<string>): Kernel {
  const { shader } = e;
  const name = pass.entry ?? e.entry;
  const bindings = bindingsOf(e, pass);
  shader.check?.(e as never, pass as never, bindings);
  const sections = [...(pass.sections ?? []), name].map((wanted) => shader.sections[wanted]!);
  const { threads, builtins } = sections.at(-1)!;
  const body: Located[] = [];
  const seen = new Set<ShaderFile>();
  append(body, seen, shader.file, shader.head);
  const chosen = pass.include?.map((wanted) => shader.optional.find(({ file }) => file === `lib/${wanted}.wgsl`)!);
  append(body, seen, shader.file, chosen ?? []);
  for (const { pieces } of sections) append(body, seen, shader.file, pieces);
  return {
    label: `${e.op}.${name} ${hash(kernelKey(e, pass, half))}`,
    entry: name,
    builtins: builtins!,
    threads: threads!,
    enable: pass.enable ?? [],
    constants: Object.fromEntries(Object.entries(pass.constants ?? {}).filter((c): c is [string, number] => c[1] !== undefined)),
    params: [
      ...e.dimNames.map((n) => [n, 'u32'] as const),
      ...e.attrNames.map((n) => [n, e.attrs[n] as string] as const),
      ...e.names.filter((n) => e.tensors[n].optional).map((n) => [`has_${n}`, 'u32'] as const),
    ],
    bindings: bindings.map((b) => ({ ...b, ...elementOf(e, pass, half, b.name) })),
    body,
  };
}

/** Adds pieces, and those of files that they include and that are not there yet. */
function append(body: Located[], seen: Set<ShaderFile>, file: string, pieces: readonly Piece[]): void {
  for (const piece of pieces) {
    if (typeof piece === 'string' || !('file' in piece)) body.push({ file, piece });
    else if (!seen.has(piece)) {
      seen.add(piece);
      append(body, seen, piece.file, piece.head);
    }
  }
}

/** What a pass binds, in order: the tensors and workspaces it names, else all of the entry's tensors that kernels bind. */
export function bindingsOf(e: AnyEntry, { reads, writes }: GpuPass): Binding[] {
  if (!reads && !writes)
    return e.names.filter((n) => !e.tensors[n].between).map((name) => ({ name, writable: e.tensors[name].io !== 'in' }));
  const of = (names: string[] | undefined, writable: boolean) => (names ?? []).map((name) => ({ name, writable }));
  return [...of(reads, false), ...of(writes, true)];
}

/** Type of a binding's elements. */
function elementOf(e: AnyEntry, { elements, vec4 }: GpuPass, half: ReadonlySet<string>, name: string) {
  if (elements?.[name]) return { element: elements[name], half: false };
  const isHalf = half.has(name);
  const scalar = isHalf ? 'u32' : ((e.tensors[name] as TensorSpec | undefined)?.dtype ?? 'f32');
  const vector = isHalf ? 'vec2<u32>' : `vec4<${scalar}>`;
  return { element: vec4?.includes(name) ? vector : scalar, half: isHalf };
}

/** Bytes of an element: of 32-bit numbers, alone or in a vector. */
export const bytesOf = (element: string) => 4 * (element.startsWith('vec') ? Number(element[3]) : 1);

/** Equal for passes of the same kernel. */
export function kernelKey(e: AnyEntry, pass: GpuPass, half: ReadonlySet<string>): string {
  const { entry = e.entry, include, sections, constants, vec4, elements, reads, writes } = pass;
  return `${e.op}.${entry} ${JSON.stringify([constants, vec4, elements, reads, writes, sections, [...half], include, e.entry])}`;
}

/** Six hexadecimal digits of FNV-1a. */
function hash(text: string): string {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return (h >>> 8).toString(16).padStart(6, '0');
}

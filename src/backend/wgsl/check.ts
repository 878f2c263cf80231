/** Checks a shader file against the spec and plan of its op, so that a reader can rely on the binding lines in the file. */
import type { Piece, ShaderFile } from '../../ops/shader_file.js';
import type { AnyEntry, GpuPass, TensorSpec } from '../../ops/spec.js';
import type { Binding } from './kernel.js';

/** Throws if the shader lacks something that the pass names, or if its binding lines disagree with what the pass binds. */
export function check(e: AnyEntry, pass: GpuPass, bindings: readonly Binding[]): void {
  const { file, sections, optional } = e.shader as ShaderFile;
  const entry = pass.entry ?? e.entry;
  for (const name of [...(pass.sections ?? []), entry])
    if (!sections[name]) throw new Error(`shaders/${file} has no section "// @section ${name}"`);
  if (!sections[entry]!.threads) throw new Error(`shaders/${file} has no entry "// @entry ${entry}, SIZE threads"`);
  for (const name of pass.include ?? [])
    if (!optional[name]) throw new Error(`shaders/${file} has no line #optional "lib/${name}.wgsl"`);

  for (const pieces of [
    (e.shader as ShaderFile).head,
    ...[...(pass.sections ?? []), entry].map((name) => sections[name]!.pieces),
  ])
    checkRepeats(file, pieces, pass.constants ?? {});
  const lines = [...(pass.sections ?? []), entry].flatMap((name) => sections[name]!.bindings ?? []);
  const declared = new Map(lines.map((d) => [nameIn(d.text), d]));
  for (const b of bindings) {
    const line = declared.get(b.name);
    const want = bindingLine(e, b);
    const begin = sections[entry]!.line;
    if (!line)
      throw new Error(`shaders/${file}:${begin} entry ${entry} has no line for ${b.name}; ${e.key} binds it: "// @${want}".`);
    const fits = e.tensors[b.name] ? line.text === want : line.text.startsWith('in ') !== b.writable;
    if (!fits)
      throw new Error(`shaders/${file}:${line.line} says "${line.text}", but ${e.key} in src/ops/${e.op}.ts says "${want}".`);
    declared.delete(b.name);
  }
  for (const [name, { line }] of declared)
    throw new Error(`shaders/${file}:${line} binds ${name}, but entry ${entry} of ${e.key} does not; drop the line or bind it.`);
}

/** Throws if a plan does not say how often lines are to be repeated. */
function checkRepeats(file: string | undefined, pieces: readonly Piece[], constants: NonNullable<GpuPass['constants']>): void {
  for (const piece of pieces) {
    if (typeof piece === 'string') continue;
    if ('head' in piece) checkRepeats(piece.file, piece.head, constants);
    if (!('repeat' in piece)) continue;
    const times = piece.repeat.split(' ')[1]!;
    if (!((constants[times] ?? Number(times)) >= 0))
      throw new Error(`shaders/${file} repeats lines ${times} times, a constant that the plan does not have`);
    checkRepeats(file, piece.pieces, constants);
  }
}

/** The name in a binding line: `x` in `in x?: f32 [m, n]`. */
function nameIn(text: string): string {
  const name = text.slice(text.indexOf(' ') + 1, text.indexOf(':'));
  return name.endsWith('?') ? name.slice(0, -1) : name;
}

/** The line that a binding should have. The type and shape of a workspace are known only to the shader. */
function bindingLine(e: AnyEntry, { name, writable }: Binding): string {
  const spec = e.tensors[name] as TensorSpec | undefined;
  if (!spec) return `${writable ? 'out' : 'in'} ${name}: TYPE [SHAPE]`;
  const { shape, io, dtype = 'f32', half, optional } = spec;
  const type = half ? `${dtype} | f16` : dtype;
  return `${writable ? io : 'in'} ${name}${optional ? '?' : ''}: ${type} [${shape.split(' ').filter(Boolean).join(', ')}]`;
}

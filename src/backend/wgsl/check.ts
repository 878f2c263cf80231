/** Checks the binding lines of a shader (`// @in x: f32 [m, k]`) against the op's spec, so that a reader can believe them. */
import type { Section } from '../../ops/shader_file.js';
import type { AnyEntry, TensorSpec } from '../../ops/spec.js';
import type { Binding } from './kernel.js';

/** Throws where the sections of a kernel and the spec disagree about what is bound. Release builds have nothing to check. */
export function checkBindings(e: AnyEntry, entry: string, bindings: readonly Binding[], sections: readonly Section[]): void {
  const { file } = e.shader;
  const section = sections.at(-1)!;
  if (!section.bindings) return;
  const declared = new Map(sections.flatMap((s) => s.bindings ?? []).map((d) => [nameIn(d.text), d]));
  for (const b of bindings) {
    const line = declared.get(b.name);
    const want = bindingLine(e, b);
    if (!line)
      throw new Error(
        `shaders/${file}:${section.line} entry ${entry} has no line for ${b.name}; ${e.key} binds it: "// @${want}".`,
      );
    const spec = e.tensors[b.name] as TensorSpec | undefined;
    const fits = spec ? line.text === want : line.text.startsWith('in ') !== b.writable;
    if (!fits)
      throw new Error(`shaders/${file}:${line.line} says "${line.text}", but ${e.key} in src/ops/${e.op}.ts says "${want}".`);
    declared.delete(b.name);
  }
  for (const [name, { line }] of declared)
    throw new Error(`shaders/${file}:${line} binds ${name}, but entry ${entry} of ${e.key} does not; drop the line or bind it.`);
}

/** `x` of `in x?: f32 [m, n]`. */
function nameIn(text: string): string {
  const name = text.slice(text.indexOf(' ') + 1, text.indexOf(':'));
  return name.endsWith('?') ? name.slice(0, -1) : name;
}

/** The line that a binding should have; a workspace's type and shape are the shader's own. */
function bindingLine(e: AnyEntry, { name, writable }: Binding): string {
  const spec = e.tensors[name] as TensorSpec | undefined;
  if (!spec) return `${writable ? 'out' : 'in'} ${name}: TYPE [SHAPE]`;
  const { shape, io, dtype = 'f32', half, optional } = spec;
  const type = half ? `${dtype} | f16` : dtype;
  return `${writable ? io : 'in'} ${name}${optional ? '?' : ''}: ${type} [${shape.split(' ').filter(Boolean).join(', ')}]`;
}

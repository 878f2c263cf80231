/** Assembles the WGSL text of a kernel and records the source of each of its lines. */
import type { Kernel, Located, TypedBinding } from './kernel.js';

/** How launches of a series (../series.ts) find their tensors: launch number `member` adds member × steps to its indices. */
export interface SeriesLayout {
  /** Index of the bind group. */
  readonly slot: number;
  /** Workgroups along x of a single launch. Member n is launched with n more, which tells its number; the extra ones exit. */
  readonly x: number;
  /** Distance in elements from the tensors of one member to those of the next, by binding. */
  readonly steps: readonly number[];
}

export interface AssembleOptions {
  series?: SeriesLayout | undefined;
  /** Statements to run before the entry, in all threads; `lid` is the index of the thread. For tests. */
  prologue?: readonly string[] | undefined;
}

/** The place of a line in shaders/. Undefined for generated lines. */
export interface SourceLine {
  readonly file: string;
  readonly line: number;
}

/** The text of a kernel, as WebGPU compiles it. */
export interface Assembled {
  readonly label: string;
  readonly code: string;
  /** The source of each line of `code`. */
  readonly places: readonly (SourceLine | undefined)[];
}

/** The name of the generated entry point. */
export const MAIN = 'main';

/** Parameters that an entry of a shader may have. */
const BUILTINS: Record<string, string> = {
  wg: '@builtin(workgroup_id) wg: vec3u',
  nwg: '@builtin(num_workgroups) nwg: vec3u',
  lid: '@builtin(local_invocation_index) lid: u32',
  warp: '@builtin(subgroup_id) warp: u32',
};

/** Joins constants, parameters, bindings with their accessors, the shader's text and the generated entry point. */
export function assemble(kernel: Kernel, options: AssembleOptions = {}): Assembled {
  const { series } = options;
  const lines: string[] = [];
  const places: (SourceLine | undefined)[] = [];
  const generated = (...rows: string[]) => {
    for (const row of rows) {
      lines.push(row);
      places.push(undefined);
    }
  };
  generated(
    ...kernel.enable.map((extension) => `enable ${extension};`),
    // More rounds than any loop has: see docs/architecture.md, Guards.
    'const MOST = 0x10000000u;',
    ...Object.entries(kernel.constants).map(([name, value]) => `const ${name}: u32 = ${value}u;`),
    `struct Params { ${kernel.params.map(([name, type]) => `${name}: ${type},`).join(' ')} }`,
    `@group(${series?.slot ?? 0}) @binding(0) var<uniform> params: Params;`,
    ...(series ? ['var<private> member: u32;'] : []),
    ...kernel.bindings.flatMap((b, i) => [
      `@group(${series?.slot ?? 0}) @binding(${i + 1}) var<storage, ${b.writable ? 'read_write' : 'read'}> ${variable(b.name)}: array<${b.element}>;`,
      ...accessors(b, series?.steps[i] ? `member * ${series.steps[i]}u + ` : ''),
    ]),
    'fn flat(at: vec3u, n: vec3u) -> u32 { return at.x + n.x * (at.y + n.y * at.z); }',
  );
  for (const { file, piece } of kernel.body)
    for (const [i, row] of textOf(piece).split('\n').entries()) {
      lines.push(row);
      places.push(file === undefined ? undefined : { file, line: (typeof piece === 'string' ? 1 : piece.line) + i });
    }
  generated(...main(kernel, options));
  return { label: kernel.label, code: lines.join('\n'), places };
}

function textOf(piece: Located['piece']): string {
  if (typeof piece === 'string') return piece;
  if ('text' in piece) return piece.text;
  return `${piece.declare} ${piece.name}${piece.declare === 'var<workgroup>' ? ':' : ' ='} ${piece.value};`;
}

/** The WGSL variable of a binding. Shader files do not use it: they read and write through the accessors. */
const variable = (name: string) => `${name}_buffer`;

/**
 * The functions through which a shader accesses a binding x, whose elements may be vectors of four: x_at(i) returns element i,
 * x_put(i, value) overwrites it, x_add(i, value) adds to it, and x_scalar(i) returns number i. They take and return f32 where elements
 * are f16. `offset` is the start of the tensor of a series' member, as an expression.
 */
function accessors({ name, element, half, writable }: TypedBinding, offset: string): string[] {
  const x = (at: string) => `${variable(name)}[${offset}${at}]`;
  const get = (suffix: string, type: string, value: string) => `fn ${name}_${suffix}(at: u32) -> ${type} { return ${value}; }`;
  const vector = element.startsWith('vec');
  const value = half ? (vector ? 'vec4f' : 'f32') : element.replace('f16', 'f32');
  const number = vector ? (element === 'vec4<u32>' ? 'u32' : 'f32') : value;
  const word = x('at');
  const scalar = half
    ? `unpack2x16float(${vector ? `${x('at / 4u')}[at / 2u % 2u]` : x('at / 2u')})[at % 2u]`
    : `${number}(${vector ? `${x('at / 4u')}[at % 4u]` : word})`;
  const all = half ? `vec4f(unpack2x16float(${word}.x), unpack2x16float(${word}.y))` : `${value}(${word})`;
  const read = [get('at', value, vector ? all : scalar), get('scalar', number, scalar)];
  if (!writable) return read;
  return [
    ...read,
    `fn ${name}_put(at: u32, value: ${value}) { ${word} = ${element}(value); }`,
    `fn ${name}_add(at: u32, value: ${value}) { ${word} += ${element}(value); }`,
  ];
}

/** The generated entry point. It passes builtins to the entry; in a series these are the builtins of a single launch. */
function main({ builtins, threads, entry }: Kernel, { series, prologue }: AssembleOptions): string[] {
  const used = new Set([...builtins, ...(series ? ['wg', 'nwg'] : []), ...(prologue ? ['lid'] : [])]);
  const given = builtins.map((name) => (series && name === 'nwg' ? `vec3u(${series.x}u, nwg.yz)` : name));
  return [
    `@compute @workgroup_size(${threads})`,
    `fn ${MAIN}(${[...used].map((name) => BUILTINS[name]).join(', ')}) {`,
    ...(series ? [`  if (wg.x >= ${series.x}u) { return; }`, `  member = nwg.x - ${series.x}u;`] : []),
    ...(prologue ?? []),
    `  ${entry}(${given.join(', ')});`,
    '}',
  ];
}

/** A WGSL file in parts, as scripts/wgsl.mjs makes it of shaders/*.wgsl when the library is built or a test loads it. */

export interface ShaderFile {
  /** Path from shaders/, e.g. `lib/gemv/sums.wgsl`. */
  readonly file: string;
  /** What every section needs. */
  readonly head: readonly Piece[];
  /** By the names of their `// @entry` or `// @section` lines. */
  readonly sections: Readonly<Record<string, Section>>;
  /** Files that a plan may include by name. */
  readonly optional: readonly ShaderFile[];
  /**
   * Throws where a pass of an op's plan, or its spec, does not fit the file (src/backend/wgsl/check.ts, whose types know this one).
   * Release builds leave it out.
   */
  readonly check?: (entry: never, pass: never, bindings: readonly { name: string; writable: boolean }[]) => void;
}

export interface Section {
  /** Number of its `// @entry` or `// @section` line. Release builds leave it out. */
  readonly line?: number;
  readonly pieces: readonly Piece[];
  /** Threads of a workgroup, as a WGSL expression; only an entry has them. */
  readonly threads?: string;
  /** Parameters of the entry's function (src/backend/wgsl/assemble.ts has their meanings). */
  readonly builtins?: readonly string[];
  /** Binding lines, e.g. `in x?: f32 [m, n]`. Release builds leave them out. */
  readonly bindings?: readonly { readonly line: number; readonly text: string }[];
}

/** WGSL, or a file that is included. Release builds have plain text, whose lines count from 1. */
export type Piece = string | Text | Declaration | ShaderFile;

/** Lines of WGSL, of which the first has this number. */
export interface Text {
  readonly line: number;
  readonly text: string;
}

/** A declaration at module scope that fits on a line. Release builds leave these in their text. */
export interface Declaration {
  readonly line: number;
  readonly declare: 'const' | 'alias' | 'var<workgroup>';
  readonly name: string;
  /** A constant's value, or a type. */
  readonly value: string;
}

/** A WGSL file in parts. scripts/wgsl.mjs makes it from shaders/*.wgsl when the library is built or a test loads the file. */

export interface ShaderFile {
  /** Path relative to shaders/, e.g. `lib/gemv/sums.wgsl`. Release builds leave it out. */
  readonly file?: string;
  /** Text before the first section. Every kernel contains it. */
  readonly head: readonly Piece[];
  /** Sections by the name in their `// @entry` or `// @section` directive. */
  readonly sections: Readonly<Record<string, Section>>;
  /** Files that a plan may include, by name: `gemv/sums` for lib/gemv/sums.wgsl. */
  readonly optional: Readonly<Record<string, ShaderFile>>;
  /**
   * Throws if a pass of an op's plan, or the op's spec, does not fit the file (src/backend/wgsl/check.ts, which has the types).
   * Release builds leave it out.
   */
  readonly check?: (entry: never, pass: never, bindings: readonly { name: string; writable: boolean }[]) => void;
}

export interface Section {
  /** Line number of the section's `// @entry` or `// @section` directive. Release builds leave it out. */
  readonly line?: number;
  readonly pieces: readonly Piece[];
  /** Threads of a workgroup, as a WGSL expression. Only an entry has them. */
  readonly threads?: string;
  /** Parameters of the entry's function. src/backend/wgsl/assemble.ts defines them. */
  readonly builtins?: readonly string[];
  /** Binding directives, e.g. `in x?: f32 [m, n]`. Release builds leave them out. */
  readonly bindings?: readonly { readonly line: number; readonly text: string }[];
}

/** WGSL text, or a file that is included. Release builds have plain text, with line numbers from 1. */
export type Piece = string | Text | Declaration | Repeat | ShaderFile;

/** Pieces to write several times, the first time with 0 for `$` and the name, then with 1, … */
export interface Repeat {
  /** The name and, after a blank, how often: a number, or the name of a constant of the plan. */
  readonly repeat: string;
  readonly pieces: readonly (string | Text | Declaration | Repeat)[];
}

/** Lines of WGSL, and the number of the first. */
export interface Text {
  readonly line: number;
  readonly text: string;
}

/** A declaration at module scope that fits on one line. Release builds leave declarations in the text. */
export interface Declaration {
  readonly line: number;
  readonly declare: 'const' | 'alias' | 'var<workgroup>';
  readonly name: string;
  /** The value of a constant, or a type. */
  readonly value: string;
}

/** Rollup plugins that reduce the size of the published bundles. */
import { basename } from 'node:path';
import MagicString from 'magic-string';
import { minify as terser } from 'terser';

/** Imports the error classes from another bundle, so that `instanceof` works for errors of both bundles. */
export function errorsOf(bundle) {
  return {
    name: 'aim-errors-of',
    resolveId(source) {
      return basename(source) === 'errors.js' ? { id: bundle, external: true } : null;
    },
  };
}

/**
 * Minifies with terser. Unlike esbuild, terser preserves the comments that users' bundlers read: pure annotations before op
 * specs, which let a bundler remove unused ops, and the annotations of imports that exist in some runtimes only.
 *
 * @returns {import('rollup').Plugin}
 */
export function minify() {
  return {
    name: 'aim-minify',
    async renderChunk(code, _chunk, { format }) {
      const { code: small, map } = await terser(code, {
        module: format === 'es',
        ecma: 2020,
        sourceMap: { asObject: true },
        // What users see when they print a model or an error.
        keep_classnames: /^(AiM|AimImage|Trainer|\w+Error)$/,
        format: {
          // Node prints the line from which an uncaught error came.
          max_line_len: 2000,
          preserve_annotations: true,
          comments: (_node, { value }) => value.includes('@vite-ignore') || value.includes('webpackIgnore'),
        },
      });
      return { code: small ?? '', map };
    },
  };
}

/** Inserts `text(name)` at the top of every entry. */
export function banner(text) {
  return {
    name: 'aim-banner',
    renderChunk(code, chunk) {
      if (!chunk.isEntry) return null;
      const out = new MagicString(code).prepend(text(chunk.name));
      return { code: out.toString(), map: out.generateMap({ hires: 'boundary' }) };
    },
  };
}

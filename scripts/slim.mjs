/** Rollup plugins that make the published bundles small. */
import { basename } from 'node:path';
import MagicString from 'magic-string';
import { minify as terser } from 'terser';

/** Takes the error classes from another bundle, since `instanceof` has to hold whichever of the two throws. */
export function errorsOf(bundle) {
  return {
    name: 'aim-errors-of',
    resolveId(source) {
      return basename(source) === 'errors.js' ? { id: bundle, external: true } : null;
    },
  };
}

/**
 * Minifies with terser. Unlike esbuild it leaves the comments that users' bundlers read where they are: pure annotations before
 * the specs of an op, so that a bundler may drop an op that nothing uses, and those in imports that only some runtimes have.
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
        format: {
          preserve_annotations: true,
          comments: (_node, { value }) => value.includes('@vite-ignore') || value.includes('webpackIgnore'),
        },
      });
      return { code: small ?? '', map };
    },
  };
}

/** Puts `text(name)` on top of every entry. */
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

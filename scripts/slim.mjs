/** Rollup plugins that make the published bundles small without taking anything from their users. */
import { transform } from 'esbuild';
import MagicString from 'magic-string';

/** What of an op's spec only tests and the `aim` command use. */
const DROPPED = ['reference', 'tolerance', 'bytes'];

/** Leaves that out of the op specs: `entry('linear', 'forward', shader, { … })`, and `composite` likewise. */
export function dropReferences() {
  return {
    name: 'aim-drop-references',
    transform(code, id) {
      if (!/[\\/]src[\\/]ops[\\/]/.test(id)) return null;
      let out = code;
      visit(this.parse(code), (node) => {
        if (node.type !== 'CallExpression' || !['entry', 'composite'].includes(node.callee.name)) return;
        for (const { key, start, end } of node.arguments[3].properties) {
          // Blanks of the same length (the comma behind goes too) leave every other position, and so the source map, as it is.
          const to = code[end] === ',' ? end + 1 : end;
          if (DROPPED.includes(key?.name)) out = out.slice(0, start) + out.slice(start, to).replace(/\S/g, ' ') + out.slice(to);
        }
      });
      return { code: out, map: null };
    },
  };
}

function visit(node, see) {
  if (typeof node?.type === 'string') see(node);
  for (const child of Object.values(node ?? {})) if (child && typeof child === 'object') visit(child, see);
}

/** Takes the error classes from another bundle, since `instanceof` has to hold whichever of the two throws. */
export function errorsOf(bundle) {
  return {
    name: 'aim-errors-of',
    resolveId(source) {
      return /[\\/]errors\.js$/.test(source) ? { id: bundle, external: true } : null;
    },
  };
}

/** Minifies with esbuild. */
export function minify() {
  return {
    name: 'aim-minify',
    async renderChunk(code, _chunk, { format }) {
      const options = { minify: true, target: 'es2022', legalComments: 'none', sourcemap: true, sourcefile: 'bundle.js' };
      const { code: small, map } = await transform(code, { ...options, format: format === 'es' ? 'esm' : undefined });
      return { code: small, map };
    },
  };
}

/** Puts comments into minified code: `banner(name)` on top of entries, and the two kinds that the bundlers of users go by. */
export function annotate(banner) {
  return {
    name: 'aim-annotate',
    renderChunk(code, chunk) {
      const out = new MagicString(code);
      // A module that only some runtimes have is left alone.
      out.replace(/\bimport\((?=[\w$`])/g, 'import(/* @vite-ignore */ /* webpackIgnore: true */ ');
      // An op that nothing uses may go.
      out.replace(/(?<=[{,:=])[\w$]+(?=\("\w+","(?:forward|step|backward\w*)",)/g, '/* @__PURE__ */$&');
      return {
        code: (chunk.isEntry ? out.prepend(banner(chunk.name)) : out).toString(),
        map: out.generateMap({ hires: 'boundary' }),
      };
    },
  };
}

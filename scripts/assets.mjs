/**
 * Rollup/Vite plugin: keeps what the library needs at run time inside the bundle. `import source from './x.wgsl'` gives the
 * shader text (its `#include "lib/y.wgsl"` lines resolved), `import bytes from './x.wasm'` the module, deflated and in
 * base64 (`./x.wasm?raw`: not deflated, for who cannot wait for it), and `import text from './x.js?text'` a script's text.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { deflateSync } from 'node:zlib';

/** A shader as a module: its text, joined from its own and those it includes, each of which the bundle has once. */
function shaderModule(file) {
  // Comments (but not the `// @entry` markers), indentation, line ends within functions and blanks between words and signs
  // cost download size only.
  const text = readFileSync(file, 'utf8')
    .replace(/^[ \t]+/gm, '')
    .replace(/\/\/(?! @entry).*$/gm, '')
    .replace(/(?<=[,;:{]) | (?=[{}])/g, '')
    .replace(/(?<=[\w\])]) ([-+*/%<>=!&|]+) (?=[\w(])/g, '$1')
    .replace(/\n{2,}/g, '\n')
    .replace(/(?<=[;,({}])\n(?!const|alias|var<|fn|struct|@|\/\/|#)/g, '');
  const pieces = text.split(/^#include "(.+)"$/m).map((piece, i) => (i % 2 ? { name: piece } : JSON.stringify(piece)));
  const names = [...new Set(pieces.flatMap((piece) => piece.name ?? []))];
  return [
    ...names.map((name, i) => `import part${i} from ${JSON.stringify(resolve(dirname(file), name))};`),
    `export default ${pieces.map((piece) => (piece.name ? `part${names.indexOf(piece.name)}` : piece)).join(' + ')};`,
  ].join('\n');
}

export function assets() {
  return {
    name: 'aim-assets',
    enforce: 'pre',
    resolveId(id, importer) {
      return /\?(text|raw)$/.test(id) ? resolve(dirname(importer), id) : null;
    },
    load(id) {
      const [file, query] = id.split('?');
      const text = (value) => `export default ${JSON.stringify(value)};`;
      const built = file.endsWith('.wasm') || query === 'raw' || query === 'text';
      if (built && !existsSync(file)) throw new Error(`${file} is missing: run \`npm run build\` first.`);
      if (file.endsWith('.wgsl')) {
        this.addWatchFile?.(file);
        return shaderModule(file);
      }
      // Base64 undoes what the transfer's own compression would save; deflating first keeps most of it.
      if (query === 'raw') return text(readFileSync(file).toString('base64'));
      if (file.endsWith('.wasm')) return text(deflateSync(readFileSync(file), { level: 9 }).toString('base64'));
      if (query === 'text') return text(readFileSync(file, 'utf8'));
      return null;
    },
  };
}

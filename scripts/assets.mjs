/**
 * Rollup/Vite plugin: keeps what the library needs at run time inside the bundle. `import source from './x.wgsl'` gives the
 * shader text (its `#include "lib/y.wgsl"` lines resolved), `import bytes from './x.wasm'` the module, deflated and in
 * base64, and `import text from './x.js?text'` a script's text.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { deflateSync } from 'node:zlib';

export function shaderText(file) {
  const text = readFileSync(file, 'utf8').replace(/^#include "(.+)"$/gm, (_, name) => shaderText(resolve(dirname(file), name)));
  // Comments (but not the `// @entry` markers) and indentation cost download size only.
  return text
    .replace(/^[ \t]+/gm, '')
    .replace(/\/\/(?! @entry).*$/gm, '')
    .replace(/\n{2,}/g, '\n');
}

export function assets() {
  return {
    name: 'aim-assets',
    enforce: 'pre',
    resolveId(id, importer) {
      return id.endsWith('?text') ? resolve(dirname(importer), id) : null;
    },
    load(id) {
      const [file, query] = id.split('?');
      const text = (value) => `export default ${JSON.stringify(value)};`;
      if (file.endsWith('.wgsl')) {
        this.addWatchFile?.(file);
        return text(shaderText(file));
      }
      // Base64 undoes what the transfer's own compression would save; deflating first keeps most of it.
      if (file.endsWith('.wasm')) return text(deflateSync(readFileSync(file), { level: 9 }).toString('base64'));
      if (query === 'text') return text(readFileSync(file, 'utf8'));
      return null;
    },
  };
}

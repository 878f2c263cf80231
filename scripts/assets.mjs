/**
 * Rollup/Vite plugin: `import source from './x.wgsl'` gives the shader text (its `#include "lib/y.wgsl"` lines resolved),
 * `import bytes from './x.wasm'` gives the module as a base64 string. Keeps shaders and WASM inside the bundle.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

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
    load(id) {
      const file = id.split('?')[0];
      if (file.endsWith('.wgsl')) {
        this.addWatchFile?.(file);
        return `export default ${JSON.stringify(shaderText(file))};`;
      }
      if (file.endsWith('.wasm')) return `export default ${JSON.stringify(readFileSync(file).toString('base64'))};`;
      return null;
    },
  };
}

/**
 * Rollup/Vite plugin for files that the library embeds. `import shader from './x.wgsl'` gives a ShaderFile (scripts/wgsl.mjs).
 * `import bytes from './x.wasm'` gives a deflated module in base64. `./x.wasm?raw` gives a module in base64 that is not deflated,
 * for code that cannot inflate asynchronously. `import text from './x.js?text'` gives the text of a file. `import { TRAINING }
 * from 'aim:build'` says if the bundle contains what only training uses.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { deflateSync } from 'node:zlib';
import { shaderModule } from './wgsl.mjs';

/**
 * @param {{ minify?: boolean, training?: boolean }} options `minify` removes comments and unnecessary whitespace from shaders,
 * for a release. `training: false` removes what only training uses: `TRAINING` is false, and shader sections with `backward` in
 * their names are left out.
 */
export function assets({ minify = false, training = true } = {}) {
  return {
    name: 'aim-assets',
    enforce: 'pre',
    resolveId(id, importer) {
      if (id === 'aim:build') return id;
      return /\?(text|raw)$/.test(id) ? resolve(dirname(importer), id) : null;
    },
    load(id) {
      if (id === 'aim:build') return `export const TRAINING = ${training};`;
      const [file, query] = id.split('?');
      const text = (value) => `export default ${JSON.stringify(value)};`;
      const built = file.endsWith('.wasm') || query === 'raw' || query === 'text';
      if (built && !existsSync(file)) throw new Error(`${file} is missing: run \`npm run build\` first.`);
      if (file.endsWith('.wgsl')) {
        this.addWatchFile?.(file);
        return shaderModule(file, { minify, training });
      }
      // HTTP compression works badly on base64, so the module is deflated before it is encoded.
      if (query === 'raw') return text(readFileSync(file).toString('base64'));
      if (file.endsWith('.wasm')) return text(deflateSync(readFileSync(file), { level: 9 }).toString('base64'));
      if (query === 'text') return text(readFileSync(file, 'utf8'));
      return null;
    },
  };
}

/**
 * Rollup/Vite plugin: puts into a bundle what the library needs at run time. `import shader from './x.wgsl'` gives a ShaderFile
 * (scripts/wgsl.mjs), `import bytes from './x.wasm'` the module, deflated and in base64 (`./x.wasm?raw`: not deflated, for code
 * that cannot wait for it), and `import text from './x.js?text'` a script's text.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { deflateSync } from 'node:zlib';
import { shaderModule } from './wgsl.mjs';

/**
 * @param {{ minify?: boolean, training?: boolean }} options `minify`: shaders without comments and needless blanks, for a release;
 * `training` false: without the sections that only training uses, whose names have `backward` in them.
 */
export function assets({ minify = false, training = true } = {}) {
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
        return shaderModule(file, { minify, training });
      }
      // Base64 undoes what the transfer's own compression would save; deflating first keeps most of it.
      if (query === 'raw') return text(readFileSync(file).toString('base64'));
      if (file.endsWith('.wasm')) return text(deflateSync(readFileSync(file), { level: 9 }).toString('base64'));
      if (query === 'text') return text(readFileSync(file, 'utf8'));
      return null;
    },
  };
}

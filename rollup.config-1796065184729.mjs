import { existsSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deflateSync } from 'node:zlib';
import commonjs from '@rollup/plugin-commonjs';
import nodeResolve from '@rollup/plugin-node-resolve';
import MagicString from 'magic-string';
import { defineConfig } from 'rollup';
import dts from 'rollup-plugin-dts';
import esbuild from 'rollup-plugin-esbuild';
import { minify as minify$1 } from 'terser';

/**
 * Parses a WGSL file into the structure that src/ops/shader_file.ts describes, so that no other code has to search shader text.
 * These lines are directives or declarations. They must begin in the first column:
 *   #include "lib/x.wgsl"             the text of another file, once in a kernel
 *   #optional "lib/x.wgsl"            a file that a plan may include by name (`include: ['x']`)
 *   // @section NAME                  text that a plan may take (`sections: ['NAME']`)
 *   // @entry NAME, SIZE threads      a section that is launched: workgroups of SIZE call its function NAME
 *   // @in|out|inout x?: f32 [m, n]   a binding of the section with its shape; `?` marks one that may be left out
 *   const, alias, var<workgroup>      declarations of one line, from which tests compute sizes
 */

const ROOT = resolve(dirname(fileURLToPath('file:///work/wt/stage1/scripts/wgsl.mjs')), '..');
const SHADERS = resolve(ROOT, 'shaders');
const CHECK = resolve(ROOT, 'src/backend/wgsl/check.ts');

/** Declarations, and the text between their name and their value. */
const DECLARATIONS = { const: ' = ', alias: ' = ', 'var<workgroup>': ': ' };

/**
 * @param {string} text the text of the file
 * @param {string} file its path relative to shaders/
 */
function parseShader(text, file) {
  const shader = { file, head: [], sections: {}, optional: [] };
  /** The section that lines are added to, or undefined before the first section. */
  let section;
  /** The piece of plain text that lines are added to. */
  let open;
  const fail = (line, what) => {
    throw new Error(`shaders/${file}:${line} ${what}`);
  };
  for (const [i, row] of text.split('\n').entries()) {
    const line = i + 1;
    const pieces = section?.pieces ?? shader.head;
    const special = (piece) => {
      open = undefined;
      if (piece) pieces.push(piece);
    };
    const directive = row.startsWith('// @') ? row.slice(4) : row.startsWith('#') ? row : '';
    const word = directive.split(' ', 1)[0];
    const rest = directive.slice(word.length + 1);
    const declaration = Object.keys(DECLARATIONS).find((keyword) => row.startsWith(`${keyword} `));
    if (word === '#include' || word === '#optional') {
      if (!rest.startsWith('"') || !rest.endsWith('"')) fail(line, `${word} has no file in quotation marks`);
      const include = rest.slice(1, -1);
      special(word === '#include' ? { include } : undefined);
      if (word === '#optional') shader.optional.push(include);
    } else if (word === 'entry' || word === 'section') {
      const [name, size] = rest.split(', ');
      if (shader.sections[name]) fail(line, `there is a section ${name} already`);
      section = { line, bindings: [], pieces: [] };
      shader.sections[name] = section;
      special();
      if (word === 'section') continue;
      if (!size?.endsWith(' threads')) fail(line, 'an entry is "// @entry NAME, SIZE threads"');
      section.threads = size.slice(0, -' threads'.length);
      section.builtins = parameters(text.split('\n').slice(line), name) ?? fail(line, `there is no function ${name} below`);
    } else if (word === 'in' || word === 'out' || word === 'inout') {
      if (!section) fail(line, 'a binding belongs to a section');
      section.bindings.push({ line, text: directive });
      special();
    } else if (word) {
      fail(line, `"${word}" is not known here`);
    } else if (declaration) {
      const between = DECLARATIONS[declaration];
      const at = row.indexOf(between);
      if (at < 0 || !row.endsWith(';')) fail(line, `a ${declaration} at the first column must end on its line`);
      special({
        line,
        declare: declaration,
        name: row.slice(declaration.length + 1, at),
        value: row.slice(at + between.length, -1),
      });
    } else if (open) {
      open.text += `\n${row}`;
    } else {
      open = { line, text: row };
      pieces.push(open);
    }
  }
  return shader;
}

/** Returns the names of a function's parameters, or undefined if there is no such function. */
function parameters(rows, name) {
  const row = rows.find((r) => r.startsWith(`fn ${name}(`));
  return row
    ?.slice(row.indexOf('(') + 1, row.indexOf(')'))
    .split(', ')
    .map((parameter) => parameter.split(': ')[0]);
}

/**
 * Returns pieces for a release. Comments, indentation, line ends within functions and blanks between words and signs are removed,
 * since they only increase the download. Line numbers and binding directives are removed and declarations become plain text,
 * since only readers, src/backend/wgsl/check.ts and tests use them.
 */
function minified(pieces) {
  const small = [];
  let text = '';
  const flush = () => {
    const rest = text
      .replace(/^[ \t]+/gm, '')
      .replace(/\/\/.*$/gm, '')
      .replace(/(?<=[,;:{]) | (?=[{}])/g, '')
      .replace(/(?<=[\w\])]) ([-+*/%<>=!&|]+) (?=[\w(])/g, '$1')
      .replace(/\n+/g, '\n')
      .replace(/(?<=[;,({}])\n/g, '')
      .replace(/\b(if|for|while|return|fn \w+) (?=\()/g, '$1')
      .trim();
    if (rest) small.push(rest);
    text = '';
  };
  for (const piece of pieces) {
    if (piece.include) {
      flush();
      small.push(piece);
    } else if (piece.declare) text += `${piece.declare} ${piece.name}${DECLARATIONS[piece.declare]}${piece.value};\n`;
    else text += `${piece.text}\n`;
  }
  flush();
  return small;
}

/** Returns a shader as a module with a ShaderFile as its default export. Files that it includes are modules of their own. */
function shaderModule(path, { minify, training }) {
  const file = relative(SHADERS, path).split(sep).join('/');
  const { head, sections, optional } = parseShader(readFileSync(path, 'utf8'), file);
  const names = [];
  const imported = (include) => {
    if (!names.includes(include)) names.push(include);
    return `file${names.indexOf(include)}`;
  };
  const list = (pieces) =>
    `[${(minify ? minified(pieces) : pieces).map((piece) => (piece.include ? imported(piece.include) : JSON.stringify(piece))).join()}]`;
  const wanted = Object.entries(sections).filter(([name]) => training || !name.includes('backward'));
  const entries = wanted.map(([name, { pieces, line, bindings, ...entry }]) => {
    const rest = JSON.stringify(minify ? entry : { ...entry, line, bindings });
    return `${name}:${rest.slice(0, -1)}${rest === '{}' ? '' : ','}pieces:${list(pieces)}}`;
  });
  const members = [`file:${JSON.stringify(file)}`, `head:${list(head)}`, `sections:{${entries.join()}}`];
  members.push(`optional:[${optional.map(imported).join()}]`);
  if (!minify) members.push('check');
  return [
    ...names.map((name, i) => `import file${i} from ${JSON.stringify(resolve(dirname(path), name))};`),
    ...(minify ? [] : [`import { check } from ${JSON.stringify(CHECK)};`]),
    `export default {${members.join()}};`,
  ].join('\n');
}

/**
 * Rollup/Vite plugin for files that the library embeds. `import shader from './x.wgsl'` gives a ShaderFile (scripts/wgsl.mjs).
 * `import bytes from './x.wasm'` gives a deflated module in base64. `./x.wasm?raw` gives a module in base64 that is not deflated,
 * for code that cannot inflate asynchronously. `import text from './x.js?text'` gives the text of a file. `import { TRAINING }
 * from 'aim:build'` says if the bundle contains what only training uses.
 */

/**
 * @param {{ minify?: boolean, training?: boolean }} options `minify` removes comments and unnecessary whitespace from shaders,
 * for a release. `training: false` removes what only training uses: `TRAINING` is false, and shader sections with `backward` in
 * their names are left out.
 */
function assets({ minify = false, training = true } = {}) {
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

/** Rollup plugin for declarations: users' compilers need neither a recent TypeScript nor the types of a browser or of WebGPU. */

/**
 * Names of web platforms that the API mentions, and what stands for each where the user's project does not declare it: a Node
 * project has no ImageData, a project without @types/node and DOM has none of them.
 */
const PLATFORM = {
  AbortSignal: '{ readonly aborted: boolean }',
  Blob: '{ readonly size: number; arrayBuffer(): Promise<ArrayBuffer> }',
  File: '{ readonly name: string; readonly size: number; arrayBuffer(): Promise<ArrayBuffer> }',
  ImageData: '{ readonly width: number; readonly height: number; readonly data: Uint8ClampedArray }',
  URL: '{ readonly href: string }',
};

/** Typed arrays are generic since TypeScript 5.7. What `of` returns is the array with a buffer of its own, in all versions. */
const OWN_BUFFER = /\b(\w+Array)<ArrayBuffer>/g;

/** @returns {import('rollup').Plugin} */
function portableTypes() {
  return {
    name: 'aim-portable-types',
    renderChunk(code) {
      const own = new Set();
      const text = code.replace(OWN_BUFFER, (_, array) => {
        own.add(array);
        return `Own${array}`;
      });
      // Comments may mention a name, which does no harm.
      const platform = Object.entries(PLATFORM).filter(([name]) => new RegExp(`\\b${name}\\b`).test(text));
      const lines = [
        ...[...own].map((array) => `type Own${array} = ReturnType<typeof ${array}.of>;`),
        ...platform.map(
          ([name, instead]) => `type ${name} = typeof globalThis extends { ${name}: { prototype: infer T } } ? T : ${instead};`,
        ),
      ];
      return { code: [...lines, text].join('\n'), map: null };
    },
  };
}

/** Rollup plugins that reduce the size of the published bundles. */

/** Imports the error classes from another bundle, so that `instanceof` works for errors of both bundles. */
function errorsOf(bundle) {
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
function minify() {
  return {
    name: 'aim-minify',
    async renderChunk(code, _chunk, { format }) {
      const { code: small, map } = await minify$1(code, {
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

/** Inserts `text(name)` at the top of every entry. */
function banner(text) {
  return {
    name: 'aim-banner',
    renderChunk(code, chunk) {
      if (!chunk.isEntry) return null;
      const out = new MagicString(code).prepend(text(chunk.name));
      return { code: out.toString(), map: out.generateMap({ hires: 'boundary' }) };
    },
  };
}

('use strict');
const only = process.env.AIM_BUILD;
if (!only) rmSync('dist', { recursive: true, force: true });
const packages = ['fast-png', 'fflate', 'jpeg-js', 'webgpu', /^node:/];
const compile = esbuild({ target: 'es2022' });
const library = [assets({ minify: true }), compile, minify()];
const drawing = [assets({ minify: true, training: false }), compile, minify()];
const sourcemap = true;
const builds = defineConfig([
  // What a thread of the WASM backend runs; first, because that backend carries its text.
  {
    input: 'src/backend/helper.ts',
    external: packages,
    output: { file: 'build/helper.js', format: 'iife', inlineDynamicImports: true },
    plugins: [library],
  },
  // What a worker runs; before the worker client, which carries its text.
  {
    input: 'src/worker/host.ts',
    external: packages,
    output: { file: 'dist/aim.worker.min.js', format: 'iife', inlineDynamicImports: true },
    plugins: [drawing],
  },
  {
    input: 'src/worker/train_host.ts',
    external: packages,
    output: { file: 'dist/aim.train-worker.min.js', format: 'iife', inlineDynamicImports: true },
    plugins: [library],
  },
  // The library as ES modules, each with what it uses of the ops alone, so that who draws does not load what trains.
  ...Object.entries({ aim: 'src/index.ts', train: 'src/train.ts', evaluate: 'src/evaluate.ts' }).map(([name, input]) => ({
    input: { [name]: input },
    external: packages,
    output: { dir: 'dist', format: 'es', sourcemap, chunkFileNames: `${name}-[name]-[hash].js` },
    plugins: [
      name !== 'aim' && errorsOf('./aim.js'),
      name === 'train' ? library : drawing,
      banner(
        (name2) => `/* @ts-self-types="./${name2}.d.ts" */
`,
      ),
    ],
  })),
  // Drawing, and training, served by a worker.
  ...Object.entries({ worker: 'client', 'train-worker': 'train_client' }).map(([name, input]) => ({
    input: { [name]: `src/worker/${input}.ts` },
    external: packages,
    output: { dir: 'dist', format: 'es', sourcemap, inlineDynamicImports: true },
    plugins: [
      drawing,
      banner(
        (name2) => `/* @ts-self-types="./${name2}.d.ts" */
`,
      ),
    ],
  })),
  // Where the embedded model is. Bundlers follow the address in it, so it must not be part of another module.
  {
    input: { embedded: 'src/embedded.ts' },
    output: { dir: 'dist', format: 'es', sourcemap },
    plugins: [
      drawing,
      banner(
        (name) => `/* @ts-self-types="./${name}.d.ts" */
`,
      ),
    ],
  },
  // For <script>: the class `AiM`, all other exports being its static properties. PNG writing has to be inside.
  {
    input: 'src/global.ts',
    output: { file: 'dist/aim.iife.min.js', format: 'iife', name: 'AiM', sourcemap, inlineDynamicImports: true },
    plugins: [nodeResolve({ browser: true }), commonjs(), library],
  },
  // The `aim` command (Node): everything, references included.
  {
    input: 'src/cli/main.ts',
    external: packages,
    output: { file: 'dist/cli.js', format: 'es', sourcemap, inlineDynamicImports: true, banner: '#!/usr/bin/env node' },
    plugins: [assets(), compile],
  },
  // What `npm run quality` measures with.
  {
    input: 'src/evaluate/quality.ts',
    external: packages,
    output: { file: 'build/quality.js', format: 'es', inlineDynamicImports: true },
    plugins: [assets(), compile],
  },
  // Types: those of drawing, training and evaluation share their classes, as the modules do; the others' are their own.
  types({ aim: 'build/types/index.d.ts', train: 'build/types/train.d.ts', evaluate: 'build/types/evaluate.d.ts' }),
  types({ embedded: 'build/types/embedded.d.ts' }),
  types({ worker: 'build/types/worker/client.d.ts' }),
  types({ 'train-worker': 'build/types/worker/train_client.d.ts' }),
]);
var rollup_config = only === 'helper' ? builds.slice(0, 1) : builds;
function types(input) {
  return {
    input,
    // The first entry may export types that only the others use, instead of a chunk of its own for them.
    preserveEntrySignatures: 'allow-extension',
    output: {
      dir: 'dist',
      entryFileNames: '[name].d.ts',
      // What entries share goes into the first: a chunk of types alone has no module, and Deno looks for one.
      manualChunks: Object.fromEntries(Object.entries(input).map(([name, file]) => [name, [file]])),
    },
    plugins: [dts(), portableTypes()],
  };
}

export { rollup_config as default };

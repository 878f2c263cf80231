import commonjs from '@rollup/plugin-commonjs';
import nodeResolve from '@rollup/plugin-node-resolve';
import { defineConfig, type InputPluginOption, type RollupOptions } from 'rollup';
import dts from 'rollup-plugin-dts';
import esbuild from 'rollup-plugin-esbuild';
import { assets } from './scripts/assets.mjs';
import { portableTypes } from './scripts/portable-types.mjs';
import { banner, errorsOf, minify } from './scripts/slim.mjs';

/** Names of the parts of the build to make, all others in dist being left as they are. */
const only = process.env.AIM_BUILD?.split(',');

const packages = ['fast-png', 'fflate', 'jpeg-js', 'webgpu', /^node:/];
const compile = esbuild({ target: 'es2022' });
const library: InputPluginOption = [assets({ minify: true }), compile, minify()];
/** Without what only training uses: the module for training has its own shaders. */
const drawing: InputPluginOption = [assets({ minify: true, training: false }), compile, minify()];

/** Says in a module where its types are. */
const typed = banner((name: string) => `/* @ts-self-types="./${name}.d.ts" */\n`);

/** Makes an ES module below dist that is one file. */
const single = (input: Record<string, string>): RollupOptions => ({
  input,
  external: packages,
  output: { dir: 'dist', format: 'es', inlineDynamicImports: true },
  plugins: [drawing, typed],
});

/** Makes the text of a worker or thread. */
const hosted = (input: string, file: string, plugins: InputPluginOption): RollupOptions => ({
  input,
  external: packages,
  output: { file, format: 'iife', inlineDynamicImports: true },
  plugins,
});

/** One source; what is built of it needs no other file at run time but the packages an ES module may import. */
const parts: Record<string, RollupOptions[]> = {
  // What a thread of the WASM backend runs; before all others, because that backend carries its text.
  helper: [hosted('src/backend/helper.ts', 'build/helper.js', library)],
  // Drawing, and training, in a worker: what the worker runs, then its clients, which carry the text of that.
  workers: [
    hosted('src/worker/host.ts', 'dist/aim.worker.min.js', drawing),
    hosted('src/worker/train_host.ts', 'dist/aim.train-worker.min.js', library),
    single({ worker: 'src/worker/client.ts' }),
    single({ 'train-worker': 'src/worker/train_client.ts' }),
  ],
  // The library as ES modules, each with what it uses of the ops alone, so that who draws does not load what trains.
  modules: [
    ...Object.entries({ aim: 'src/index.ts', train: 'src/train.ts', evaluate: 'src/evaluate.ts' }).map(([name, input]) => ({
      input: { [name]: input },
      external: packages,
      output: {
        dir: 'dist',
        format: 'es' as const,
        chunkFileNames: `${name}-[name]-[hash].js`,
        // Bundlers warn of imports for side effects alone, which this package has none of.
        hoistTransitiveImports: false,
        // By itself, because HTTP compression works worse on text and base64 in one file: 1 kB.
        manualChunks: (id: string) => (id.endsWith('/build/aim.wasm') ? 'wasm' : undefined),
      },
      plugins: [name !== 'aim' && errorsOf('./aim.js'), name === 'train' ? library : drawing, typed],
    })),
    // Where the embedded model is. Bundlers follow the address in it, so it must not be part of another module.
    single({ embedded: 'src/embedded.ts' }),
  ],
  // For <script>: the class `AiM`, all other exports being its static properties. PNG writing has to be inside.
  global: [
    {
      input: 'src/global.ts',
      output: { file: 'dist/aim.iife.min.js', format: 'iife', name: 'AiM', inlineDynamicImports: true },
      plugins: [nodeResolve({ browser: true }), commonjs(), library],
    },
  ],
  // The `aim` command (Node): everything, references included.
  cli: [
    {
      input: 'src/cli/main.ts',
      external: packages,
      output: { file: 'dist/cli.js', format: 'es', inlineDynamicImports: true, banner: '#!/usr/bin/env node' },
      plugins: [assets(), compile],
    },
  ],
  // What `npm run quality` and `npm run sharpness` measure with.
  quality: [
    {
      input: 'src/evaluate/quality.ts',
      external: packages,
      output: { file: 'build/quality.js', format: 'es', inlineDynamicImports: true },
      plugins: [assets(), compile],
    },
  ],
  // Those of drawing, training and evaluation share their classes, as the modules do; the others' are their own.
  types: [
    types({ aim: 'build/types/index.d.ts', train: 'build/types/train.d.ts', evaluate: 'build/types/evaluate.d.ts' }),
    types({ embedded: 'build/types/embedded.d.ts' }),
    types({ worker: 'build/types/worker/client.d.ts' }),
    types({ 'train-worker': 'build/types/worker/train_client.d.ts' }),
  ],
};

export default defineConfig((only ?? Object.keys(parts)).flatMap((name) => parts[name]!));

function types(input: Record<string, string>): RollupOptions {
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

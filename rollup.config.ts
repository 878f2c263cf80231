import { defineConfig } from 'rollup';
import esbuild from 'rollup-plugin-esbuild';
import { assets } from './scripts/assets.mjs';

// One source, two entries: the library (any runtime) and the `aim` command (Node). Shared code lands in shared chunks.
export default defineConfig({
  input: { aim: 'src/index.ts', cli: 'src/cli/main.ts' },
  external: ['cli-progress', 'fast-png', 'fflate', 'jpeg-js', 'webgpu', /^node:/],
  output: {
    dir: 'dist',
    format: 'es',
    sourcemap: true,
    entryFileNames: '[name].js',
    chunkFileNames: 'chunks/[name]-[hash].js',
    banner: (chunk) => (chunk.name === 'cli' ? '#!/usr/bin/env node' : ''),
  },
  plugins: [assets(), esbuild({ target: 'es2022' })],
});

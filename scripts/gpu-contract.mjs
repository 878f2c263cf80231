/**
 * `npm run gpu-contract` bundles test/ops/gpu_contract.ts into build/gpu_contract.mjs, which can run on a machine with a GPU.
 */
import { build } from 'vite';
import { assets } from './assets.mjs';
import { root } from './setup.mjs';

await build({
  root,
  configFile: false,
  logLevel: 'warn',
  plugins: [assets()],
  build: {
    ssr: 'test/ops/gpu_contract.ts',
    outDir: 'build',
    emptyOutDir: false,
    target: 'node20',
    rollupOptions: { output: { entryFileNames: 'gpu_contract.mjs', inlineDynamicImports: true } },
  },
  ssr: { noExternal: true, external: ['webgpu'] },
});

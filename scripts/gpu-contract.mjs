/**
 * `npm run gpu-contract` bundles test/ops/gpu_contract.ts and gpu_training.ts into build/, which can run on a machine with a GPU.
 */
import { build } from 'vite';
import { assets } from './assets.mjs';
import { root } from './setup.mjs';

for (const name of ['gpu_contract', 'gpu_training']) {
  await build({
    root,
    configFile: false,
    logLevel: 'warn',
    plugins: [assets()],
    build: {
      ssr: `test/ops/${name}.ts`,
      outDir: 'build',
      emptyOutDir: false,
      target: 'node20',
      rollupOptions: { output: { entryFileNames: `${name}.mjs`, inlineDynamicImports: true } },
    },
    ssr: { noExternal: true, external: ['webgpu'] },
  });
}

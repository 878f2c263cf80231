/** Bundles a file of the sources or of the tests into one module of build/, for scripts in Node. */
import { basename } from 'node:path';
import { build } from 'vite';
import { assets } from './assets.mjs';
import { root } from './setup.mjs';

/** Resolves to the path of build/NAME.mjs, made of FOLDER/NAME.ts. The package `webgpu` stays outside. */
export async function bundle(file) {
  const name = `${basename(file, '.ts')}.mjs`;
  await build({
    root,
    configFile: false,
    logLevel: 'warn',
    plugins: [assets()],
    build: {
      ssr: file,
      outDir: 'build',
      emptyOutDir: false,
      target: 'node20',
      rollupOptions: { output: { entryFileNames: name, inlineDynamicImports: true } },
    },
    ssr: { noExternal: true, external: ['webgpu'] },
  });
  return `${root}build/${name}`;
}

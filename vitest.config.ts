import { defineConfig } from 'vitest/config';
import { assets } from './scripts/assets.mjs';

export default defineConfig({
  plugins: [assets()],
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/setup.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Dawn keeps native state per process and the machine may have two cores only.
    pool: 'forks',
    maxWorkers: 2,
  },
});

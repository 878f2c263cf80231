import { defineConfig } from 'vitest/config';
import { assets } from './scripts/assets.mjs';

export default defineConfig({
  plugins: [assets()],
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/setup.ts'],
    // A guard against hanging only: a software GPU on a busy machine is slow, and timings decide no test.
    testTimeout: 1_800_000,
    hookTimeout: 1_800_000,
    // Dawn keeps native state per process and the machine may have two cores only.
    pool: 'forks',
    maxWorkers: 2,
  },
});

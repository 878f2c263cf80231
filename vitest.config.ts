/** Tests by what they need and how long they may take. Every test file is in exactly one project: in `unit` unless another takes it. */
import { accessSync, constants, statfsSync } from 'node:fs';
import { defineConfig } from 'vitest/config';
import { assets } from './scripts/assets.mjs';
import { LongestFirst } from './scripts/sequence.mjs';

/** AIM_PATIENCE=10 gives every test ten times its time, on a machine that much else is running on. */
const PATIENCE = Number(process.env.AIM_PATIENCE ?? 1) * 1000;

interface Project {
  include: string[];
  exclude?: string[];
  /** For one test or hook, in seconds. A software GPU that shares two cores with another worker is slow. */
  seconds: number;
  /**
   * Whether all files of a worker run in one process. They then share GPU devices, and a kernel is compiled once for all. Such
   * projects compute all the time; the files of others also wait, for pages, files and processes.
   */
  together?: boolean;
  setup?: string[];
  /** What `npm run build` makes that the tests run. */
  builds: 'kernels' | 'dist';
}

const PROJECTS: Record<string, Project> = {
  /** Each op against its reference, on every backend. */
  ops: { include: ['test/ops/**/*.test.ts'], seconds: 300, together: true, builds: 'kernels' },
  /** Whole models, training and the command line's benchmark, in this process. */
  model: {
    include: [
      'test/model/**/*.test.ts',
      'test/evaluate/inception.test.ts',
      'test/train/trainer*.test.ts',
      'test/data/codes.test.ts',
      'test/cli/bench.test.ts',
    ],
    // It replaces a module, which has to happen before any test loads it.
    exclude: ['test/model/threads.test.ts'],
    seconds: 600,
    together: true,
    // Their waits for the GPU are long. Those of the ops are short and many, and sleeping in them takes more time than it saves.
    setup: ['test/idle_waits.mjs'],
    builds: 'dist',
  },
  /** The built library and commands in Node, Deno and browsers; and what loses GPU devices or measures memory. */
  platform: {
    include: [
      'test/platform/**/*.test.ts',
      'test/cli/**/*.test.ts',
      'test/train/recovery*.test.ts',
      'test/train/folder*.test.ts',
      'test/data/browser*.test.ts',
      'test/examples*.test.ts',
      'test/quality*.test.ts',
      'test/io/soak.test.ts',
      'test/model/threads.test.ts',
    ],
    exclude: ['test/cli/bench.test.ts'],
    seconds: 600,
    builds: 'dist',
  },
  /** The packed package as its users install, type-check and bundle it. */
  package: { include: ['test/package/**/*.test.ts'], seconds: 300, builds: 'dist' },
};

/** Room that tests need for temporary files, bytes. */
const ROOM = 4e9;

/**
 * Environment that puts temporary files into memory if the system has a file system for that: tests then do not wait for a disk. Not
 * for tests that run Deno, which opens files below /dev with all permissions only.
 */
function inMemory(): Record<string, string> {
  const folder = '/dev/shm';
  try {
    const { bavail, bsize } = statfsSync(folder);
    accessSync(folder, constants.W_OK);
    return process.env.TMPDIR || bavail * bsize < ROOM ? {} : { TMPDIR: folder };
  } catch {
    return {};
  }
}

/** Groups run one after the other: projects that compute, then those that wait, then the unit tests, whose times are short. */
const GROUPS = {
  computing: { maxWorkers: 2, sequence: { groupOrder: 0 } },
  waiting: { maxWorkers: 3, sequence: { groupOrder: 1 } },
  unit: { maxWorkers: 2, sequence: { groupOrder: 2 } },
};

export default defineConfig({
  plugins: [assets()],
  test: {
    setupFiles: ['test/setup.ts'],
    // Dawn keeps native state per process.
    pool: 'forks',
    sequence: { sequencer: LongestFirst },
    projects: [
      ...Object.entries(PROJECTS).map(([name, { include, exclude, seconds, together, setup, builds }]) => ({
        extends: true as const,
        test: {
          name,
          ...(together ? GROUPS.computing : GROUPS.waiting),
          include,
          exclude: exclude ?? [],
          testTimeout: seconds * PATIENCE,
          hookTimeout: seconds * PATIENCE,
          isolate: !together,
          setupFiles: setup ?? [],
          globalSetup: [`test/built.${builds}.ts`],
        },
      })),
      {
        extends: true,
        test: {
          name: 'unit',
          env: inMemory(),
          ...GROUPS.unit,
          include: ['test/**/*.test.ts'],
          exclude: Object.values(PROJECTS).flatMap((p) => p.include),
          testTimeout: 30 * PATIENCE,
          hookTimeout: 30 * PATIENCE,
        },
      },
    ],
  },
});

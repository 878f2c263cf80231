/** Tests by what they need and how long they may take. Every test file is in exactly one project: in `unit` unless another takes it. */
import { accessSync, constants, statfsSync } from 'node:fs';
import { defineConfig } from 'vitest/config';
import { assets } from './scripts/assets.mjs';
import { LongestFirst } from './scripts/sequence.mjs';

/** AIM_PATIENCE=10 gives every test ten times its time, on a machine that much else is running on. */
const PATIENCE = Number(process.env.AIM_PATIENCE ?? 1) * 1000;

/** Groups run one after the other: projects that compute, then those that wait, then the unit tests, whose times are short. */
const GROUPS = {
  computing: { maxWorkers: 2, sequence: { groupOrder: 0 } },
  waiting: { maxWorkers: 4, sequence: { groupOrder: 1 } },
  unit: { maxWorkers: 2, sequence: { groupOrder: 2 } },
};

interface Project {
  include: string[];
  exclude?: string[];
  /** For one test or hook, in seconds. A software GPU that shares two cores with another worker is slow. */
  seconds: number;
  /** Projects that compute all the time; others also wait, for pages, files and processes. */
  group: keyof typeof GROUPS;
  /** Whether each file gets a process of its own. Otherwise those of a worker share modules, GPU devices and compiled kernels. */
  isolate?: boolean;
  setup?: string[];
  /** What `npm run build` makes that the tests run. */
  builds: 'kernels' | 'dist';
}

const PROJECTS: Record<string, Project> = {
  /** Each op against its reference, on every backend. */
  ops: { include: ['test/ops/**/*.test.ts'], seconds: 300, group: 'computing', builds: 'kernels' },
  /** Whole models, training and the command line's benchmark, in this process. */
  model: {
    include: [
      'test/model/**/*.test.ts',
      'test/evaluate/{classifier,evaluate,inception}.test.ts',
      'test/train/{frozen,lpips,memory,patchgan,restore_on_backend,stage1}.test.ts',
      'test/train/trainer*.test.ts',
      'test/data/codes.test.ts',
      'test/cli/bench.test.ts',
    ],
    // It replaces a module, which has to happen before any test loads it.
    exclude: ['test/model/threads.test.ts'],
    seconds: 600,
    group: 'computing',
    // Their waits for the GPU are long. Those of the ops are short and many, and sleeping in them takes more time than it saves.
    setup: ['test/idle_waits.mjs'],
    builds: 'dist',
  },
  /** The built library in Node, Deno and browsers; and what loses GPU devices or measures memory. */
  platform: {
    include: [
      'test/platform/**/*.test.ts',
      'test/train/recovery*.test.ts',
      'test/data/browser*.test.ts',
      'test/io/soak.test.ts',
      'test/model/threads.test.ts',
    ],
    seconds: 600,
    group: 'waiting',
    isolate: true,
    builds: 'dist',
  },
  /** The built commands and examples, and their parts. */
  commands: {
    include: ['test/cli/**/*.test.ts', 'test/train/folder*.test.ts', 'test/examples*.test.ts', 'test/quality*.test.ts'],
    exclude: ['test/cli/bench.test.ts'],
    seconds: 600,
    group: 'waiting',
    builds: 'dist',
  },
  /** The packed package as its users install, type-check and bundle it. */
  package: { include: ['test/package/**/*.test.ts'], seconds: 300, group: 'waiting', isolate: true, builds: 'dist' },
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

export default defineConfig({
  plugins: [assets()],
  test: {
    setupFiles: ['test/setup.ts'],
    // Dawn keeps native state per process.
    pool: 'forks',
    sequence: { sequencer: LongestFirst },
    projects: [
      ...Object.entries(PROJECTS).map(([name, { include, exclude, seconds, group, isolate, setup, builds }]) => ({
        extends: true as const,
        test: {
          name,
          ...GROUPS[group],
          include,
          exclude: exclude ?? [],
          testTimeout: seconds * PATIENCE,
          hookTimeout: seconds * PATIENCE,
          isolate: isolate ?? false,
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
          isolate: false,
          include: ['test/**/*.test.ts'],
          exclude: Object.values(PROJECTS).flatMap((p) => p.include),
          testTimeout: 30 * PATIENCE,
          hookTimeout: 30 * PATIENCE,
        },
      },
    ],
  },
});

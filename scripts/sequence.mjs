/** Orders test files with the longest first, so that no worker starts a long file when the others have finished. */
import { relative } from 'node:path';
import { BaseSequencer } from 'vitest/node';

/**
 * Projects, ordered by the longest time of one of their files. Files of a project that share a process must follow each other.
 */
const PROJECTS = ['model', 'ops', 'platform', 'commands', 'package', 'unit'];

/** Files that take much longer than the others of their project, longest first, as measured on two cores. */
const LONG = [
  'test/model/generate.test.ts',
  'test/model/verify_aim_fmnist.test.ts',
  'test/model/verify_mamba2_adaln_group.test.ts',
  'test/model/default_limits.test.ts',
  'test/model/verify_mamba2_adaln.test.ts',
  'test/model/verify_mamba1_adaln_group.test.ts',
  'test/ops/contract.test.ts',
  'test/ops/device_limits.test.ts',
  'test/platform/runtimes.test.ts',
  'test/platform/studio.test.ts',
  'test/platform/memory.test.ts',
  'test/cli/cli.test.ts',
  'test/train/recovery.test.ts',
  'test/train/folder.test.ts',
  'test/io/soak.test.ts',
  'test/package/consumer.test.ts',
];

export class LongestFirst extends BaseSequencer {
  async sort(files) {
    const place = (list, item) => (list.includes(item) ? list.indexOf(item) : list.length);
    const key = (file) => [
      place(PROJECTS, file.project.name),
      place(LONG, relative(this.ctx.config.root, file.moduleId).replaceAll('\\', '/')),
    ];
    const keyed = (await super.sort(files)).map((file) => ({ file, key: key(file) }));
    keyed.sort((a, b) => a.key[0] - b.key[0] || a.key[1] - b.key[1]);
    return keyed.map(({ file }) => file);
  }
}

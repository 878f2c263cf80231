/** `npm run bench`: builds what is needed, then `aim bench`. */
import { spawnSync } from 'node:child_process';
import { build, install, root } from './setup.mjs';

install();
build();
process.exitCode =
  spawnSync(process.execPath, ['dist/cli.js', 'bench', ...process.argv.slice(2)], { cwd: root, stdio: 'inherit' }).status ?? 1;

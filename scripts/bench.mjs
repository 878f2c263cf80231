/** `npm run bench`: builds what is needed, then `aim bench`. */
import { spawn } from 'node:child_process';
import { build, install, root } from './setup.mjs';

install();
build();
const child = spawn(process.execPath, ['dist/cli.js', 'bench', ...process.argv.slice(2)], { cwd: root, stdio: 'inherit' });
process.on('SIGINT', () => {}); // Ctrl-C reaches the child, which tells what it has measured.
child.on('exit', (code, signal) => {
  process.exitCode = code ?? (signal ? 1 : 0);
});

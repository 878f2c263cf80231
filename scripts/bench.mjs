/** `npm run bench` builds the command if it is out of date and runs `aim bench` with the given arguments. */
import { spawn } from 'node:child_process';
import { build, install, root } from './setup.mjs';

install();
build();
const child = spawn(process.execPath, ['dist/cli.js', 'bench', ...process.argv.slice(2)], { cwd: root, stdio: 'inherit' });
process.on('SIGINT', () => {}); // Ctrl-C reaches the child process, which prints the results so far.
child.on('exit', (code, signal) => {
  process.exitCode = code ?? (signal ? 1 : 0);
});

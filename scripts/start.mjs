/** `npm start` draws ten images of each class with the embedded model. Its arguments are passed to `aim generate`. */
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { build, install, root } from './setup.mjs';

install();
build('command');
mkdirSync(`${root}out`, { recursive: true });
const defaults = ['--class', 'all', '--count', '100', '--out', 'out/fashion-mnist.png'];
const child = spawn(process.execPath, ['dist/cli.js', 'generate', ...defaults, ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
process.on('SIGINT', () => {}); // Ctrl-C reaches the child process, which cleans up and exits.
child.on('exit', (code, signal) => {
  process.exitCode = code ?? (signal ? 1 : 0);
});

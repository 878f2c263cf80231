/**
 * `npm start` draws emoji with the embedded model into one labelled picture, `npm start -- MODEL` all classes of another model. Further
 * arguments are passed to `aim generate`, and win.
 */
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { build, install, root } from './setup.mjs';

/** What the embedded model draws best. */
const BEST = 'happy face,silly face,sad face,person,heart,clock,moon,plant,fruit,flower';

install();
build('command');
mkdirSync(`${root}out`, { recursive: true });
const given = process.argv.slice(2);
const [first = '-'] = given;
const sheet = first.startsWith('-')
  ? ['--class', BEST, '--count', '40', '--seed', '7', '--out', 'out/emoji.png']
  : ['--class', 'all', '--count', '50', '--out', 'out/drawn.png'];
const child = spawn(process.execPath, ['dist/cli.js', 'generate', ...sheet, '--labels', '--scale', '2', ...given], {
  cwd: root,
  stdio: 'inherit',
});
process.on('SIGINT', () => {}); // Ctrl-C reaches the child process, which cleans up and exits.
child.on('exit', (code, signal) => {
  process.exitCode = code ?? (signal ? 1 : 0);
});

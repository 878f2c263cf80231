/**
 * `npm run paper -- NAME [DATA] [options]` builds the command if it is out of date and runs `aim paper`, on Fashion-MNIST unless
 * DATA is given.
 */
import { spawn } from 'node:child_process';
import { FASHION_MNIST } from './data.mjs';
import { build, install, root } from './setup.mjs';

install();
build();
const child = spawn(process.execPath, [`${root}dist/cli.js`, 'paper', ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, FASHION_MNIST },
});
process.on('SIGINT', () => {}); // Ctrl-C reaches the child process, which ends and keeps what is finished.
child.on('exit', (code, signal) => {
  process.exitCode = code ?? (signal ? 1 : 0);
});

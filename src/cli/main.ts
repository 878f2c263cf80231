/** The `aim` command. Exit status: 0 done, 1 a check failed, 2 bad input or no device, 130 interrupted. */
import { readFileSync } from 'node:fs';
import { AimError } from '../core/errors.js';
import { benchCommand } from './bench/index.js';
import { cacheCommand } from './cache.js';
import { convertCommand } from './convert.js';
import { exportCommand } from './export.js';
import { generateCommand } from './generate.js';
import { infoCommand } from './info.js';
import { tokenizeCommand } from './tokenize.js';
import { trainCommand } from './train.js';
import { tuneCommand } from './tune.js';
import { verifyCommand } from './verify.js';

const COMMANDS: Record<string, (argv: string[], signal: AbortSignal) => Promise<number>> = {
  generate: generateCommand,
  tokenize: tokenizeCommand,
  verify: verifyCommand,
  info: infoCommand,
  bench: benchCommand,
  train: trainCommand,
  export: exportCommand,
  convert: convertCommand,
  tune: tuneCommand,
  cache: cacheCommand,
};

const HELP = `usage: aim COMMAND [options]

  generate [MODEL]   draw images
  tokenize DATA      encode a data set's images once, for training
  train model|tokenizer DATA   train, into a run folder that can be resumed
  export RUN         a trained model for use, without the training state
  convert IN OUT     a PyTorch file or another checkpoint as safetensors
  verify FOLDER      check a backend against a checkpoint's golden values
  info [MODEL]       runtime, GPU, backend chosen, the model's parts
  bench [MODEL]      speed of drawing, decoding, training and matrix products
  tune [MODEL]       find the fastest kernels for this GPU, once
  cache [MODEL]      downloads that are kept; --clear removes them

\`aim COMMAND --help\` tells a command's options.
`;

async function main(argv: string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === '--version') {
    const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
    process.stdout.write(`${version}\n`);
    return 0;
  }
  const command = name === undefined ? undefined : COMMANDS[name];
  if (!command) {
    const asked = name === undefined || name === '--help' || name === 'help';
    (asked ? process.stdout : process.stderr).write(asked ? HELP : `aim: there is no command ${JSON.stringify(name)}\n\n${HELP}`);
    return asked ? 0 : 2;
  }
  const abort = new AbortController();
  const stop = () => {
    abort.abort(new DOMException('interrupted', 'AbortError'));
    // A second Ctrl-C ends the process at once.
    process.removeListener('SIGINT', stop);
  };
  process.on('SIGINT', stop);
  try {
    return await command(rest, abort.signal);
  } catch (error) {
    if (abort.signal.aborted) {
      process.stderr.write('aim: interrupted\n');
      return 130;
    }
    if (error instanceof AimError) {
      process.stderr.write(`aim: ${error.message}\n`);
      return 2;
    }
    process.stderr.write(`aim: unexpected error, please report it:\n${(error as Error)?.stack ?? error}\n`);
    return 70;
  } finally {
    process.removeListener('SIGINT', stop);
  }
}

// Not awaited here: in the one file that this is built into, what is imported on use comes after.
void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});

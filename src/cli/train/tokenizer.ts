/** `aim train tokenizer`: trains the tokenizer on images. */
import type { Command } from '../command.js';
import { trainFlags } from './flags.js';
import { train } from './start.js';

export const trainTokenizer: Command = {
  name: 'train tokenizer',
  usage: 'DATA',
  summary: 'train the tokenizer, into a run folder that can be resumed',
  about:
    'Trains the tokenizer. DATA is a folder of IDX files (Fashion-MNIST) or of one sub-folder of images per class. Checkpoints are\n' +
    "folders in the authors' format with the state of training beside. Ctrl-C saves one, as SIGTERM and SIGHUP do; --resume goes on,\n" +
    'and then DATA may be left out.',
  flags: trainFlags(['labelDropout'], {}),
  run: (parsed, signal) => train('tokenizer', parsed, signal),
};

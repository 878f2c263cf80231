/** `aim train model`: trains stage 2 on the codes of images. */
import type { Command } from '../command.js';
import { trainFlags } from './flags.js';
import { train } from './start.js';

export const trainModel: Command = {
  name: 'train model',
  usage: 'DATA|CODES.safetensors',
  summary: 'train stage 2, into a run folder that can be resumed',
  about:
    'Trains stage 2. DATA is a folder of IDX files (Fashion-MNIST) or of one sub-folder of images per class, or the codes of `aim\n' +
    "tokenize`. Checkpoints are folders in the authors' format with the state of training beside. Ctrl-C saves one, as SIGTERM and\n" +
    'SIGHUP do; --resume goes on, and then DATA may be left out.',
  flags: trainFlags([], {
    tokenizer: { type: 'string', value: 'MODEL', help: 'whose tokenizer to use (default: the embedded one)' },
  }),
  run: (parsed, signal) => train('model', parsed, signal),
};

/** `aim train tokenizer`: trains the tokenizer on images. */
import type { Command } from '../command.js';
import { trainFlags } from './flags.js';
import { perceptualFlags } from './perceptual.js';
import { train } from './start.js';

export const trainTokenizer: Command = {
  name: 'train tokenizer',
  usage: 'DATA',
  summary: 'train the tokenizer, into a run folder that can be resumed',
  about:
    'Trains the tokenizer. DATA is a folder of IDX files (Fashion-MNIST), or a folder with one sub-folder of images per class (or\n' +
    'with these in its folders train and val, of which val is held out), or a .zip of one; with --labels, the images lie side by side.\n' +
    "Checkpoints are folders in the authors' format together with the state of training.\n" +
    'Ctrl-C, SIGTERM and other signals save one; --resume continues from the newest, and then DATA may be left out.',
  flags: trainFlags(['labelDropout', 'recompute'], perceptualFlags),
  run: (parsed, signal) => train('tokenizer', parsed, signal),
};

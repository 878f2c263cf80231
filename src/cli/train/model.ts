/** `aim train model`: trains stage 2 on the codes of images. */
import { TOKENIZE } from '../../data/codes.js';
import { type Command, flag } from '../command.js';
import { RUNS } from './architecture.js';
import { TOKENIZER_ONLY, trainFlags } from './flags.js';
import { train } from './start.js';

export const trainModel: Command = {
  name: 'train model',
  usage: 'DATA|CODES.safetensors',
  summary: 'train stage 2, into a run folder that can be resumed',
  about:
    'Trains stage 2. DATA is a folder of IDX files (Fashion-MNIST), a folder with one sub-folder of images per class (or with\n' +
    'these in its folders train and val, of which val is held out), a .zip of one, or the codes of `aim tokenize`; with --labels, the\n' +
    "images lie side by side. Checkpoints are folders in the authors' format together with the state of training.\n" +
    'Ctrl-C, SIGTERM and other signals save one; --resume continues from the newest, and then DATA may be left out.',
  flags: trainFlags(TOKENIZER_ONLY, {
    tokenizer: {
      type: 'string',
      value: 'MODEL',
      help: `whose tokenizer to use (default: the embedded one; with --size or --preset, ${RUNS.tokenizer})`,
    },
    augment: flag(TOKENIZE.augment, {
      help: 'class folders: N random crops of each training image (default 0: its centre crop alone; with --size or --preset up to 10)',
    }),
  }),
  run: (parsed, signal) => train('model', parsed, signal),
};

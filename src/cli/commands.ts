/** The table of commands. A new command is a file beside this one and an entry here; help and dispatch are derived. */
import { bench } from './bench/index.js';
import { cache } from './cache.js';
import type { Command } from './command.js';
import { convert } from './convert.js';
import { exportModel } from './export.js';
import { generate } from './generate.js';
import { info } from './info.js';
import { tokenize } from './tokenize.js';
import { trainModel } from './train/model.js';
import { trainTokenizer } from './train/tokenizer.js';
import { tune } from './tune.js';
import { verify } from './verify.js';

/** In the order of the overview. */
export const COMMANDS: readonly Command[] = [
  generate,
  tokenize,
  trainModel,
  trainTokenizer,
  exportModel,
  convert,
  verify,
  info,
  bench,
  tune,
  cache,
];

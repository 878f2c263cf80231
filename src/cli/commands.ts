/** Every command: the one line that a new command adds. Help, in this order, and dispatch are derived (main.ts). */
export { bench } from './bench/index.js';
export { cache } from './cache.js';
export { convert } from './convert.js';
export { evaluate } from './evaluate.js';
export { exportModel } from './export.js';
export { generate } from './generate.js';
export { info } from './info.js';
export { init } from './init.js';
export { paper } from './paper/index.js';
export { tokenize } from './tokenize.js';
export { trainModel } from './train/model.js';
export { trainTokenizer } from './train/tokenizer.js';
export { tune } from './tune.js';
export { verify } from './verify.js';

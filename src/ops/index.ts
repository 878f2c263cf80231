/** Every op of the project, one line each. */
export { attention } from './attention.js';
export { codebookLookup } from './codebook_lookup.js';
export { conv2d } from './conv2d.js';
export { groupNorm } from './group_norm.js';
export { linear } from './linear.js';
export { quantize } from './quantize.js';
export { silu } from './silu.js';
export { sumParts } from './sum_parts.js';

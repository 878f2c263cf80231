/** Every op of the project, one line each. */
export { attention } from './attention.js';
export { conv2d } from './conv2d.js';
export { groupNorm } from './group_norm.js';
export { linear } from './linear.js';
export { silu } from './silu.js';

/** Every op of the project, one line each. */
export { linear } from './linear.js';
export { silu } from './silu.js';

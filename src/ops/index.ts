/** Every op of the project, one line each. */
export { linear } from './linear.js';
export { selectiveScan } from './selective_scan.js';
export { silu } from './silu.js';
export { ssd } from './ssd.js';

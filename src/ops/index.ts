/** Every op of the project, one line each. */
export { addRmsNorm } from './add_rms_norm.js';
export { causalConv1d } from './causal_conv1d.js';
export { crossEntropy } from './cross_entropy.js';
export { embedding } from './embedding.js';
export { groupModulation } from './group_modulation.js';
export { guide } from './guide.js';
export { linear } from './linear.js';
export { rmsNormGated } from './rms_norm_gated.js';
export { sample } from './sample.js';
export { selectiveScan } from './selective_scan.js';
export { silu } from './silu.js';
export { ssd } from './ssd.js';
export { sum } from './sum.js';
export { sumRows } from './sum_rows.js';
export { tokenEmbedding } from './token_embedding.js';

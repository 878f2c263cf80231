/**
 * The float64 reference of every op: the one list to which a new op is added. Only the reference backend imports this file, so
 * that the published library has no references. The kernels, specs and tests of an op are found by its name:
 *   src/ops/<op>.ts            tensors with shapes, attributes, launch plans, tolerances (spec.ts)
 *   src/ops/<op>.reference.ts  float64 reference of each entry; `sizes` for the default test cases
 *   shaders/<op>.wgsl          WebGPU kernels
 *   assembly/<op>.ts           WASM kernels, exported as <op>_<entry>
 * An op that needs particular test cases has them in test/ops/<op>.cases.ts.
 */
export { references as adamw } from './adamw.reference.js';
export { references as add_rms_norm } from './add_rms_norm.reference.js';
export { references as add_scaled } from './add_scaled.reference.js';
export { references as attention } from './attention.reference.js';
export { references as batch_norm } from './batch_norm.reference.js';
export { references as causal_attention } from './causal_attention.reference.js';
export { references as causal_conv1d } from './causal_conv1d.reference.js';
export { references as clip } from './clip.reference.js';
export { references as code_age } from './code_age.reference.js';
export { references as codebook_lookup } from './codebook_lookup.reference.js';
export { references as columns } from './columns.reference.js';
export { references as conv2d } from './conv2d.reference.js';
export { references as cross_entropy } from './cross_entropy.reference.js';
export { references as ema } from './ema.reference.js';
export { references as embedding } from './embedding.reference.js';
export { references as feature_distance } from './feature_distance.reference.js';
export { references as gated_silu } from './gated_silu.reference.js';
export { references as gradient_ratio } from './gradient_ratio.reference.js';
export { references as group_modulation } from './group_modulation.reference.js';
export { references as group_norm } from './group_norm.reference.js';
export { references as guide } from './guide.reference.js';
export { references as guide_by_position } from './guide_by_position.reference.js';
export { references as hinge } from './hinge.reference.js';
export { references as leaky_relu } from './leaky_relu.reference.js';
export { references as linear } from './linear.reference.js';
export { references as mae } from './mae.reference.js';
export { references as mix } from './mix.reference.js';
export { references as mse } from './mse.reference.js';
export { references as pool2d } from './pool2d.reference.js';
export { references as quantize } from './quantize.reference.js';
export { references as relu } from './relu.reference.js';
export { references as resize_bilinear } from './resize_bilinear.reference.js';
export { references as restart_codes } from './restart_codes.reference.js';
export { references as rms_norm_gated } from './rms_norm_gated.reference.js';
export { references as sample } from './sample.reference.js';
export { references as selective_scan } from './selective_scan.reference.js';
export { references as silu } from './silu.reference.js';
export { references as square_sum } from './square_sum.reference.js';
export { references as ssd } from './ssd.reference.js';
export { references as sum } from './sum.reference.js';
export { references as sum_rows } from './sum_rows.reference.js';
export { references as token_embedding } from './token_embedding.reference.js';
export { references as widen } from './widen.reference.js';

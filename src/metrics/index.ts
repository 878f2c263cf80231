/**
 * Metrics of sets of images, computed from features of a network: Fréchet distance, Inception Score, precision and recall, KID.
 */
export { frechetDistance, type Gaussian, type MetricOptions, Moments, moments } from './frechet.js';
export { inceptionScore } from './inception_score.js';
export { type KidOptions, kernelDistance } from './kid.js';
export { precisionRecall } from './precision_recall.js';
export { resizeForInception } from './resize.js';

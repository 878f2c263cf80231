/**
 * Metrics of sets of images, computed from features of a network: Fréchet distance, Inception Score, precision and recall, KID.
 */
export { frechetDistance, type Gaussian, type MetricOptions, Moments, moments } from './frechet.js';
export { InceptionScore, inceptionScore } from './inception_score.js';
export { type KidOptions, kernelDistance, kernelDistanceSteps } from './kid.js';
export { type PrecisionRecall, precisionRecall, precisionRecallSteps } from './precision_recall.js';
export { resizeForInception } from './resize.js';

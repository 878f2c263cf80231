/**
 * Metrics of sets of images (FID, sFID, Inception Score, precision, recall, KID), and the network behind them. Kept apart from
 * `aim-js`, so that a page that only draws does not download it.
 * @module aim-js/evaluate
 */
export { type Drawer, type DrawnOptions, drawn } from './evaluate/drawn.js';
export {
  type EvaluateOptions,
  type EvaluateProgress,
  type Evaluation,
  evaluate,
  type InceptionMetrics,
  type MetricName,
  type OwnMetrics,
  type ReferenceSource,
  type SampleSource,
} from './evaluate/evaluate.js';
export type { ImageBytes } from './evaluate/features.js';
export type { ImageSource, ReadOptions } from './evaluate/images.js';
export * from './metrics/index.js';

/** What `npm run quality` measures with. */
export { imageGrid } from '../io/image.js';
export { frechetDistance, moments } from '../metrics/index.js';
export { Classifier, FEATURES } from './classifier.js';

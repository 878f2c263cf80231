/** What `npm run quality` measures with. */
export { frechetDistance, moments } from '../metrics/index.js';
export { Classifier, FEATURES } from './classifier.js';

/** What `npm run quality` and `npm run sharpness` measure with. */
export { imageGrid } from '../io/image.js';
export { frechetDistance, moments } from '../metrics/index.js';
export { Classifier, FEATURES } from './classifier.js';
export { addSharpness, noSharpness, sharpnessOf } from './sharpness.js';

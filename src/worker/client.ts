/**
 * The AiM of `aim-js`, running in a worker so that it never blocks the page. Methods have the same meaning as in `aim-js`. Each
 * model has its own worker, which starts when the model is loaded and ends with `dispose`.
 * @module aim-js/worker
 */
import script from '../../dist/aim.worker.min.js?text';
import { useScript } from './start.js';

export * from './exports.js';

useScript({ text: script, name: 'aim.worker.min.js' });

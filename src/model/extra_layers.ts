/** The layers that AiM's own models do not have. Their code is loaded for a model that has them (mixers.ts). */
export { attention } from './attention.js';
export { mlp } from './mlp.js';

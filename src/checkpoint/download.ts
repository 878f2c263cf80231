/** What is loaded on first use, as one chunk: see `downloads` in folder.ts. */

export { keepTuning, recallTuning } from '../backend/tuning_store.js';
export { cachedFiles, clearCache } from '../cache/entry.js';
export { hubFolder, openUrl, urlFolder } from './hub.js';
export { verified } from './parts.js';
export { joinShards, shardNames, sharedProgress } from './shards.js';

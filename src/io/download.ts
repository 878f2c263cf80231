/** What is loaded on first use, as one chunk: see `downloads` in folder.ts. */
export { cachedFiles, clearCache } from './cache.js';
export { hubFolder, openUrl, urlFolder } from './hub.js';
export { verified } from './parts.js';
export { joinShards, shardNames, sharedProgress } from './shards.js';
export { keepTuning, recallTuning } from './tuned.js';

/** Everything that is loaded only for downloads, hashes or shards, as one module: see `downloads` in folder.ts. */

export { keepTuning, recallTuning } from '../backend/tuning_store.js';
export { cachedFiles, clearCache } from '../cache/entry.js';
export { verified } from './chunked_source.js';
export { hubFolder, openUrl, urlFolder } from './hub.js';
export { joinShards, shardNames, sharedProgress } from './shards.js';

/** The interface of the cache's storage. */
import { IoError } from '../core/errors.js';

/** Persistent storage of byte arrays by name. */
export interface Store {
  /** Where it is, for messages. */
  readonly name: string;
  get(key: string): Promise<Uint8Array | undefined>;
  /** Stores all of `data` or nothing. Throws if there is no room. */
  put(key: string, data: Uint8Array): Promise<void>;
  delete(key: string): Promise<void>;
  keys(): Promise<string[]>;
  /** Takes a lock that other tabs and processes see; undefined if it is taken. The result releases it. */
  lock(key: string): Promise<(() => Promise<void>) | undefined>;
}

/** The storage failed; what it holds can still be downloaded. */
export class StoreError extends IoError {}

/** The interface of a store of downloads. */
import { IoError } from '../core/errors.js';

/** Named bytes that stay. */
export interface Store {
  /** Where it is, for messages. */
  readonly name: string;
  get(key: string): Promise<Uint8Array | undefined>;
  /** Stores all of `data` or nothing. Throws where there is no room. */
  put(key: string, data: Uint8Array): Promise<void>;
  delete(key: string): Promise<void>;
  keys(): Promise<string[]>;
  /** Takes a lock that other tabs and processes see; undefined if it is taken. The result gives it back. */
  lock(key: string): Promise<(() => Promise<void>) | undefined>;
}

/** The store failed; what it was to keep may still be had from the server. */
export class StoreError extends IoError {}

/** The records of the cache. They are files that anyone can damage or edit, so all of their fields are checked. */

/** What a server reports about the content of a file. */
export interface Version {
  /** Without the mark of weak ETags (`W/`), which servers that compress add and remove. */
  etag?: string | undefined;
  /** The Last-Modified header. */
  modified?: string | undefined;
  /** Bytes. */
  size?: number | undefined;
}

/** A large file, stored in chunks. */
export interface FileRecord extends Version {
  url: string;
  /** Names one download, in the keys of its chunks. */
  generation: string;
  complete: boolean;
  /** The SHA-256 that the content must have. If the file is complete, it has been verified. */
  sha256?: string | undefined;
  /** The SHA-256 of each chunk; empty where it is unknown. */
  checksums?: string[] | undefined;
  /** The commit that the file belongs to. A file of a known commit never changes. */
  commit?: string | undefined;
}

/** A small file: its text, or undefined if the server does not have it. */
export interface TextRecord {
  url: string;
  text?: string | undefined;
  commit?: string | undefined;
}

/** Reads a record; undefined if it is damaged or was written by something else. */
export function parseRecord(json: string): FileRecord | TextRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const record = value as Record<string, unknown>;
  const optional = (names: string[], check: (v: unknown) => boolean) =>
    names.every((name) => record[name] === undefined || check(record[name]));
  if (typeof record.url !== 'string' || !optional(['text', 'commit'], isText)) return undefined;
  if (record.generation === undefined) return value as TextRecord;
  const isFile =
    typeof record.generation === 'string' &&
    /^[a-z\d]+$/.test(record.generation) &&
    typeof record.complete === 'boolean' &&
    optional(['etag', 'modified'], isText) &&
    optional(['size'], (v) => Number.isSafeInteger(v) && (v as number) >= 0) &&
    (!record.complete || record.size !== undefined) &&
    optional(['sha256'], isHash) &&
    optional(['checksums'], (v) => Array.isArray(v) && v.every((hash) => hash === '' || isHash(hash)));
  return isFile ? (value as FileRecord) : undefined;
}

const isText = (value: unknown) => typeof value === 'string';
const isHash = (value: unknown) => typeof value === 'string' && /^[\da-f]{64}$/.test(value);

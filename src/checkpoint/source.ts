/** Opens what users pass as a checkpoint: a folder, a file, a URL, dropped files or objects in memory. */
import { CheckpointError, IoError, OptionError } from '../core/errors.js';
import { parseJson } from '../core/json.js';
import { type ByteSource, blobSource, bytesSource, reporting, type SourceOptions, withRead } from '../io/bytes.js';
import { openFile } from '../io/file_source.js';
import * as files from '../platform/files.js';
import { CONFIG, checked, downloads, type Folder, folderWeights, givenHash, INDEX, isRepositoryId, WEIGHTS } from './folder.js';
import type { RemoteFolder } from './hub.js';

export type { Progress } from '../core/progress.js';
export { type ByteSource, blobSource, bytesSource, type RemoteOptions, type SourceOptions } from '../io/bytes.js';

type Bytes = Uint8Array | ArrayBuffer;

/**
 * A checkpoint: the path or http(s) URL of a folder with config.json and model.safetensors, or of a .safetensors file with
 * config.json beside it; the id `owner/name` of a Hugging Face repository; the files of a dropped folder; or the parts
 * themselves (a `config` string is JSON text). Instead of model.safetensors there may be several files with their
 * model.safetensors.index.json. A local folder (Node, Deno) goes before a repository of the same name; in a browser a folder
 * beside the page is `./owner/name`.
 */
export type CheckpointSource =
  | string
  | URL
  | Iterable<File>
  | { config: object | Blob | Bytes | string; weights: Blob | Bytes; classes?: readonly string[] };

/** The files of one checkpoint. */
export interface CheckpointFiles {
  /** Where it comes from, for messages. */
  readonly name: string;
  /** The parsed config.json. Throws CheckpointError if it is not JSON. */
  config(): Promise<unknown>;
  /** The safetensors file; each call opens it anew. */
  weights(): Promise<ByteSource>;
  /** An optional text file beside the others, such as classes.json; undefined if there is none. */
  text(file: string): Promise<string | undefined>;
  /** Closes every source `weights()` has opened. */
  close(): Promise<void>;
}

const LAYOUT = `a checkpoint is a folder with ${CONFIG} and ${WEIGHTS}`;

/** What every kind of checkpoint must give; openCheckpoint adds the parsing and the closing. */
interface Parts {
  name: string;
  configName: string;
  configText: (() => Promise<string>) | { parsed: object };
  weights: () => Promise<ByteSource>;
  text: (file: string) => Promise<string | undefined>;
}

/** Opens bytes by what they are: in memory, a Blob or File, an http(s) URL, or a path (Node, Deno). */
export async function openSource(source: string | URL | Blob | Bytes, options: SourceOptions = {}): Promise<ByteSource> {
  options.signal?.throwIfAborted();
  const local = async (bytes: ByteSource) =>
    reporting(await checked(bytes, givenHash(options.sha256, bytes.name, false)), options.onProgress);
  if (source instanceof Blob) return local(blobSource(source));
  if (source instanceof Uint8Array || isBuffer(source)) return local(bytesSource(source));
  const place = await locate(source);
  return place.url ? (await downloads()).openUrl(place.url, options) : local(await openFile(place.path));
}

/**
 * Opens a checkpoint without reading its weights. `onProgress` then hears of the weights as they are read; `signal` stops
 * everything (rejecting with `signal.reason`). Throws IoError naming a missing file, OptionError for what is no source.
 */
export async function openCheckpoint(source: CheckpointSource, options: SourceOptions = {}): Promise<CheckpointFiles> {
  const { signal } = options;
  signal?.throwIfAborted();
  const parts = await resolve(source, options);
  const opened: ByteSource[] = [];
  return {
    name: parts.name,
    async config() {
      signal?.throwIfAborted();
      if (typeof parts.configText === 'object') return parts.configText.parsed;
      const text = await parts.configText();
      signal?.throwIfAborted();
      return parseConfig(text, parts.configName);
    },
    async weights() {
      signal?.throwIfAborted();
      const weights = stoppable(await parts.weights(), signal);
      opened.push(weights);
      return weights;
    },
    async text(file) {
      signal?.throwIfAborted();
      return parts.text(file);
    },
    async close() {
      for (const s of opened.splice(0)) await s.close();
    },
  };
}

async function resolve(source: CheckpointSource, options: SourceOptions): Promise<Parts> {
  if (typeof source === 'string' || source instanceof URL) {
    const text = String(source);
    if (isRepositoryId(text) && !(files.hasFiles() && (await files.exists(text))))
      return remoteParts(await (await downloads()).hubFolder(text, options), options);
    const place = await locate(source);
    return place.url ? urlParts(place.url, options) : pathParts(place.path, options);
  }
  if (typeof source === 'object' && source !== null) {
    if (Symbol.iterator in source) return listParts([...source], options);
    if ('config' in source && 'weights' in source) return objectParts(source, options);
  }
  throw new OptionError(
    'this is not a checkpoint: pass the path or URL of a folder or .safetensors file, a repository id, a list of File objects, or ' +
      '{ config, weights }.',
  );
}

/** A string is an http(s) URL, else a path where there are files, else a URL relative to the page. */
async function locate(source: string | URL): Promise<{ url: URL } | { url?: never; path: string }> {
  const text = String(source);
  if (/^https?:\/\//i.test(text)) {
    try {
      return { url: new URL(text) };
    } catch (error) {
      throw new OptionError(`${text} is not a valid URL; correct it.`, { cause: error });
    }
  }
  if (text === '') throw new OptionError('the path of the checkpoint is empty; pass a folder, a file or a URL.');
  if (files.hasFiles()) return { path: /^file:/i.test(text) ? await files.urlPath(new URL(text)) : text };
  try {
    return { url: new URL(text, globalThis.location?.href) };
  } catch (error) {
    throw new OptionError(`${text} is neither a URL nor relative to this page; pass an http(s) URL.`, { cause: error });
  }
}

async function pathParts(path: string, options: SourceOptions): Promise<Parts> {
  const isFolder = await files.isDirectory(path);
  if (!isFolder && !(await files.exists(path)))
    throw new IoError(`there is no folder or file ${path}; pass a checkpoint that exists (${LAYOUT}).`);
  if (!isFolder && !path.endsWith('.safetensors'))
    throw new IoError(`${path} is neither a folder nor a .safetensors file; ${LAYOUT}.`);
  // The folder of a training run: `latest` names its newest checkpoint (train/folder.ts).
  const latest = await files.join(path, 'latest');
  if (isFolder && !(await files.exists(await files.join(path, CONFIG))) && (await files.exists(latest)))
    return pathParts(await files.join(path, (await files.readText(latest)).trim()), options);
  const place = isFolder ? path : await files.parent(path);
  const at = (file: string) => files.join(place, file);
  const weightsFile = isFolder ? WEIGHTS : await files.base(path);
  const folder: Folder = {
    name: path,
    async text(file) {
      return (await files.exists(await at(file))) ? files.readText(await at(file)) : undefined;
    },
    async open(file, { sha256, onProgress }) {
      if (!(await files.exists(await at(file)))) return undefined;
      return reporting(await checked(await openFile(await at(file)), sha256), onProgress);
    },
    async missing(file) {
      throw new IoError(
        `there is no file ${await at(file)} (its folder holds ${few(await files.listFolder(place))}); ${LAYOUT}.`,
      );
    },
  };
  const there = async (file: string) => files.exists(await at(file));
  if (!(await there(CONFIG))) await folder.missing(CONFIG);
  if (!(await there(weightsFile)) && !(await there(INDEX))) await folder.missing(weightsFile);
  return {
    name: path,
    configName: await at(CONFIG),
    configText: async () => files.readText(await at(CONFIG)),
    weights: () => folderWeights(folder, options, weightsFile),
    text: folder.text,
  };
}

async function urlParts(url: URL, options: SourceOptions): Promise<Parts> {
  const file = /[^/]*\.safetensors$/.exec(url.pathname)?.[0];
  return remoteParts((await downloads()).urlFolder(url, file, options), options, file);
}

function remoteParts(folder: RemoteFolder, options: SourceOptions, file?: string): Parts {
  return {
    name: file ? `${folder.name}/${file}` : folder.name,
    configName: `${folder.name}/${CONFIG}`,
    configText: folder.config,
    weights: () => folderWeights(folder, options, file),
    text: folder.text,
  };
}

function listParts(list: File[], options: SourceOptions): Parts {
  const wrong = list.find((f) => !(f instanceof Blob) || typeof f.name !== 'string');
  if (wrong !== undefined)
    throw new OptionError('a list given as a checkpoint must hold File objects only; pass the files of its folder.');
  const path = (f: File) => f.webkitRelativePath || f.name;
  // A dropped folder may hold others: the file nearest to its root counts.
  const find = (name: string) => {
    const depth = (f: File) => path(f).split('/').length;
    const found = list.filter((f) => f.name === name).sort((a, b) => depth(a) - depth(b));
    if (found[1] && depth(found[0]!) === depth(found[1]))
      throw new IoError(`there are two files ${name} (${path(found[0]!)}, ${path(found[1])}); pass the files of one checkpoint.`);
    return found[0];
  };
  const missing = (file: string) => {
    throw new IoError(`there is no file ${file} among those given (${few(list.map(path))}); ${LAYOUT}.`);
  };
  const config = find(CONFIG) ?? missing(CONFIG);
  const weights = find(WEIGHTS) ?? find(INDEX) ?? missing(WEIGHTS);
  const folder: Folder = {
    name: path(weights),
    async text(file) {
      const found = find(file);
      return found && blobText(found);
    },
    async open(file, { sha256, onProgress }) {
      const found = find(file);
      return found && reporting(await checked(blobSource(found, path(found)), sha256), onProgress);
    },
    missing: async (file) => missing(file),
  };
  return {
    name: path(weights),
    configName: path(config),
    configText: () => blobText(config),
    weights: () => folderWeights(folder, options),
    text: folder.text,
  };
}

function objectParts(source: Extract<CheckpointSource, { weights: unknown }>, options: SourceOptions): Parts {
  const { config, weights, classes } = source;
  const isBytes = weights instanceof Uint8Array || isBuffer(weights);
  if (!isBytes && !(weights instanceof Blob))
    throw new OptionError('weights must be a Blob, File, Uint8Array or ArrayBuffer with the bytes of a .safetensors file.');
  const configName = (config instanceof Blob && (config as Partial<File>).name) || 'the config given';
  const parts = {
    name: (weights instanceof Blob && (weights as Partial<File>).name) || 'the weights given',
    configName,
    async weights() {
      const source = isBytes ? bytesSource(weights, 'the weights given') : blobSource(weights, parts.name);
      return reporting(await checked(source, givenHash(options.sha256, WEIGHTS, false)), options.onProgress);
    },
    text: async (file: string) => (file === 'classes.json' && classes ? JSON.stringify(classes) : undefined),
  };
  if (typeof config === 'string') return { ...parts, configText: async () => config };
  if (config instanceof Blob) return { ...parts, configText: () => blobText(config) };
  if (config instanceof Uint8Array || isBuffer(config))
    return { ...parts, configText: async () => new TextDecoder().decode(config) };
  if (typeof config === 'object' && config !== null) return { ...parts, configText: { parsed: config } };
  throw new OptionError('config must be the parsed config.json, its text, its bytes or a File of it.');
}

/** The same source, stopped by `signal` as well as by the signal of each read. */
function stoppable(source: ByteSource, signal: AbortSignal | undefined): ByteSource {
  if (!signal) return source;
  return withRead(source, async (offset, length, own) => {
    signal.throwIfAborted();
    const bytes = await source.read(offset, length, own);
    signal.throwIfAborted();
    return bytes;
  });
}

function parseConfig(text: string, name: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    const what = /^\s*</.test(text) ? 'is a web page, not JSON' : `is not valid JSON: ${(error as Error).message}`;
    throw new CheckpointError(`${name} ${what}; download or save the checkpoint again.`, { cause: error });
  }
}

async function blobText(blob: Blob): Promise<string> {
  const source = blobSource(blob);
  return new TextDecoder().decode(await source.read(0, source.size));
}

function isBuffer(value: unknown): value is ArrayBuffer {
  return value instanceof ArrayBuffer;
}

function few(names: readonly string[]): string {
  if (names.length === 0) return 'nothing';
  return names.slice(0, 5).join(', ') + (names.length > 5 ? `, and ${names.length - 5} more` : '');
}

/** Opens the checkpoint that a user passes: a folder, a file, a URL, dropped files or objects in memory. */
import { CheckpointError, IoError, OptionError } from '../core/errors.js';
import { parseJson } from '../core/json.js';
import {
  type ByteSource,
  blobSource,
  bytesSource,
  isBlob,
  isBytes,
  reporting,
  type SourceOptions,
  withRead,
} from '../io/bytes.js';
import { display } from '../io/url.js';
import { hasFiles } from '../platform/runtime.js';
import { type Contents, few, LAYOUT, MAX_TEXT, understood } from './contents.js';
import {
  type CheckpointFolder,
  CLASSES,
  CONFIG,
  checked,
  downloads,
  folderWeights,
  GENERATION,
  givenHash,
  INDEX,
  isRepositoryId,
  WEIGHTS,
} from './folder.js';
import type { RemoteFolder } from './hub.js';

export type { Progress } from '../core/progress.js';
export { type ByteSource, blobSource, bytesSource, type RemoteOptions, type SourceOptions } from '../io/bytes.js';

type Bytes = Uint8Array | ArrayBuffer;

/**
 * A checkpoint: the path or http(s) URL of a folder with config.json and model.safetensors, or of a .safetensors file (or a file of
 * PyTorch, .pt, .pth or .bin, which is read without executing it) with config.json beside it; the id `owner/name` of a Hugging Face
 * repository; the files of a dropped folder; or the contents themselves (a `config` string is JSON text, a `weights` string or URL is
 * the place of the file, `classes` and `generationConfig` are classes.json and generation_config.json, parsed). Instead of model.safetensors there may be several files with their model.safetensors.index.json. A local
 * folder (Node, Deno) takes precedence over a repository of the same name; in a browser a folder beside the page is written
 * `./owner/name`.
 */
export type CheckpointSource =
  | string
  | URL
  | Iterable<File>
  | {
      config: object | Blob | Bytes | string;
      weights: string | URL | Blob | Bytes;
      classes?: readonly string[];
      generationConfig?: object;
    };

/** The files of one checkpoint. */
export interface CheckpointFiles {
  /** Where it comes from, for messages. Never holds a password or query. */
  readonly name: string;
  /** The parsed config.json. Throws CheckpointError if it is not JSON. */
  config(): Promise<unknown>;
  /** The safetensors file; each call opens it again. */
  weights(): Promise<ByteSource>;
  /**
   * An optional text file beside the others; undefined if there is none. Throws IoError if it cannot be read; for classes.json and
   * generation_config.json of a server that does not answer, onWarning is called instead.
   */
  text(file: string): Promise<string | undefined>;
  /** Closes every source that `weights()` has opened. */
  close(): Promise<void>;
}

/** Local files, which only runtimes that have files load. */
const byPath = () => import('./local.js');

/** Opens bytes in memory, a Blob or File, an http(s) URL, or a path (Node, Deno). Throws IoError or OptionError. */
export async function openSource(source: string | URL | Blob | Bytes, options: SourceOptions = {}): Promise<ByteSource> {
  options.signal?.throwIfAborted();
  const local = async (bytes: ByteSource) =>
    reporting(await checked(bytes, givenHash(options.sha256, bytes.name, false)), options.onProgress);
  if (isBlob(source)) return local(blobSource(source));
  if (isBytes(source)) return local(bytesSource(source));
  const place = await locate(source);
  return place.url ? (await downloads()).openUrl(place.url, options) : local(await (await byPath()).openFile(place.path));
}

/**
 * Opens a checkpoint without reading its weights. Later reads of the weights are reported to `onProgress`; `signal` stops
 * everything (rejecting with `signal.reason`). Throws IoError naming a missing file, OptionError if `source` is no checkpoint.
 */
export async function openCheckpoint(source: CheckpointSource, options: SourceOptions = {}): Promise<CheckpointFiles> {
  const { signal } = options;
  signal?.throwIfAborted();
  const contents = await resolve(source, options);
  const opened: ByteSource[] = [];
  return {
    name: contents.name,
    async config() {
      signal?.throwIfAborted();
      if (typeof contents.configText === 'object') return contents.configText.parsed;
      const text = await contents.configText();
      signal?.throwIfAborted();
      return parseConfig(text, contents.configName);
    },
    async weights() {
      signal?.throwIfAborted();
      const weights = stoppable(await contents.weights(), signal);
      opened.push(weights);
      return understood(weights, signal);
    },
    async text(file) {
      signal?.throwIfAborted();
      return contents.text(file);
    },
    async close() {
      for (const s of opened.splice(0)) await s.close();
    },
  };
}

async function resolve(source: CheckpointSource, options: SourceOptions): Promise<Contents> {
  if (typeof source === 'string' || isUrl(source)) {
    const text = String(source);
    if (isRepositoryId(text) && !(hasFiles() && (await (await byPath()).exists(text))))
      return remoteContents(await (await downloads()).hubFolder(text, options), options);
    const place = await locate(source);
    return place.url ? urlContents(place.url, options) : (await byPath()).pathContents(place.path, options);
  }
  if (typeof source === 'object' && source !== null) {
    if (Symbol.iterator in source) return listContents([...source], options);
    if ('config' in source && 'weights' in source) return objectContents(source, options);
  }
  throw new OptionError(
    'this is not a checkpoint: pass the path or URL of a folder or .safetensors file, a repository id, a list of File objects, or ' +
      '{ config, weights }.',
  );
}

/** A string is an http(s) URL, else a path in runtimes with files, else a URL relative to the page. */
async function locate(source: string | URL): Promise<{ url: URL } | { url?: never; path: string }> {
  const text = String(source);
  if (/^https?:\/\//i.test(text)) {
    try {
      return { url: new URL(text) };
    } catch (error) {
      throw new OptionError(`${display(text)} is not a valid URL; correct it.`, { cause: (error as Error).name });
    }
  }
  if (text === '') throw new OptionError('the path of the checkpoint is empty; pass a folder, a file or a URL.');
  if (hasFiles()) return { path: /^file:/i.test(text) ? await (await byPath()).urlPath(new URL(text)) : text };
  let url: URL;
  try {
    url = new URL(text, globalThis.location?.href);
  } catch (error) {
    throw new OptionError(`${display(text)} is neither a URL nor relative to this page; pass an http(s) URL.`, { cause: error });
  }
  if (url.protocol === 'file:')
    throw new IoError(
      `${text} is beside a page that was opened as a file (file://), from where browsers may not read: serve the page and the ` +
        'model by a web server (for instance `npx serve`) and open http://localhost:…, or pass File objects.',
    );
  return { url };
}

async function urlContents(url: URL, options: SourceOptions): Promise<Contents> {
  const file = /[^/]*\.(safetensors|pt|pth|bin)$/.exec(url.pathname)?.[0];
  return remoteContents((await downloads()).urlFolder(url, file, options), options, file);
}

function remoteContents(folder: RemoteFolder, options: SourceOptions, file?: string): Contents {
  return {
    name: file ? `${folder.name}/${file}` : folder.name,
    configName: `${folder.name}/${CONFIG}`,
    configText: folder.config,
    weights: () => folderWeights(folder, options, file),
    text: folder.text,
  };
}

function listContents(list: File[], options: SourceOptions): Contents {
  const wrong = list.find((f) => !isBlob(f) || typeof f.name !== 'string');
  if (wrong !== undefined)
    throw new OptionError('a list given as a checkpoint must hold File objects only; pass the files of its folder.');
  const path = (f: File) => f.webkitRelativePath || f.name;
  // A dropped folder may have folders inside: the file nearest to its root counts.
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
  const folder: CheckpointFolder = {
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

function objectContents(source: Extract<CheckpointSource, { weights: unknown }>, options: SourceOptions): Contents {
  const { config, weights, classes, generationConfig } = source;
  const isPlace = typeof weights === 'string' || isUrl(weights);
  if (!isPlace && !isBytes(weights) && !isBlob(weights))
    throw new OptionError(
      'weights must be the bytes of a .safetensors file (Blob, File, Uint8Array or ArrayBuffer), its path or its URL.',
    );
  const nameOf = (value: unknown) => (isBlob(value) && (value as Partial<File>).name) || undefined;
  const name = isPlace ? display(String(weights)) : (nameOf(weights) ?? 'the weights given');
  return {
    name,
    configName: nameOf(config) ?? 'the config given',
    configText: objectConfig(config),
    async weights() {
      if (isPlace) return openSource(weights, options);
      const source = isBytes(weights) ? bytesSource(weights, name) : blobSource(weights, name);
      return reporting(await checked(source, givenHash(options.sha256, WEIGHTS, false)), options.onProgress);
    },
    async text(file) {
      const value = { [CLASSES]: classes, [GENERATION]: generationConfig }[file];
      return value && JSON.stringify(value);
    },
  };
}

function objectConfig(config: unknown): Contents['configText'] {
  if (typeof config === 'string') return async () => config;
  if (isBlob(config)) return () => blobText(config);
  if (isBytes(config)) return async () => new TextDecoder().decode(config);
  if (typeof config === 'object' && config !== null) return { parsed: config };
  throw new OptionError('config must be the parsed config.json, its text, its bytes or a File of it.');
}

/** Wraps a source so that `signal` stops it as well as the signal of each read. */
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
  if (source.size > MAX_TEXT)
    throw new IoError(
      `${source.name} has ${source.size} bytes, more than the ${MAX_TEXT} that such a file may have; check the file.`,
    );
  return new TextDecoder().decode(await source.read(0, source.size));
}

/** True for URL objects of any realm. */
function isUrl(value: unknown): value is URL {
  return Object.prototype.toString.call(value) === '[object URL]';
}

/** Opens what users pass as a checkpoint: a folder, a file, a URL, dropped files or objects in memory. */
import { CheckpointError, IoError, OptionError } from '../errors.js';
import * as files from '../platform/files.js';
import { type ByteSource, blobSource, bytesSource, reporting, type SourceOptions } from './bytes.js';
import { fetchText, httpSource } from './http.js';

export { type ByteSource, blobSource, bytesSource, type Progress, type SourceOptions } from './bytes.js';
export { httpSource } from './http.js';

type Bytes = Uint8Array | ArrayBuffer;

/**
 * A checkpoint: the path or http(s) URL of a folder with config.json and model.safetensors, or of a .safetensors file with
 * config.json beside it; the files of a dropped folder; or the parts themselves (a `config` string is JSON text).
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

const CONFIG = 'config.json';
const WEIGHTS = 'model.safetensors';
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
  if (source instanceof Blob) return reporting(blobSource(source), options.onProgress);
  if (source instanceof Uint8Array || isBuffer(source)) return reporting(bytesSource(source), options.onProgress);
  const place = await locate(source);
  return place.url ? httpSource(place.url.href, options) : reporting(await files.openFile(place.path), options.onProgress);
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
    const place = await locate(source);
    return place.url ? urlParts(place.url, options) : pathParts(place.path, options);
  }
  if (typeof source === 'object' && source !== null) {
    if (Symbol.iterator in source) return listParts([...source], options);
    if ('config' in source && 'weights' in source) return objectParts(source, options);
  }
  throw new OptionError(
    'this is not a checkpoint: pass the path or URL of a folder or .safetensors file, a list of File objects, or { config, weights }.',
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
  const folder = isFolder ? path : await files.parent(path);
  const weightsPath = isFolder ? await files.join(path, WEIGHTS) : path;
  const configPath = await files.join(folder, CONFIG);
  for (const file of [configPath, weightsPath]) {
    if (await files.exists(file)) continue;
    const names = await files.listFolder(folder);
    throw new IoError(`there is no file ${file} (its folder holds ${few(names)}); ${LAYOUT}.`);
  }
  return {
    name: path,
    configName: configPath,
    configText: () => files.readText(configPath),
    weights: async () => reporting(await files.openFile(weightsPath), options.onProgress),
    async text(file) {
      const full = await files.join(folder, file);
      return (await files.exists(full)) ? files.readText(full) : undefined;
    },
  };
}

function urlParts(url: URL, options: SourceOptions): Parts {
  const isFile = url.pathname.endsWith('.safetensors');
  const folder = isFile ? url.pathname.replace(/[^/]*$/, '') : url.pathname.replace(/\/*$/, '/');
  // The query goes along: signed URLs carry their token there.
  const beside = (file: string) => Object.assign(new URL(url), { pathname: folder + file }).href;
  const name = url.origin + url.pathname;
  return {
    name,
    configName: url.origin + folder + CONFIG,
    configText: () => fetchText(beside(CONFIG), { signal: options.signal }),
    weights: () => httpSource(isFile ? url.href : beside(WEIGHTS), options),
    text: (file) => fetchText(beside(file), { signal: options.signal, optional: true }),
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
  const need = (name: string) => {
    const file = find(name);
    if (!file) throw new IoError(`there is no file ${name} among those given (${few(list.map(path))}); ${LAYOUT}.`);
    return file;
  };
  const [config, weights] = [need(CONFIG), need(WEIGHTS)];
  return {
    name: path(weights),
    configName: path(config),
    configText: () => blobText(config),
    weights: async () => reporting(blobSource(weights, path(weights)), options.onProgress),
    async text(file) {
      const found = find(file);
      return found && blobText(found);
    },
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
    weights: async () =>
      reporting(isBytes ? bytesSource(weights, 'the weights given') : blobSource(weights, parts.name), options.onProgress),
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
  return {
    name: source.name,
    size: source.size,
    async read(offset, length, own) {
      signal.throwIfAborted();
      const bytes = await source.read(offset, length, own);
      signal.throwIfAborted();
      return bytes;
    },
    close: () => source.close(),
  };
}

function parseConfig(text: string, name: string): unknown {
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ''));
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

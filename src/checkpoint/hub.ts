/** Checkpoints behind URLs and in repositories of a Hugging Face hub. */
import { IoError, OptionError } from '../core/errors.js';
import type { ByteSource, SourceOptions } from '../io/bytes.js';
import { hasFiles } from '../platform/files.js';
import { environment } from '../platform/runtime.js';
import { CONFIG, type Folder, givenHash, WEIGHTS } from './folder.js';
import { HttpError } from './http.js';
import { remoteSource, remoteText } from './remote.js';

export interface RemoteFolder extends Folder {
  /** The text of config.json. Throws HttpError. */
  config(): Promise<string>;
}

/** Where the files of a remote checkpoint are. */
interface Address {
  /** Where it is, for messages. */
  name: string;
  headers: Record<string, string> | undefined;
  /** The address by which a file is kept. */
  url(file: string): string;
  /** The commit all files are taken from, where that is known. */
  commit?: string;
  /** The address of that commit's file. */
  from?(file: string): string;
  /** config.json, where it has been read already. */
  config?: string;
}

/** A folder behind a URL; `file` is the part of the URL that names one in it. */
export function urlFolder(url: URL, file: string | undefined, options: SourceOptions): RemoteFolder {
  const folder = file ? url.pathname.slice(0, -file.length) : url.pathname.replace(/\/*$/, '/');
  // The query goes along: signed URLs carry their token there.
  const at = (name: string) => Object.assign(new URL(url), { pathname: folder + name }).href;
  return remoteFolder({ name: url.origin + folder.slice(0, -1), headers: authorization(options.token), url: at }, options);
}

/** A single file. */
export function openUrl(url: URL, options: SourceOptions): Promise<ByteSource> {
  const sha256 = givenHash(options.sha256, url.pathname.replace(/.*\//, ''), false);
  return remoteSource({ url: url.href, headers: authorization(options.token), sha256 }, options);
}

function remoteFolder({ name, headers, commit, url, from, config }: Address, options: SourceOptions): RemoteFolder {
  const at = (file: string) => ({ url: url(file), from: from?.(file), commit, headers });
  const text = async (file: string) => (await remoteText(at(file), options, true))?.text;
  return {
    name,
    text,
    config: async () => config ?? (await remoteText(at(CONFIG), options)).text,
    open: (file, own) =>
      remoteSource(
        { ...at(file), sha256: own.sha256, cardHash: async () => cardHash((await text('README.md')) ?? '', file) },
        own,
        true,
      ),
    async missing(file) {
      // Asked again, to be told why.
      await (await remoteSource(at(file), { ...options, cache: false })).close();
      throw new IoError(`${name}/${file} came and went; try again.`);
    },
  };
}

/** The header that carries a token. */
function authorization(token: string | undefined): Record<string, string> | undefined {
  return token ? { authorization: `Bearer ${token}` } : undefined;
}

/**
 * A repository at one commit: that which its revision has now, so that config and weights belong together. The one request
 * this takes is also all that it takes to load a model again. Throws HttpError if there is none, or none for this user.
 */
export async function hubFolder(id: string, options: SourceOptions): Promise<RemoteFolder> {
  const { revision = 'main' } = options;
  const endpoint = (options.endpoint ?? environment('HF_ENDPOINT') ?? 'https://huggingface.co').replace(/\/+$/, '');
  if (!/^https?:\/\//i.test(endpoint)) throw new OptionError(`endpoint is ${endpoint}; it must be an http(s) URL.`);
  if (revision === '') throw new OptionError('revision is empty; give a branch, tag or commit, or leave it out.');
  const at = (of: string) => (file: string) => `${endpoint}/${id}/resolve/${encodeURIComponent(of)}/${file}`;
  const url = at(revision);
  const name = `${endpoint}/${id}`;
  const headers = authorization(options.token ?? environment('HF_TOKEN'));
  // A commit never changes.
  const fixed = /^[\da-f]{40}$/.exec(revision)?.[0];
  const config = await remoteText({ url: url(CONFIG), commit: fixed, headers }, options).catch((error) => {
    throw error instanceof HttpError ? unknown(error, id, name, revision) : error;
  });
  const commit = fixed ?? config.commit;
  return remoteFolder({ name, headers, url, config: config.text, ...(commit && { commit, from: at(commit) }) }, options);
}

/** Hubs answer alike for what is not there and what is not for everyone. */
function unknown(error: HttpError, id: string, name: string, revision: string): HttpError {
  const local = hasFiles() ? `There is no local folder ${id} either.` : `A folder beside this page is written ./${id}.`;
  if (![401, 403, 404].includes(error.status)) return new HttpError(`${error.message} ${local}`, error.status, error);
  return new HttpError(
    `${name} has no config.json at revision ${revision} to be read (HTTP ${error.status}): there is no such model, or it is ` +
      `private or gated; check the name, or pass the token of someone who may read it (option token${hasFiles() ? ', HF_TOKEN' : ''}). ${local}`,
    error.status,
    error,
  );
}

/**
 * The hash that a model card gives in its front matter: `sha256: …` for model.safetensors, or below `sha256:` a line
 * `FILE: …` for each.
 */
export function cardHash(card: string, file: string): string | undefined {
  const matter = /^---\r?\n([\s\S]*?)\n---/.exec(card)?.[1] ?? '';
  for (const line of matter.split('\n')) {
    const [, key, hash] = /^\s*["']?([^\s:"']+)["']?\s*:\s*["']?([\da-f]{64})\b/i.exec(line) ?? [];
    if (key === file || (key === 'sha256' && file === WEIGHTS)) return hash!.toLowerCase();
  }
  return undefined;
}

/** Repository ids of a Hugging Face hub, and the SHA-256 that users and model cards give. */
import { OptionError } from '../errors.js';
import { hasFiles } from '../platform/files.js';
import { environment } from '../platform/folder_store.js';
import type { SourceOptions } from './bytes.js';
import { HttpError } from './http.js';
import { remoteText } from './remote.js';

/** The address of each file of a remote checkpoint. */
export interface RemoteFolder {
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

/** True for `owner/name`; in a browser a folder beside the page is `./owner/name`. */
export function isRepositoryId(text: string): boolean {
  return /^\w[\w.-]*\/\w[\w.-]*$/.test(text) && !text.endsWith('.safetensors');
}

/** The header that carries a token. */
export function authorization(token: string | undefined): Record<string, string> | undefined {
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
  const config = await remoteText({ url: url('config.json'), commit: fixed, headers }, options).catch((error) => {
    throw error instanceof HttpError ? unknown(error, id, name, revision) : error;
  });
  const commit = fixed ?? config.commit;
  return { name, headers, url, config: config.text, ...(commit && { commit, from: at(commit) }) };
}

/** Hubs answer alike for what is not there and what is not for everyone. */
function unknown(error: HttpError, id: string, name: string, revision: string): HttpError {
  if (![401, 403, 404].includes(error.status)) return error;
  const local = hasFiles() ? `There is no local folder ${id} either` : `A folder beside this page is written ./${id}`;
  return new HttpError(
    `${name} has no config.json at revision ${revision} to be read (HTTP ${error.status}): there is no such model, or it is ` +
      `private or gated; check the name, or pass the token of someone who may read it (option token${hasFiles() ? ', HF_TOKEN' : ''}). ${local}.`,
    error.status,
    error,
  );
}

/** The hash that the user gives for a file. Throws OptionError. */
export function givenHash(sha256: SourceOptions['sha256'], file: string, ofSeveral: boolean): string | undefined {
  if (sha256 === undefined) return undefined;
  if (typeof sha256 === 'string' && ofSeveral)
    throw new OptionError(`the checkpoint has several files of weights; give sha256 as { '${file}': … }.`);
  const hash = typeof sha256 === 'string' ? sha256 : sha256[file];
  if (typeof hash !== 'string' || !/^[\da-f]{64}$/i.test(hash))
    throw new OptionError(`sha256 of ${file} is ${JSON.stringify(hash)}; it must be 64 hexadecimal digits.`);
  return hash.toLowerCase();
}

/**
 * The hash that a model card gives in its front matter: `sha256: …` for model.safetensors, or below `sha256:` a line
 * `FILE: …` for each.
 */
export function cardHash(card: string, file: string): string | undefined {
  const matter = /^---\r?\n([\s\S]*?)\n---/.exec(card)?.[1] ?? '';
  for (const line of matter.split('\n')) {
    const [, key, hash] = /^\s*["']?([^\s:"']+)["']?\s*:\s*["']?([\da-f]{64})\b/i.exec(line) ?? [];
    if (key === file || (key === 'sha256' && file === 'model.safetensors')) return hash!.toLowerCase();
  }
  return undefined;
}

/** Checkpoints behind URLs and in repositories of a Hugging Face hub. */
import { IoError, OptionError } from '../core/errors.js';
import { type ByteSource, type SourceOptions, warn } from '../io/bytes.js';
import { display } from '../io/url.js';
import { environment, hasFiles } from '../platform/runtime.js';
import { type CheckpointFolder, CLASSES, CONFIG, GENERATION, givenHash, WEIGHTS } from './folder.js';
import type { TextFile } from './http.js';
import { HttpError } from './http_error.js';
import { remoteSource, remoteText } from './remote.js';

/** Files that a model can be drawn with without. */
const BESIDE = [CLASSES, GENERATION];

export interface RemoteFolder extends CheckpointFolder {
  /** The text of config.json. Throws HttpError. */
  config(): Promise<string>;
}

/** How the files of a remote checkpoint are found. */
interface Address {
  /** Where the checkpoint is, for messages. */
  name: string;
  headers: Record<string, string> | undefined;
  /** The URL of a file, by which it is found in the cache. */
  url(file: string): string;
  /** The commit of all files, where it is known. */
  commit?: string;
  /** The URL of a file at that commit. */
  from?(file: string): string;
  /** config.json, where it has been read already. */
  config?: string;
}

/** A folder behind a URL; `file` is the last component of the URL if that names a file in the folder. */
export function urlFolder(url: URL, file: string | undefined, options: SourceOptions): RemoteFolder {
  const { plain, headers } = withoutUser(url, options);
  const folder = file ? plain.pathname.slice(0, -file.length) : plain.pathname.replace(/\/*$/, '/');
  // With the query, because signed URLs have their signature there.
  const at = (name: string) => Object.assign(new URL(plain), { pathname: folder + encodeURIComponent(name) }).href;
  return remoteFolder({ name: plain.origin + folder.slice(0, -1), headers, url: at }, options);
}

/** A single file. */
export function openUrl(url: URL, options: SourceOptions): Promise<ByteSource> {
  const { plain, headers } = withoutUser(url, options);
  const sha256 = givenHash(options.sha256, plain.pathname.replace(/.*\//, ''), false);
  return remoteSource({ url: plain.href, headers, sha256 }, options);
}

function remoteFolder({ name, headers, commit, url, from, config }: Address, options: SourceOptions): RemoteFolder {
  const at = (file: string) => ({ url: url(file), from: from?.(file), commit, headers });
  const readOptional = async (file: string) => (await remoteText(at(file), options, true))?.text;
  return {
    name,
    async text(file) {
      try {
        return await readOptional(file);
      } catch (error) {
        // By now the weights may have been downloaded; class names and settings are no reason to give up.
        if (!BESIDE.includes(file) || !(error instanceof HttpError && error.passing)) throw error;
        warn(options, `${file} is not available: ${error.message}`);
        return undefined;
      }
    },
    config: async () => config ?? (await remoteText(at(CONFIG), options)).text,
    open: (file, own) =>
      remoteSource(
        { ...at(file), sha256: own.sha256, cardHash: async () => cardHash((await readOptional('README.md')) ?? '', file) },
        own,
        true,
      ),
    async missing(file) {
      // Asks again, this time for the error.
      await (await remoteSource(at(file), { ...options, cache: false })).close();
      throw new IoError(`${name}/${file} was missing at first and then was not; try again.`);
    },
  };
}

/** The header that carries a token. Throws OptionError, without the value, for a token that no header can carry. */
function authorization(token: string | undefined, where: string): Record<string, string> | undefined {
  const bare = token?.trim();
  if (!bare) return undefined;
  if (!/^[\x21-\x7e]+$/.test(bare))
    throw new OptionError(`${where} has a blank, a line break or a character beyond ASCII inside; pass the token alone.`);
  return { authorization: `Bearer ${bare}` };
}

/** The URL without user name and password, which become a header (fetch refuses URLs that have them). */
function withoutUser(url: URL, { token }: SourceOptions) {
  const plain = Object.assign(new URL(url), { username: '', password: '' });
  if (token || !(url.username || url.password)) return { plain, headers: authorization(token, 'the token') };
  const user = new TextEncoder().encode(`${decoded(url.username)}:${decoded(url.password)}`);
  return { plain, headers: { authorization: `Basic ${btoa(String.fromCharCode(...user))}` } };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A percent sign that encodes nothing.
    return text;
  }
}

/**
 * A repository at one commit: the one that its revision has now, so that config and weights belong together. Loading a cached
 * model again takes this one request. Throws HttpError if there is no such repository, or none that this user may read.
 */
export async function hubFolder(id: string, options: SourceOptions): Promise<RemoteFolder> {
  const { revision = 'main' } = options;
  const endpoint = (options.endpoint ?? environment('HF_ENDPOINT') ?? 'https://huggingface.co').replace(/\/+$/, '');
  checkEndpoint(endpoint);
  checkRevision(revision);
  const at = (commit: string) => (file: string) =>
    `${endpoint}/${id}/resolve/${encodeURIComponent(commit)}/${encodeURIComponent(file)}`;
  const url = at(revision);
  const name = `${endpoint}/${id}`;
  const token = options.token ?? environment('HF_TOKEN');
  const headers = authorization(token, options.token === undefined ? 'HF_TOKEN' : 'the token');
  // A commit never changes.
  const fixed = /^[\da-f]{40}$/.exec(revision)?.[0];
  const config = await remoteText({ url: url(CONFIG), commit: fixed, headers }, options).catch((error) => {
    throw error instanceof HttpError ? hubError(error, { id, name, revision, hasToken: headers !== undefined }) : error;
  });
  warnIfMoved(config, id, endpoint, options);
  const commit = fixed ?? config.commit;
  return remoteFolder({ name, headers, url, config: config.text, ...(commit && { commit, from: at(commit) }) }, options);
}

function checkEndpoint(endpoint: string): void {
  let url: URL | undefined;
  try {
    url = new URL(endpoint);
  } catch {}
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash)
    throw new OptionError(
      `endpoint is ${display(endpoint)}; it must be an http(s) URL without user, query and fragment, like https://huggingface.co.`,
    );
}

function checkRevision(revision: string): void {
  if (revision === '') throw new OptionError('revision is empty; give a branch, tag or commit, or leave it out.');
  // Git has no such names, and URLs cannot hold them.
  if (
    revision.length > 255 ||
    revision.includes('..') ||
    revision === '.' ||
    /[\0-\x20\x7f~^:?*[\\\p{Surrogate}]/u.test(revision)
  )
    throw new OptionError(`revision is ${JSON.stringify(revision.slice(0, 80))}; give the name of a branch or tag, or a commit.`);
}

/** Hubs redirect from the old name of a repository to its new one. */
function warnIfMoved({ url }: TextFile, id: string, endpoint: string, options: SourceOptions): void {
  if (!url?.startsWith(`${endpoint}/`)) return;
  const now = /^\/?([^/]+\/[^/]+)\/resolve\//.exec(url.slice(endpoint.length))?.[1];
  if (now && now !== id) warn(options, `the repository ${id} has moved to ${now}; use that id from now on.`);
}

interface Asked {
  id: string;
  name: string;
  revision: string;
  hasToken: boolean;
}

/** Explains why config.json of a repository cannot be read. */
function hubError(error: HttpError, { id, name, revision, hasToken }: Asked): HttpError {
  const local = hasFiles() ? `There is no local folder ${id} either.` : `A folder beside this page is written ./${id}.`;
  const { status, hubCode } = error;
  const like = (message: string) => new HttpError(`${message} ${local}`, status, { cause: error, hubCode });
  if (![401, 403, 404].includes(status)) return like(error.message);
  const variable = hasFiles() ? ', HF_TOKEN' : '';
  if (hubCode === 'GatedRepo')
    return like(
      `${name} is gated (HTTP ${status}): ${
        hasToken ? 'the account of your token has no access yet' : 'only those who accepted its terms may read it'
      }; accept the terms on ${name}, then pass a token of that account (option token${variable}).`,
    );
  if (hubCode === 'RevisionNotFound') return like(`${name} has no revision ${revision} (HTTP ${status}); give another revision.`);
  if (status === 401 && hasToken && hubCode !== 'RepoNotFound')
    return like(`${name} refused your token (HTTP 401): it is wrong or has expired; make a new one (option token${variable}).`);
  return like(
    `${name} has no config.json at revision ${revision} to be read (HTTP ${status}): there is no such model, or it is ` +
      `private or gated; check the name, or pass the token of someone who may read it (option token${variable}).`,
  );
}

/**
 * The SHA-256 that a model card gives in its front matter: `sha256: …` for model.safetensors, or below `sha256:` a line
 * `FILE: …` for each file.
 */
export function cardHash(card: string, file: string): string | undefined {
  const matter = /^---\r?\n([\s\S]*?)\n---/.exec(card)?.[1] ?? '';
  for (const line of matter.split('\n')) {
    const [, key, hash] = /^\s*["']?([^\s:"']+)["']?\s*:\s*["']?([\da-f]{64})\b/i.exec(line) ?? [];
    if (key === file || (key === 'sha256' && file === WEIGHTS)) return hash!.toLowerCase();
  }
  return undefined;
}

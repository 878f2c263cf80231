/** What local folders, URLs, repositories and lists of files have in common as checkpoints. */
import { OptionError } from '../core/errors.js';
import type { ByteSource, SourceOptions } from '../io/bytes.js';

export const CONFIG = 'config.json';
export const CLASSES = 'classes.json';
/** Sampling settings that the model recommends. */
export const GENERATION = 'generation_config.json';
export const WEIGHTS = 'model.safetensors';
export const INDEX = `${WEIGHTS}.index.json`;

export type FileOptions = Omit<SourceOptions, 'sha256'> & { sha256?: string | undefined };

/** The files of a checkpoint. Files that do not exist are undefined. */
export interface CheckpointFolder {
  /** Where it is, for messages. */
  name: string;
  text(file: string): Promise<string | undefined>;
  open(file: string, options: FileOptions): Promise<ByteSource | undefined>;
  /** Throws the error for a file that must exist. */
  missing(file: string): Promise<never>;
}

/** The code for downloads, cache, hashes and shards: a module loaded when needed, because a local file needs none of it. */
export const downloads = () => import('./download.js');

/** A local source, verified if a hash is given for it. */
export async function checked(source: ByteSource, sha256: string | undefined): Promise<ByteSource> {
  return sha256 === undefined ? source : (await downloads()).verified(source, sha256);
}

/** The weights in a folder: the file `file`, else the shards of model.safetensors.index.json. */
export async function folderWeights(folder: CheckpointFolder, options: SourceOptions, file = WEIGHTS): Promise<ByteSource> {
  const { sha256 } = options;
  // If hashes are given by file name and none for this file, the checkpoint may consist of shards.
  const isOther = typeof sha256 === 'object' && !(file in sha256);
  const whole = await folder.open(file, { ...options, sha256: isOther ? undefined : givenHash(sha256, file, false) });
  if (whole && isOther) {
    await whole.close();
    givenHash(sha256, file, false);
  }
  if (whole) return whole;
  const index = file === WEIGHTS ? await folder.text(INDEX) : undefined;
  if (index === undefined) return folder.missing(file);
  const { joinShards, shardNames, sharedProgress } = await downloads();
  const names = shardNames(index, `${folder.name}: ${INDEX}`);
  const progress = sharedProgress(names.length, options.onProgress);
  const open = async (i: number) => {
    const name = names[i]!;
    const own = { ...options, sha256: givenHash(sha256, name, true), onProgress: progress(i) };
    return (await folder.open(name, own)) ?? folder.missing(name);
  };
  return joinShards(names.length, open, folder.name, options);
}

/** True for `owner/name`. In a browser a folder beside the page is written `./owner/name`. */
export function isRepositoryId(text: string): boolean {
  return /^\w[\w.-]*\/\w[\w.-]*$/.test(text) && !/\.(safetensors|pt|pth|bin)$/.test(text);
}

/** The hash that the user gives for a file, in lower case. Throws OptionError. */
export function givenHash(sha256: SourceOptions['sha256'], file: string, ofSeveral: boolean): string | undefined {
  if (sha256 === undefined) return undefined;
  if (typeof sha256 === 'string' && ofSeveral)
    throw new OptionError(`the checkpoint has several files of weights; give sha256 as { '${file}': … }.`);
  const hash = typeof sha256 === 'string' ? sha256 : sha256[file];
  if (typeof hash !== 'string' || !/^[\da-f]{64}$/i.test(hash))
    throw new OptionError(`sha256 of ${file} is ${JSON.stringify(hash)}; it must be 64 hexadecimal digits.`);
  return hash.toLowerCase();
}

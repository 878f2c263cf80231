/** Files as they go to a worker. A message loses the path of a File, and in Node and Deno all that makes it one. */
import { OptionError } from '../core/errors.js';
import { shown } from '../core/options.js';
import { hasWorkerThreads } from '../platform/thread.js';

/** A file in a form that can be sent in every runtime. */
export interface SentFile {
  /** Its path in the folder that it is from. */
  path: string;
  /** Browsers read it in the worker; elsewhere the bytes are sent. */
  content: Blob | Uint8Array<ArrayBuffer>;
}

/** Throws OptionError unless these are Files. */
export async function sentFiles(files: Iterable<File>): Promise<SentFile[]> {
  if (typeof files !== 'object' || files === null || !(Symbol.iterator in files))
    throw new OptionError(`the files are ${shown(files)}; pass a path, or a list of Files.`);
  const list = [...files];
  const other = list.find((file) => !(file instanceof Blob));
  if (other !== undefined) throw new OptionError(`one of the files is ${shown(other)}; pass Files alone.`);
  return Promise.all(
    list.map(async (file) => {
      const path = file.webkitRelativePath || file.name;
      return { path, content: hasWorkerThreads() ? new Uint8Array(await file.arrayBuffer()) : file };
    }),
  );
}

/** The File that was sent. */
export function fileOf({ path, content }: SentFile): File {
  const file = new File([content], path.split('/').at(-1)!);
  Object.defineProperty(file, 'webkitRelativePath', { value: path });
  return file;
}

export const isSent = (value: unknown): value is SentFile =>
  typeof value === 'object' && value !== null && 'path' in value && 'content' in value;

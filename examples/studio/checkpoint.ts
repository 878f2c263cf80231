/** Checkpoints of training: what is in the files of one, and the zip in which one is downloaded. */
import type { AimConfigJson, RunOptions } from 'aim-js/train-worker';
import { Zip, ZipPassThrough } from 'fflate';

/** A checkpoint from which a run continues. */
export interface Saved {
  files: File[];
  config: AimConfigJson;
  classes: string[] | undefined;
  step: number;
  options: RunOptions;
  /** Classes of the data that it was trained on, if they are recorded. */
  trainedOn: readonly string[] | undefined;
}

/** The checkpoint that these files are, or undefined if they hold weights alone. Throws Error for a damaged one. */
export async function savedIn(files: readonly File[]): Promise<Saved | undefined> {
  const state = (await json(files, 'state.json')) as
    | { step?: number; options?: RunOptions; data?: { classes?: readonly string[] } }
    | undefined;
  if (!state) return undefined;
  const { step, options, data } = state;
  const config = (await json(files, 'config.json')) as AimConfigJson | undefined;
  if (!config || !Number.isSafeInteger(step) || (options?.stage !== 'model' && options?.stage !== 'tokenizer'))
    throw new Error('This checkpoint has no complete state of training (config.json, state.json); choose another.');
  const classes = (await json(files, 'classes.json')) as string[] | undefined;
  return { files: [...files], config, classes, step: step!, options, trainedOn: data?.classes };
}

async function json(files: readonly File[], name: string): Promise<unknown> {
  const file = files.find((f) => f.name === name);
  try {
    return file && JSON.parse(await file.text());
  } catch (error) {
    throw new Error(`${name} of the checkpoint is not valid JSON (${(error as Error).message}); choose another.`, {
      cause: error,
    });
  }
}

/** Side in pixels of the images of a config.json; a tokenizer without a vq_config has five levels. */
export const imageSize = ({ num_tokens, vq_config }: AimConfigJson): number =>
  Math.sqrt(num_tokens) * 2 ** ((vq_config?.ch_mult?.length ?? 5) - 1);

/** Bytes of a file that are read at once, so that the page stays responsive. */
const PIECE = 4 * 2 ** 20;

/** A zip of a folder with these files. */
export async function zipped(folder: string, files: readonly File[]): Promise<Blob> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  const zip = new Zip((error, chunk) => {
    if (error) throw error;
    chunks.push(chunk as Uint8Array<ArrayBuffer>);
  });
  for (const file of files) {
    // Weights hardly shrink, so they are stored without compression.
    const entry = new ZipPassThrough(`${folder}/${file.name}`);
    zip.add(entry);
    for (let at = 0; at < file.size; at += PIECE) entry.push(new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer()));
    entry.push(new Uint8Array(0), true);
  }
  zip.end();
  return new Blob(chunks, { type: 'application/zip' });
}

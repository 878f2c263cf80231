/** Which checkpoint of a run a command takes, and its moving average of the weights. */
import { OptionError } from '../core/errors.js';
import { openFile } from '../io/file_source.js';
import { BEST, latestOf, STEP } from '../io/run_folder.js';
import { parseHeader } from '../io/safetensors.js';
import { exists } from '../platform/files.js';
import { openCheckpointFolder } from '../train/folder.js';
import { say } from './terminal.js';

/** Of a run the best checkpoint where it keeps that, unless the `newest` is asked for, else the newest sound one; else the source itself. */
export async function checkpointOf(source: string, newest: boolean): Promise<string> {
  const best = newest ? undefined : await latestOf(source, BEST);
  if (best !== undefined && STEP.test(best) && (await exists(`${source}/${best}`))) {
    say(`${best} has the best evaluation of the run\n`);
    return `${source}/${best}`;
  }
  const isRun = (await exists(`${source}/latest`)) || (await exists(`${source}/state.json`));
  return isRun ? (await openCheckpointFolder(source)).path : source;
}

/** The file of the averages in a checkpoint's folder. Throws OptionError if it keeps none. */
export async function averagesIn(folder: string): Promise<string> {
  const path = `${folder}/ema.safetensors`;
  if (!(await exists(path))) throw new OptionError(`${folder} keeps no moving average; leave --ema out.`);
  return path;
}

/** Which part of a model a file of averages has. */
export async function averagedPart(path: string): Promise<'vqvae.' | 'mamba.'> {
  const file = await openFile(path);
  try {
    const [name] = (await parseHeader(file)).tensors.keys();
    return name?.startsWith('vqvae.') ? 'vqvae.' : 'mamba.';
  } finally {
    await file.close();
  }
}

/** Checkpoints by path (Node, Deno, Bun). Pages do not load this module. */
import { IoError } from '../core/errors.js';
import { reporting, type SourceOptions } from '../io/bytes.js';
import { openFile } from '../io/file_source.js';
import * as files from '../platform/files.js';
import { type Contents, few, LAYOUT, MAX_TEXT, TORCH, understood } from './contents.js';
import { type CheckpointFolder, CONFIG, checked, downloads, folderWeights, INDEX, WEIGHTS } from './folder.js';
import { stepToUse } from './run.js';

export { openFile } from '../io/file_source.js';
export { exists, urlPath } from '../platform/files.js';

export async function pathContents(path: string, options: SourceOptions, isStep = false): Promise<Contents> {
  const isFolder = await files.isDirectory(path);
  if (!isFolder && !(await files.exists(path)))
    throw new IoError(`there is no folder or file ${path}; pass a checkpoint that exists (${LAYOUT}).`);
  if (!isFolder && !TORCH.test(path) && !path.endsWith('.safetensors'))
    throw new IoError(`${path} is neither a folder nor a .safetensors, .pt, .pth or .bin file; ${LAYOUT}.`);
  if (isFolder && !isStep && !(await files.exists(await files.join(path, CONFIG)))) {
    const step = await stepToUse(path, options);
    if (step !== undefined) return pathContents(step, options, true);
  }
  const place = isFolder ? path : await files.parent(path);
  const at = (file: string) => files.join(place, file);
  const [weightsFile, tokenizer] = isFolder ? await folderFiles(path) : [await files.base(path)];
  const folder: CheckpointFolder = {
    name: path,
    async text(file) {
      return (await files.exists(await at(file))) ? files.readText(await at(file), { most: MAX_TEXT }) : undefined;
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
  // A tokenizer of PyTorch comes without a config.json and needs none.
  if (!(await there(CONFIG)) && !TORCH.test(path)) await folder.missing(CONFIG);
  if (!(await there(weightsFile)) && !(await there(INDEX))) await folder.missing(weightsFile);
  return {
    name: path,
    configName: await at(CONFIG),
    configText: async () =>
      (await there(CONFIG)) ? files.readText(await at(CONFIG), { most: MAX_TEXT }) : folder.missing(CONFIG),
    async weights() {
      if (tokenizer === undefined) return folderWeights(folder, options, weightsFile);
      const { joinShards, sharedProgress } = await downloads();
      const progress = sharedProgress(2, options.onProgress);
      const open = async (i: number) => {
        const own = { ...options, onProgress: progress(i) };
        const source = await folderWeights(folder, own, i ? tokenizer : weightsFile);
        return understood(source, options.signal);
      };
      return joinShards(2, open, path, options);
    },
    text: folder.text,
  };
}

/**
 * The file with the weights in a folder: model.safetensors (or its index) if there, else the only one of PyTorch. Beside that
 * may be the tokenizer's, whose name begins with vq, as in the older releases of the authors (aim_b.bin and vq_f16.pt).
 */
async function folderFiles(path: string): Promise<[string, string?]> {
  const names = await files.listFolder(path);
  if (names.includes(WEIGHTS) || names.includes(INDEX)) return [WEIGHTS];
  const found = names.filter((name) => TORCH.test(name) && !/^(optimizer|scheduler|training_args|rng_state)/.test(name));
  const [vq, others] = [found.filter((name) => /^vq/i.test(name)), found.filter((name) => !/^vq/i.test(name))];
  if (vq.length === 1 && others.length === 1) return [others[0]!, vq[0]!];
  if (found.length > 1)
    throw new IoError(`${path} has several files of weights (${few(found)}) and no ${WEIGHTS}; pass the path of one of them.`);
  return [found[0] ?? WEIGHTS];
}

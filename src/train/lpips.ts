/**
 * Reads the weights of LPIPS (Zhang et al. 2018, arXiv 1801.03924): the convolutions of VGG-16 (Simonyan & Zisserman 2015), and the
 * weights of the comparison of their features. Files are safetensors, or PyTorch's, in which nothing is executed.
 */
import { openSource } from '../checkpoint/source.js';
import { CheckpointError, OptionError } from '../core/errors.js';
import type { ByteSource } from '../io/bytes.js';
import { parseHeader, readFloats, type SafetensorsHeader } from '../io/safetensors.js';
import { createSha256 } from '../io/sha256.js';
import { asSafetensors } from '../io/torch.js';
import type { FeatureLayer, FeatureNetwork } from './features.js';

/** A file of weights: a path (Node, Deno), a URL, a Blob or the bytes. */
export type WeightsSource = string | URL | Blob | Uint8Array<ArrayBuffer> | ArrayBuffer;

/** Channels of VGG-16's convolutions of 3×3; after each row comes a pool. The last of a row is compared. */
const VGG16 = [
  [64, 64],
  [128, 128],
  [256, 256, 256],
  [512, 512, 512],
  [512, 512, 512],
];
/** Means and deviations of RGB in [-1, 1] over ImageNet, as LPIPS has them. */
const SHIFT = [-0.03, -0.088, -0.188];
const SCALE = [0.458, 0.448, 0.45];

const REMEDY =
  'give the files that hold VGG-16 and the weights of LPIPS: vgg16-397923af.pth of torchvision and vgg.pth of LPIPS (LlamaGen, ' +
  'taming-transformers), or one safetensors file with both';

interface Opened {
  source: ByteSource;
  header: SafetensorsHeader;
}

/**
 * The network of LPIPS for the option `perceptual` of a Trainer, from one file or several that hold its tensors together. VGG-16's
 * are `features.N.weight` and `.bias` with torchvision's N, after any prefix, or `slice1.N.…` to `slice5.N.…`; the weights of the
 * comparison are `lin0.model.1.weight` to `lin4.model.1.weight`. Throws CheckpointError with the name of a tensor that is missing or
 * has another shape, IoError if a file cannot be read. Rejects with `signal.reason` when aborted.
 */
export async function openLpips(
  files: WeightsSource | readonly WeightsSource[],
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<FeatureNetwork> {
  const list = Array.isArray(files) ? (files as readonly WeightsSource[]) : [files as WeightsSource];
  if (list.length === 0) throw new OptionError(`openLpips: there is no file of weights; ${REMEDY}.`);
  const sources: ByteSource[] = [];
  try {
    const opened: Opened[] = [];
    for (const file of list) {
      const raw = await openSource(file, { signal });
      sources.push(raw);
      const source = await asSafetensors(raw, { signal });
      opened.push({ source, header: await parseHeader(source, { signal }) });
    }
    return await readNetwork(opened, signal);
  } finally {
    for (const source of sources) await source.close?.();
  }
}

async function readNetwork(files: readonly Opened[], signal: AbortSignal | undefined): Promise<FeatureNetwork> {
  const hash = createSha256();
  const read = async (name: string, pattern: RegExp, shape: readonly number[]): Promise<Float32Array> => {
    for (const { source, header } of files) {
      const found = [...header.tensors.keys()].find((key) => pattern.test(key));
      if (found === undefined) continue;
      const has = header.tensors.get(found)!.shape;
      if (has.join() !== shape.join())
        throw new CheckpointError(
          `${source.name}: ${found} has shape [${has.join(', ')}], and that of LPIPS with VGG-16 has [${shape.join(', ')}]; ${REMEDY}.`,
        );
      const values = await readFloats(source, header, found, { finite: true, signal });
      hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      return values;
    }
    throw new CheckpointError(`${files.map(({ source }) => source.name).join(' and ')} has no tensor ${name}; ${REMEDY}.`);
  };
  const layers: FeatureLayer[] = [];
  let [n, ci] = [0, 3];
  for (const [row, widths] of VGG16.entries()) {
    if (row > 0) {
      layers.push({ kind: 'pool' });
      n++;
    }
    for (const [i, co] of widths.entries()) {
      const at = (what: string) => new RegExp(String.raw`(^|\.)(features|slice\d)\.${n}\.${what}$`);
      const weight = await read(`features.${n}.weight`, at('weight'), [co, ci, 3, 3]);
      const bias = await read(`features.${n}.bias`, at('bias'), [co]);
      const last = i === widths.length - 1;
      const lin = new RegExp(String.raw`(^|\.)lins?\.?${row}\.model\.1\.weight$`);
      const compared = last && (await read(`lin${row}.model.1.weight`, lin, [1, co, 1, 1]));
      layers.push({
        kind: 'conv',
        shape: [co, 3, 3, ci],
        weight: channelsLast(weight, co, ci),
        bias,
        stride: 1,
        pad: 1,
        compared,
      });
      ci = co;
      n += 2;
    }
  }
  const weight = Float32Array.from({ length: 9 }, (_, i) => (i % 4 === 0 ? 1 / SCALE[i / 4]! : 0));
  const bias = Float32Array.from(SHIFT, (shift, c) => -shift / SCALE[c]!);
  return { name: 'lpips', id: hash.hex(), input: { weight, bias }, layers };
}

/** [co, ci, 3, 3] → [co, 3, 3, ci] */
function channelsLast(w: Float32Array, co: number, ci: number): Float32Array {
  const out = new Float32Array(w.length);
  for (let o = 0, at = 0; o < co; o++)
    for (let c = 0; c < ci; c++) for (let t = 0; t < 9; t++, at++) out[(o * 9 + t) * ci + c] = w[at]!;
  return out;
}

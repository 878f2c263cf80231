/** Which data a run is trained on: the visitor's, or the set that comes with the studio. */
import type { DataFacts, DataSource } from 'aim-js/train-worker';
import { imageSize, type Saved } from './checkpoint.js';
import { type PathFile, withPaths } from './files.js';

/** Thrown if a checkpoint was trained on other data than is chosen. */
export class OtherData extends Error {}

export interface Found {
  data: DataSource;
  facts: DataFacts;
  /** Whether it is the visitor's. */
  own: boolean;
}

interface Chosen {
  images: PathFile[] | undefined;
  /** Address of the data set that comes with the studio. */
  codes: string;
  signal: AbortSignal;
  /** Called before that is loaded. */
  onLoading: () => void;
}

/**
 * The data to train on: the chosen data or, for a continued run, whichever of the chosen and the built-in data it was trained on.
 * Throws OtherData if it was trained on neither.
 */
export async function findData({ images, codes, signal, onLoading }: Chosen, saved: Saved | undefined): Promise<Found> {
  const { describeData } = await import('aim-js/train-worker');
  const found = async (from: File[], own: boolean): Promise<Found> => {
    const data = { from };
    return { data, facts: await describeData(data, { signal }), own };
  };
  const own = images && (await found(withPaths(images), true));
  if (own && (!saved || trainedOn(saved, own.facts, []))) return own;
  if (saved?.options.stage === 'tokenizer') {
    const names = saved.trainedOn ?? saved.classes;
    throw new OtherData(
      `This checkpoint is a tokenizer in training${names ? `, on pictures of ${listed(names)}` : ''}; ` +
        `${own ? `the folder chosen has ${listed(own.facts.classes)}` : 'its pictures are not in it'}. ` +
        'Choose the folder of its pictures to continue.',
    );
  }
  onLoading();
  const builtIn = await found([await loaded(codes, signal)], false);
  if (!saved || trainedOn(saved, builtIn.facts, builtIn.facts.classes)) return builtIn;
  if (own && trainedOn(saved, own.facts, builtIn.facts.classes)) return own;
  const { config, classes } = saved;
  const names = listed(classes ?? Array.from({ length: config.num_classes }, (_, k) => String(k)));
  const size = imageSize(config);
  const has = `${own ? 'the folder chosen' : 'Fashion-MNIST'} has ${listed((own ?? builtIn).facts.classes)}`;
  throw new OtherData(
    `This run was trained on another data set: ${names}, in images of ${size}×${size} pixels; ${has}. ` +
      'Choose the folder of its images to continue.',
  );
}

/**
 * True if a run can have been trained on this data: its classes have the same names and its codes the same size. In a fine-tuned
 * model, classes that its data does not have keep the names of the model that it began with, which are `before`.
 */
function trainedOn(
  { config, classes, options, trainedOn: recorded }: Saved,
  facts: DataFacts,
  before: readonly string[],
): boolean {
  const names = facts.classes;
  if (recorded && (recorded.length !== names.length || recorded.some((name, k) => name !== names[k]))) return false;
  if (options.stage === 'tokenizer') return facts.kind !== 'codes';
  const { num_classes, num_tokens, vocab_size } = config;
  if (names.length > num_classes) return false;
  if (facts.kind === 'codes' && (facts.tokens !== num_tokens || facts.vocabulary !== vocab_size)) return false;
  if (recorded) return true;
  const named = Array.from({ length: num_classes }, (_, k) => names[k] ?? before[k]);
  return classes ? classes.every((name, k) => name === named[k]) : names.length === num_classes;
}

/** `10 classes (T-shirt/top, Trouser, Pullover, …)` */
const listed = (classes: readonly string[]): string =>
  `${classes.length} ${classes.length === 1 ? 'class' : 'classes'} (${classes.slice(0, 3).join(', ')}${classes.length > 3 ? ', …' : ''})`;

/** The data set that comes with the studio, as a codes file. */
async function loaded(url: string, signal: AbortSignal): Promise<File> {
  const bytes = new Uint8Array(await (await fetched(url, 'The data set', signal)).arrayBuffer());
  const { gunzipSync } = await import('fflate');
  // Some servers send a .gz file with a content encoding, so that the browser has already unzipped it.
  const isPacked = bytes[0] === 0x1f && bytes[1] === 0x8b;
  return new File([isPacked ? (gunzipSync(bytes) as Uint8Array<ArrayBuffer>) : bytes], 'fashion-mnist.safetensors');
}

/** Fetches an address. Throws Error that names `what` was to be loaded. */
export async function fetched(url: string, what: string, signal: AbortSignal): Promise<Response> {
  const response = await fetch(url, { signal }).catch((error: Error) => error);
  if (response instanceof Error || !response.ok) {
    const why = response instanceof Error ? response.message : response.status;
    throw new Error(`${what} cannot be loaded (${why}). Reload the page, or train on your own images.`);
  }
  return response;
}

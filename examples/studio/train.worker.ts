/** Trains stage 2 in a worker of its own: opens the data, runs the trainer, draws samples in between, packs checkpoints. */
import { AiM, type AimImage, type CheckpointSource } from 'aim-js';
import {
  type Codes,
  checkpointFiles,
  openCheckpointFolder,
  openData,
  readCodes,
  type SavedCheckpoint,
  Trainer,
  type TrainStep,
  tokenize,
} from 'aim-js/train';
import { gunzipSync, unzipSync, Zip, ZipPassThrough } from 'fflate';
import { type PathFile, withPaths } from './files.js';
import type { FromTrainer, PlainImage, Progressed, Start, ToTrainer } from './train.messages.js';

const post = (message: FromTrainer) => globalThis.postMessage(message);
const SEED = 1;
const GUIDANCE = 1.5;

let aim: AiM;
let trainer: Trainer;
let going = false;
let pauseAsked = false;
/** What is asked for while a step runs; done between steps. */
const jobs: (() => Promise<void>)[] = [];

globalThis.addEventListener('message', ({ data }: MessageEvent<ToTrainer>) => {
  switch (data.type) {
    case 'start':
      return guarded(async () => {
        await open(data);
        await train();
      });
    case 'pause':
      pauseAsked = true;
      return;
    case 'go-on':
      return guarded(train);
    case 'save':
      return between(save);
    case 'weights':
      return between(weights);
  }
});

function guarded(work: () => Promise<void>): void {
  work().catch((error: Error) => {
    going = false;
    post({ type: 'error', message: error.message });
  });
}

function between(job: () => Promise<void>): void {
  if (going) jobs.push(job);
  else guarded(job);
}

async function open({ device, model, codes: codesUrl, images, checkpoint, shape, options }: Start): Promise<void> {
  post({ type: 'phase', text: checkpoint ? 'Opening the checkpoint' : 'Loading the tokenizer' });
  const files = checkpoint && withPaths(await unpacked(checkpoint));
  const saved = files?.some((f) => f.name === 'state.json') ? await openCheckpointFolder(files) : undefined;
  if (saved && (saved.state.options as { stage?: string } | undefined)?.stage !== 'model')
    throw new Error(
      'This checkpoint is of a tokenizer run; the studio trains the model: go on with `aim train tokenizer --resume`.',
    );
  const base: CheckpointSource = files ?? model;
  aim = await AiM.fromPretrained(base, { device });
  const { codes, skipped } = images ? await tokenized(images) : { codes: await builtIn(codesUrl), skipped: 0 };
  if (shape) {
    post({ type: 'phase', text: 'Making the model' });
    const json = { ...aim.config.json, ...shape, num_classes: codes.classes.length };
    await aim.dispose();
    aim = await AiM.fromConfig(json, { device, seed: SEED });
    await aim.loadPart('vqvae.', base);
  }
  aim.classes = codes.classes.length === aim.config.num_classes ? codes.classes : aim.classes;
  post({ type: 'phase', text: 'Preparing' });
  trainer = await makeTrainer(codes, saved, options);
  const { num_tokens: T } = aim.config;
  const seen = await aim.decode(
    Array.from({ length: Math.min(10, codes.labels.length) }, (_, i) => codes.codes.slice(i * T, (i + 1) * T)),
  );
  post({
    type: 'ready',
    device: aim.device,
    parameters: aim.parameters.model,
    classes: codes.classes,
    images: codes.labels.length,
    held: codes.eval?.labels.length ?? 0,
    skipped,
    step: trainer.step,
    steps: trainer.options.steps,
    seen: seen.map(plain),
  });
}

async function makeTrainer(codes: Codes, saved: SavedCheckpoint | undefined, options: Start['options']): Promise<Trainer> {
  if (saved) {
    const { stage: _, ...same } = saved.state.options as Trainer['options'];
    const made = new Trainer({ ...same, model: aim, data: codes });
    await made.resume(saved);
    return made;
  }
  const batchSize = Math.min(options.batchSize, codes.labels.length);
  return new Trainer({
    ...options,
    batchSize,
    model: aim,
    data: codes,
    // The rate stays as it is, so that a run can be ended, or seen to learn, at any step.
    schedule: 'constant',
    warmup: Math.min(20, options.steps - 1),
    evalEvery: 100,
    evalItems: 200,
    seed: SEED,
  });
}

async function builtIn(url: string): Promise<Codes> {
  post({ type: 'phase', text: 'Loading the data' });
  const response = await fetch(url).catch((error: Error) => error);
  if (response instanceof Error || !response.ok) {
    const why = response instanceof Error ? response.message : response.status;
    throw new Error(`The data set cannot be loaded (${why}). Reload the page, or train on a folder of yours.`);
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  // Some servers declare a .gz file as an encoding, which the browser has then undone.
  return readCodes(bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes);
}

async function tokenized(images: PathFile[]): Promise<{ codes: Codes; skipped: number }> {
  const data = await openData(withPaths(images), { size: aim.config.image_size });
  if (data.kind === 'codes') return { codes: data.codes, skipped: 0 };
  const codes = await tokenize(aim, data, {
    batchSize: 16,
    onProgress: (done, total) => post({ type: 'phase', text: `Tokenizing ${done} of ${total} images`, share: done / total }),
  });
  return { codes, skipped: data.train.skipped.length };
}

/** The files of a zip, where one is given in place of a folder. */
async function unpacked(files: PathFile[]): Promise<PathFile[]> {
  const zip = files.find(([path]) => /\.zip$/i.test(path))?.[1];
  if (!zip) return files;
  let entries: Record<string, Uint8Array<ArrayBuffer>>;
  try {
    entries = unzipSync(new Uint8Array(await zip.arrayBuffer())) as typeof entries;
  } catch (error) {
    throw new Error(`${zip.name} cannot be unpacked (${(error as Error).message}); download or zip it again.`, { cause: error });
  }
  return Object.entries(entries)
    .filter(([path]) => !path.endsWith('/'))
    .map(([path, bytes]) => {
      // A folder's own name comes first; a zip may do without one.
      const full = path.includes('/') ? path : `${zip.name.replace(/\.zip$/i, '')}/${path}`;
      return [full, new File([bytes], path.split('/').at(-1)!)];
    });
}

async function train(): Promise<void> {
  if (going) return;
  going = true;
  pauseAsked = false;
  let sampled = await samples();
  let kept: Progressed[] = [];
  let told = 0;
  const tell = () => {
    if (kept.length) post({ type: 'steps', steps: kept });
    kept = [];
    told = performance.now();
  };
  for await (const step of trainer.run()) {
    kept.push(progressed(step));
    if (performance.now() - told > 100) tell();
    // From here training would go on, should the GPU device be lost.
    if (step.eval) await trainer.keep();
    while (jobs.length) await jobs.shift()!();
    // Samples take a tenth of the time, or less.
    if (performance.now() - sampled.at > Math.max(1000, 10 * sampled.cost) && step.step < step.steps) {
      tell();
      sampled = await samples();
    }
    if (pauseAsked) break;
  }
  tell();
  await samples();
  going = false;
  while (jobs.length) await jobs.shift()!();
  post({ type: 'stopped', step: trainer.step, finished: trainer.step >= trainer.options.steps });
}

const progressed = ({ step, steps, loss, imagesPerSecond, tokensPerSecond, secondsLeft, eval: held }: TrainStep): Progressed => ({
  step,
  steps,
  loss,
  imagesPerSecond,
  tokensPerSecond,
  secondsLeft,
  ...(held && { held: held.loss! }),
});

/** One image of each of the first ten classes, of the same seeds every time. */
async function samples(): Promise<{ at: number; cost: number }> {
  const { step } = trainer;
  const from = performance.now();
  const classes = Array.from({ length: Math.min(10, aim.classes?.length ?? aim.config.num_classes) }, (_, i) => i);
  const { images } = await aim.generate({ classes, count: 10, seed: SEED, cfgScale: GUIDANCE });
  post({ type: 'samples', step, images: images.map(plain) });
  const at = performance.now();
  return { at, cost: at - from };
}

const plain = ({ width, height, data }: AimImage): PlainImage => ({ width, height, data });

/** The checkpoint folder of `aim train`, as one zip. */
async function save(): Promise<void> {
  const folder = `step-${String(trainer.step).padStart(8, '0')}`;
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  const zip = new Zip((error, chunk) => {
    if (error) throw error;
    chunks.push(chunk as Uint8Array<ArrayBuffer>);
  });
  for (const { name, data } of checkpointFiles(trainer.checkpoint())) {
    // Weights hardly shrink, so they are only put together.
    const entry = new ZipPassThrough(`${folder}/${name}`);
    zip.add(entry);
    if (data instanceof Uint8Array) entry.push(data);
    else for await (const chunk of data) entry.push(chunk);
    entry.push(new Uint8Array(0), true);
  }
  zip.end();
  post({ type: 'checkpoint', name: `aim-${folder}.zip`, zip: new Blob(chunks, { type: 'application/zip' }) });
}

/** The weights alone, for the Generate tab. */
async function weights(): Promise<void> {
  const { step } = trainer;
  const parts = trainer.checkpoint();
  const file = checkpointFiles(parts).find(({ name }) => name === 'model.safetensors')!;
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  for await (const chunk of file.data as AsyncIterable<Uint8Array<ArrayBuffer>>) chunks.push(chunk);
  post({ type: 'weights', step, config: parts.config, weights: new Blob(chunks), classes: [...(parts.classes ?? [])] });
}

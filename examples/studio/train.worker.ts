/** The training worker: opens the data, trains the model (stage 2), draws samples in between and packs checkpoints. */
import { AiM, type AimImage, type CheckpointSource } from 'aim-js';
import {
  type Codes,
  checkpointFiles,
  type Data,
  openCheckpointFolder,
  openData,
  readCodes,
  type SavedCheckpoint,
  Trainer,
  type TrainStep,
  tokenize,
} from 'aim-js/train';
import { gunzipSync, Zip, ZipPassThrough } from 'fflate';
import { unpacked, withPaths } from './files.js';
import type { FromTrainer, PlainImage, Progressed, Start, ToTrainer } from './train.messages.js';

const post = (message: FromTrainer) => globalThis.postMessage(message);
const SEED = 1;
const GUIDANCE = 1.5;

let aim: AiM;
let trainer: Trainer;
let going = false;
let pauseAsked = false;
/** Requests that arrived during a step; they run between steps. */
const jobs: (() => Promise<void>)[] = [];

globalThis.addEventListener('message', ({ data }: MessageEvent<ToTrainer>) => {
  switch (data.type) {
    case 'start':
      return guarded(async () => {
        if (await open(data)) await train();
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

/** Prepares the trainer. Returns false, after telling the page, if a checkpoint was trained on other data than is chosen. */
async function open(start: Start): Promise<boolean> {
  const { device, model, checkpoint, shape, options } = start;
  post({ type: 'phase', text: checkpoint ? 'Opening the checkpoint' : 'Loading the tokenizer' });
  const files = checkpoint && withPaths(await unpacked(checkpoint));
  const saved = files?.some((f) => f.name === 'state.json') ? await openCheckpointFolder(files) : undefined;
  if (saved && (saved.state.options as { stage?: string } | undefined)?.stage !== 'model')
    throw new Error(
      'This checkpoint belongs to the training of a tokenizer, which the studio cannot continue; use `aim train tokenizer --resume`.',
    );
  const base = files ?? ((Array.isArray(model) ? withPaths(model) : model) as CheckpointSource);
  aim = await AiM.fromPretrained(base, { device });
  const found = await dataFor(start, saved);
  if (typeof found === 'string') {
    post({ type: 'other-data', message: found, checkpoint: checkpoint! });
    return false;
  }
  const { codes, skipped, own } = found;
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
    step: trainer.stepsDone,
    steps: trainer.options.steps,
    run: saved && {
      own,
      shape: shapeOf(aim),
      options: isOver(saved) ? { ...trainer.options, steps: options.steps } : trainer.options,
    },
    seen: seen.map(plain),
  });
  return true;
}

const shapeOf = ({ config: { d_model, n_layer, mixer } }: AiM) => ({
  d_model,
  n_layer,
  d_state: 'd_state' in mixer ? mixer.d_state : 0,
});

type Found = { codes: Codes; skipped: number; own: boolean };

/**
 * The data to train on: the chosen data or, for a continued run, whichever of the chosen and the built-in data it was trained on.
 * Returns a message for the visitor if it was trained on neither.
 */
async function dataFor({ images, codes: url }: Start, saved: SavedCheckpoint | undefined): Promise<Found | string> {
  const own = images && (await openData(withPaths(images), { size: aim.config.image_size }));
  if (own && !saved) return tokenized(own);
  const builtIn = await loaded(url);
  const provided: Data = { kind: 'codes', codes: builtIn };
  if (!saved) return { codes: builtIn, skipped: 0, own: false };
  if (own && trainedOn(saved, own, builtIn)) return tokenized(own);
  if (trainedOn(saved, provided, builtIn)) return { codes: builtIn, skipped: 0, own: false };
  const { num_classes, image_size } = aim.config;
  const names = listed(saved.classes ?? Array.from({ length: num_classes }, (_, k) => String(k)));
  const has = `${own ? 'the folder chosen' : 'Fashion-MNIST'} has ${listed(classesOf(own || provided))}`;
  return (
    `This run was trained on another data set: ${names}, in images of ${image_size}×${image_size} pixels; ${has}. ` +
    'Choose the folder of its images to continue.'
  );
}

const classesOf = (data: Data): readonly string[] => (data.kind === 'codes' ? data.codes.classes : data.train.classes);

/** True if a run can have been trained on this data: its classes have the same names and its codes the same size. */
function trainedOn({ classes, state }: SavedCheckpoint, data: Data, builtIn: Codes): boolean {
  const { num_classes, num_tokens, vocab_size } = aim.config;
  const names = classesOf(data);
  const recorded = (state.data as { classes?: readonly string[] } | undefined)?.classes;
  if (recorded && (recorded.length !== names.length || recorded.some((name, k) => name !== names[k]))) return false;
  if (names.length > num_classes) return false;
  if (data.kind === 'codes' && (data.codes.tokens !== num_tokens || data.codes.vocabulary !== vocab_size)) return false;
  if (recorded) return true;
  // In a fine-tuned model, classes that its data does not have keep their built-in names.
  const named = Array.from({ length: num_classes }, (_, k) => names[k] ?? builtIn.classes[k]);
  return classes ? classes.every((name, k) => name === named[k]) : names.length === num_classes;
}

/** `10 classes (T-shirt/top, Trouser, Pullover, …)` */
const listed = (classes: readonly string[]): string =>
  `${classes.length} ${classes.length === 1 ? 'class' : 'classes'} (${classes.slice(0, 3).join(', ')}${classes.length > 3 ? ', …' : ''})`;

/** Whether a run is finished. If it continues, the steps of the form are added. */
const isOver = ({ state }: SavedCheckpoint): boolean => state.step >= (state.options as Trainer['options']).steps;

async function makeTrainer(codes: Codes, saved: SavedCheckpoint | undefined, options: Start['options']): Promise<Trainer> {
  if (saved) {
    const { stage, ...run } = saved.state.options as Trainer['options'];
    const steps = isOver(saved) ? saved.state.step + options.steps : run.steps;
    const made = new Trainer({ ...run, steps, model: aim, data: codes });
    // The built-in set is a part of that on which runs of the command line are trained.
    const state = { ...saved.state, options: { ...run, stage, steps } };
    await made.resume({ ...saved, state }, { dataChanged: true });
    return made;
  }
  const batchSize = Math.min(options.batchSize, codes.labels.length);
  return new Trainer({
    ...options,
    batchSize,
    model: aim,
    data: codes,
    // With a constant learning rate a run can be ended at any step.
    schedule: 'constant',
    warmup: Math.min(20, options.steps - 1),
    evalEvery: 100,
    evalItems: 200,
    seed: SEED,
  });
}

/** The data set that comes with the studio. */
async function loaded(url: string): Promise<Codes> {
  post({ type: 'phase', text: 'Loading the data' });
  const response = await fetch(url).catch((error: Error) => error);
  if (response instanceof Error || !response.ok) {
    const why = response instanceof Error ? response.message : response.status;
    throw new Error(`The data set cannot be loaded (${why}). Reload the page, or train on your own images.`);
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  // Some servers send a .gz file with a content encoding, so that the browser has already unzipped it.
  return readCodes(bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes);
}

async function tokenized(data: Data): Promise<Found> {
  if (data.kind === 'codes') return { codes: data.codes, skipped: 0, own: true };
  const codes = await tokenize(aim, data, {
    batchSize: 16,
    onProgress: (done, total) => post({ type: 'phase', text: `Tokenizing ${done} of ${total} images`, share: done / total }),
  });
  return { codes, skipped: data.train.skipped.length, own: true };
}

/** The remaining steps. The last step starts only after the one before it was reported, so that a run can be paused before it. */
async function* remainingSteps() {
  yield* trainer.run({ until: trainer.options.steps - 1 });
  yield* trainer.run();
}

async function train(): Promise<void> {
  if (going) return;
  going = true;
  pauseAsked = false;
  let sampled = await samples();
  let unreported: Progressed[] = [];
  let reportedAt = 0;
  const report = () => {
    if (unreported.length) post({ type: 'steps', steps: unreported });
    unreported = [];
    reportedAt = performance.now();
  };
  for await (const step of remainingSteps()) {
    unreported.push(progressed(step));
    if (performance.now() - reportedAt > 100) report();
    // If the GPU device is lost, training continues from here.
    if (step.eval) await trainer.keep();
    while (jobs.length) await jobs.shift()!();
    // Drawing samples takes at most about a tenth of the time.
    if (performance.now() - sampled.at > Math.max(1000, 10 * sampled.cost) && step.step < step.steps) {
      report();
      sampled = await samples();
    }
    if (pauseAsked) break;
  }
  // The device is one step ahead. Report that step too, so that chart, samples and checkpoint are of the same step.
  for await (const step of trainer.run({ until: trainer.stepsDone })) unreported.push(progressed(step));
  report();
  await samples();
  going = false;
  while (jobs.length) await jobs.shift()!();
  post({ type: 'stopped', step: trainer.stepsDone, finished: trainer.stepsDone >= trainer.options.steps });
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

/** Draws one image of each of the first ten classes, with the same seeds every time. */
async function samples(): Promise<{ at: number; cost: number }> {
  const step = trainer.stepsDone;
  const from = performance.now();
  const classes = Array.from({ length: Math.min(10, aim.classes?.length ?? aim.config.num_classes) }, (_, i) => i);
  const { images } = await aim.generate({ classes, count: 10, seed: SEED, cfgScale: GUIDANCE });
  post({ type: 'samples', step, images: images.map(plain) });
  const at = performance.now();
  return { at, cost: at - from };
}

const plain = ({ width, height, data }: AimImage): PlainImage => ({ width, height, data });

/** Posts a checkpoint folder as `aim train` writes it, in a zip. */
async function save(): Promise<void> {
  const folder = `step-${String(trainer.stepsDone).padStart(8, '0')}`;
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  const zip = new Zip((error, chunk) => {
    if (error) throw error;
    chunks.push(chunk as Uint8Array<ArrayBuffer>);
  });
  for (const { name, data } of checkpointFiles(trainer.checkpoint())) {
    // Weights hardly shrink, so they are stored without compression.
    const entry = new ZipPassThrough(`${folder}/${name}`);
    zip.add(entry);
    if (data instanceof Uint8Array) entry.push(data);
    else for await (const chunk of data) entry.push(chunk);
    entry.push(new Uint8Array(0), true);
  }
  zip.end();
  post({ type: 'checkpoint', name: `aim-${folder}.zip`, zip: new Blob(chunks, { type: 'application/zip' }) });
}

/** Posts the weights, for the Generate tab. */
async function weights(): Promise<void> {
  const step = trainer.stepsDone;
  const parts = trainer.checkpoint();
  const file = checkpointFiles(parts).find(({ name }) => name === 'model.safetensors')!;
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  for await (const chunk of file.data as AsyncIterable<Uint8Array<ArrayBuffer>>) chunks.push(chunk);
  post({ type: 'weights', step, config: parts.config, weights: new Blob(chunks), classes: [...(parts.classes ?? [])] });
}

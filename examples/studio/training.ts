/**
 * A run of training, in a worker of `aim-js/train-worker`: opens the data, trains a tokenizer first if one is asked for, then the model
 * on its codes, draws samples in between and gives checkpoints. Nothing here touches the page.
 */
import type {
  AiM,
  AimConfigJson,
  AimImage,
  CheckpointSource,
  DeviceName,
  RunOptions,
  Trainer,
  TrainStep,
} from 'aim-js/train-worker';
import { type Saved, savedIn, zipped } from './checkpoint.js';
import { type Found, fetched, findData } from './data.js';
import { type PathFile, unpacked, withPaths } from './files.js';
import type { ModelSource } from './generate.js';

/** The shape of a new model. */
export interface Shape {
  d_model: number;
  n_layer: number;
  ssm_cfg: { layer: 'Mamba2'; d_state: number; headdim: number };
}

export const mamba2 = (d_model: number, n_layer: number, d_state: number): Shape => ({
  d_model,
  n_layer,
  ssm_cfg: { layer: 'Mamba2', d_state, headdim: 64 },
});

export const SMALLEST = mamba2(64, 2, 32);

export type Stage = 'tokenizer' | 'model';

/** What is to be trained. */
export interface Wish {
  device: DeviceName;
  /** The model whose tokenizer is used, and whose weights are fine-tuned if there is no shape. */
  model: ModelSource;
  /** Its config.json; undefined to fetch it from the address in `model`. */
  config: AimConfigJson | undefined;
  /** Address of the data set that comes with the studio: gzipped codes of the tokenizer of models/fashion-mnist. */
  codes: string;
  /** The visitor's images in class folders, to be used instead of `codes`. */
  images: PathFile[] | undefined;
  /** A checkpoint whose run is continued; it replaces `model` and, if it is of a tokenizer, `tokenizer`. */
  checkpoint: PathFile[] | undefined;
  /** The shape of a new model; undefined to train the weights of `model` or `checkpoint`. */
  shape: Shape | undefined;
  /** A tokenizer to train first, for images of `side` pixels. */
  tokenizer: { side: number; steps: number } | undefined;
  options: { steps: number; batchSize: number; lr: number };
}

/** What is known of a stage when its training begins. */
export interface Ready {
  stage: Stage;
  device: string;
  parameters: number;
  classes: readonly string[];
  images: number;
  held: number;
  skipped: number;
  step: number;
  steps: number;
  /** The settings of a continued run, for the form. If the run was finished, `steps` is the number of steps to add. */
  run: { options: Wish['options']; shape: Omit<Shape, 'ssm_cfg'> & { d_state: number }; own: boolean } | undefined;
  /** Images of the data and, for stage 2, what the tokenizer keeps of them, as far as they are known. */
  pictures: AimImage[];
  seen: AimImage[];
}

export interface Listener {
  /** Something is being opened or made; `share` of it is done. */
  phase(text: string, share?: number): void;
  ready(facts: Ready): void;
  step(step: TrainStep): void;
  /** Images drawn by the model or, of the tokenizer, reconstructions. */
  samples(step: number, images: AimImage[]): void;
}

const SEED = 1;
const GUIDANCE = 1.5;
/** Images of a sample. */
const SHOWN = 10;
/** Most held-out images to evaluate on. */
const EVALUATED = 200;
/** Most images of a step of the tokenizer. On a CPU more steps teach more in the same time than larger ones. */
const TOKENIZER_BATCH = { wasm: 16, webgpu: 32 };
/** The model beside a tokenizer in training. It is not trained, and the next stage makes another. */
const BESIDE = { ...SMALLEST, adaln_group: true, num_groups: 2 };

/** Loaded when the first run starts. */
const library = () => import('aim-js/train-worker');

export class Training {
  stage: Stage = 'model';
  private aim: AiM | undefined;
  private trainer: Trainer | undefined;
  private found: Found | undefined;
  /** The checkpoint of a tokenizer on which the model can be trained. */
  private tokenizer: { files: File[]; step: number } | undefined;
  /** Pictures whose reconstructions are shown while the tokenizer is trained. */
  private pictures: AimImage[] = [];
  private opening = new AbortController();
  private going = false;
  private pauseAsked = false;
  private modelAsked = false;
  /** Work that was asked for during a step; it runs between steps. */
  private readonly jobs: (() => Promise<void>)[] = [];

  constructor(
    private wish: Wish,
    private readonly on: Listener,
  ) {}

  /** Opens everything and trains. Resolves to true at the end of the last step, false after `pause` or `cancel`. */
  async start(): Promise<boolean> {
    const { checkpoint, tokenizer, config, model, shape } = this.wish;
    this.on.phase(checkpoint ? 'Opening the checkpoint' : 'Opening the data');
    return this.opened(async () => {
      const files = checkpoint && withPaths(await unpacked(checkpoint));
      const saved = files && (await savedIn(files));
      const { images, codes } = this.wish;
      const chosen = { images, codes, signal: this.opening.signal, onLoading: () => this.on.phase('Loading the data') };
      this.found = await findData(chosen, saved);
      if (saved?.options.stage === 'tokenizer' && saved.step >= saved.options.steps) {
        this.tokenizer = saved;
        this.stage = 'tokenizer';
        await this.openModelOnTokenizer();
      } else if (saved?.options.stage === 'tokenizer' || (tokenizer && !checkpoint)) {
        await this.openTokenizer(saved);
      } else if (files) {
        await this.openModel(files, { saved });
      } else {
        const source = Array.isArray(model) ? withPaths(model) : model;
        await this.openModel(source, { config, shape });
      }
    });
  }

  /** Continues after a pause. */
  async goOn(): Promise<boolean> {
    this.pauseAsked = this.modelAsked = false;
    return this.train();
  }

  /** Ends the step and pauses. */
  pause(): void {
    this.pauseAsked = true;
  }

  /** Stops what is being opened. A tokenizer that was trained before stays. */
  cancel(): void {
    this.opening.abort();
  }

  /** Whether there is something to save. */
  get hasCheckpoint(): boolean {
    return this.trainer !== undefined || this.tokenizer !== undefined;
  }

  /** Ends the training of the tokenizer after the current step. The training under way then continues with the model. */
  endTokenizer(): void {
    this.modelAsked = this.pauseAsked = true;
  }

  /** Trains the model, which may be another by now, on the tokenizer as it is. Not while this trains. */
  async toModel(changes: Partial<Pick<Wish, 'shape' | 'options'>> = {}): Promise<boolean> {
    this.wish = { ...this.wish, ...changes };
    // Before anything is closed, so that nothing is lost if this fails.
    if (this.trainer) this.tokenizer = await this.saved();
    return this.opened(() => this.openModelOnTokenizer());
  }

  /** A checkpoint folder as `aim train` writes it, in a zip. */
  async checkpoint(): Promise<{ name: string; zip: Blob }> {
    const { files, step } = this.trainer ? await this.between(() => this.saved()) : this.tokenizer!;
    const folder = `step-${String(step).padStart(8, '0')}`;
    return { name: `aim-${this.stage === 'tokenizer' ? 'tokenizer-' : ''}${folder}.zip`, zip: await zipped(folder, files) };
  }

  /** The files of the model, for the Generate tab. */
  async model(): Promise<{ step: number; files: PathFile[] }> {
    return this.between(async () => {
      const files = await this.aim!.toFiles();
      return { step: this.trainer!.stepsDone, files: files.map((file) => [`trained/${file.name}`, file] as const) };
    });
  }

  /** Ends everything. Calls that are running reject. */
  dispose(): void {
    this.cancel();
    this.pauseAsked = true;
    this.closeModel();
  }

  private closeModel(): void {
    this.aim?.dispose().catch(() => {});
    this.aim = this.trainer = undefined;
  }

  private async saved(): Promise<{ files: File[]; step: number }> {
    const step = this.trainer!.stepsDone;
    return { files: await this.trainer!.checkpoint(), step };
  }

  /** Runs `open`, then trains. False if `cancel` was called meanwhile. */
  private async opened(open: () => Promise<void>): Promise<boolean> {
    const { signal } = (this.opening = new AbortController());
    // Here, since a pause may be asked for before the first step begins.
    this.pauseAsked = this.modelAsked = false;
    try {
      await open();
      signal.throwIfAborted();
    } catch (error) {
      this.closeModel();
      if (this.tokenizer) this.stage = 'tokenizer';
      if (signal.aborted) return false;
      throw error;
    }
    return this.train();
  }

  /** Runs a job now or, during training, after the current step. */
  private async between<R>(job: () => Promise<R>): Promise<R> {
    if (!this.going) return job();
    return new Promise<R>((resolve, reject) => this.jobs.push(() => job().then(resolve, reject)));
  }

  private async openTokenizer(saved: Saved | undefined): Promise<void> {
    const { AiM, Trainer, recipe, tokenizerFor } = await library();
    const { data, facts } = this.found!;
    const { device, tokenizer } = this.wish;
    const { signal } = this.opening;
    this.stage = 'tokenizer';
    this.on.phase('Making the tokenizer');
    const made = { ...BESIDE, ...tokenizerFor(tokenizer?.side ?? 32), num_classes: facts.classes.length };
    this.aim = saved
      ? await AiM.fromPretrained(saved.files, { device, signal })
      : await AiM.fromConfig(made, { device, seed: SEED, signal });
    const { images, held } = facts;
    const chosen = (given: object) =>
      recipe('tokenizer', { images, heldOut: held, size: this.aim!.config.image_size, preset: 'tiny', given });
    const batchSize = Math.min(chosen({}).batchSize!, TOKENIZER_BATCH[this.aim.backend === 'webgpu' ? 'webgpu' : 'wasm']);
    const options = saved
      ? settingsOf(saved.options)
      : chosen({ steps: tokenizer!.steps, batchSize, evalItems: Math.min(held, EVALUATED), seed: SEED });
    this.trainer = await Trainer.open({ model: this.aim, data, stage: 'tokenizer', ...options, signal });
    if (saved) await this.trainer.resume(saved.files, { dataChanged: true });
    this.pictures = await this.trainer.examples(SHOWN);
    this.tell(undefined, []);
  }

  /** Opens a model with the tokenizer that was trained, in place of what trained it. */
  private async openModelOnTokenizer(): Promise<void> {
    const { files } = this.tokenizer!;
    this.closeModel();
    const config = JSON.parse(await files.find(({ name }) => name === 'config.json')!.text());
    // Weights to fine-tune would not know the tokens of this tokenizer.
    await this.openModel(files, { config, shape: this.wish.shape ?? SMALLEST });
  }

  /** Opens the model of a source: with a shape a new one with its tokenizer, else its own, whose run continues if it is saved. */
  private async openModel(
    source: CheckpointSource,
    { saved, config, shape }: { saved?: Saved | undefined; config?: AimConfigJson | undefined; shape?: Shape | undefined },
  ): Promise<void> {
    const { AiM, Trainer } = await library();
    const { data, facts, own } = this.found!;
    const { device, options: asked } = this.wish;
    const { signal } = this.opening;
    this.on.phase(shape ? 'Making the model' : 'Opening the model');
    if (shape) {
      const json = { ...(config ?? (await configAt(source, signal))), ...shape, num_classes: facts.classes.length };
      this.aim = await AiM.fromConfig(json, { device, seed: SEED, signal });
      await this.aim.loadPart('vqvae.', source, { signal });
    } else {
      this.aim = await AiM.fromPretrained(source, { device, signal });
    }
    const isOver = saved !== undefined && saved.step >= saved.options.steps;
    const options = saved
      ? { ...settingsOf(saved.options), ...(isOver && { steps: saved.step + asked.steps }) }
      : {
          ...asked,
          batchSize: Math.min(asked.batchSize, facts.images),
          // With a constant learning rate a run can be ended at any step.
          schedule: 'constant' as const,
          warmup: Math.min(20, asked.steps - 1),
          evalEvery: 100,
          evalItems: EVALUATED,
          seed: SEED,
        };
    this.on.phase('Preparing');
    this.trainer = await Trainer.open({
      model: this.aim,
      data,
      stage: 'model',
      ...options,
      signal,
      onProgress: ({ loaded, total = 0 }) => this.on.phase(`Tokenizing ${loaded} of ${total} images`, loaded / total),
    });
    // The built-in set is a part of that on which runs of the command line are trained.
    if (saved) await this.trainer.resume(saved.files, { dataChanged: true });
    this.stage = 'model';
    const seen = this.pictures.length ? await this.reconstructed() : await this.trainer.examples(SHOWN);
    const { d_model, n_layer, mixer } = this.aim.config;
    this.tell(
      saved && {
        own,
        shape: { d_model, n_layer, d_state: 'd_state' in mixer ? mixer.d_state : 0 },
        options: { ...this.trainer.options, ...(isOver && { steps: asked.steps }) },
      },
      seen,
    );
  }

  private tell(run: Ready['run'], seen: AimImage[]): void {
    const { data, stepsDone, options } = this.trainer!;
    this.on.ready({
      stage: this.stage,
      device: this.aim!.device,
      parameters: this.aim!.parameters[this.stage],
      classes: data.classes,
      images: data.images,
      held: data.held,
      skipped: data.skipped.length,
      step: stepsDone,
      steps: options.steps,
      run,
      pictures: this.pictures,
      seen,
    });
  }

  /** Trains until the last step of the model, or until `pause`. */
  private async train(): Promise<boolean> {
    if (!this.isOver) await this.stretch();
    if (this.stage === 'model') return this.isOver;
    const goesOn = this.modelAsked || (this.isOver && !this.pauseAsked);
    return goesOn ? this.toModel() : false;
  }

  /** All steps of the stage are taken. */
  private get isOver(): boolean {
    return this.trainer!.stepsDone >= this.trainer!.options.steps;
  }

  private async stretch(): Promise<void> {
    this.going = true;
    try {
      await this.steps();
    } finally {
      this.going = false;
      // What was asked for in a step that failed finds the weights of the step before.
      while (this.jobs.length) await this.jobs.shift()!();
    }
  }

  private async steps(): Promise<void> {
    const trainer = this.trainer!;
    let sampled = await this.sample();
    for await (const step of remaining(trainer)) {
      this.on.step(step);
      // If the GPU device is lost, training continues from here.
      if (step.eval) await trainer.keep();
      while (this.jobs.length) await this.jobs.shift()!();
      // Drawing samples takes at most about a tenth of the time.
      if (performance.now() - sampled.at > Math.max(1000, 10 * sampled.cost) && step.step < step.steps)
        sampled = await this.sample();
      if (this.pauseAsked) break;
    }
    // The device is one step ahead. Report that step too, so that chart, samples and checkpoint are of the same step.
    for await (const step of trainer.run({ until: trainer.stepsDone })) this.on.step(step);
    await this.sample();
  }

  /** Shows one image of each of the first ten classes, with the same seeds every time, or what the tokenizer keeps of the pictures. */
  private async sample(): Promise<{ at: number; cost: number }> {
    const from = performance.now();
    const step = this.trainer!.stepsDone;
    this.on.samples(step, this.stage === 'tokenizer' ? await this.reconstructed() : await this.drawn());
    const at = performance.now();
    return { at, cost: at - from };
  }

  private async reconstructed(): Promise<AimImage[]> {
    return this.aim!.decode(await this.aim!.encode(this.pictures));
  }

  private async drawn(): Promise<AimImage[]> {
    const { classes, config } = this.aim!;
    const first = Array.from({ length: Math.min(SHOWN, classes?.length ?? config.num_classes) }, (_, i) => i);
    const { images } = await this.aim!.generate({ classes: first, count: SHOWN, seed: SEED, cfgScale: GUIDANCE });
    return images;
  }
}

/** The remaining steps. The last step starts only after the one before it was reported, so that a run can be paused before it. */
async function* remaining(trainer: Trainer) {
  yield* trainer.run({ until: trainer.options.steps - 1 });
  yield* trainer.run();
}

/** The options of a saved run as a Trainer takes them. */
const settingsOf = ({ stage: _, ...settings }: RunOptions) => settings;

/** config.json of the model at an address. */
async function configAt(source: CheckpointSource, signal: AbortSignal): Promise<AimConfigJson> {
  return (await fetched(`${source}config.json`, 'The model', signal)).json();
}

/** The Train tab: the choice of data, tokenizer and model, and the state of the run. */
import type { AimImage, DeviceName, TrainStep } from 'aim-js/train-worker';
import { Chart } from './chart.js';
import { OtherData } from './data.js';
import {
  announce,
  byId,
  count,
  counted,
  deviceWords,
  download,
  element,
  messageOf,
  setText,
  short,
  showError,
  showStatus,
} from './dom.js';
import { chosen, isCheckpoint, kindOf, nameOf, type PathFile, pictures } from './files.js';
import { strip } from './gallery.js';
import { FASHION, open, opened } from './generate.js';
import { showReconstructions, squares } from './reconstruct.js';
import { bind, writeUrl } from './settings.js';
import { showTab } from './tabs.js';
import { mamba2, type Ready, type Shape, SMALLEST, type Stage, Training } from './training.js';

/** The models to choose from, each with options that work well for it. */
const SIZES: Record<string, { shape?: Shape; batch: number; rate: number; steps: number }> = {
  tiny: { shape: SMALLEST, batch: 16, rate: 4e-3, steps: 2000 },
  small: { shape: mamba2(128, 4, 64), batch: 32, rate: 2e-3, steps: 3000 },
  full: { shape: mamba2(256, 8, 128), batch: 64, rate: 1e-3, steps: 5000 },
  tune: { batch: 32, rate: 2e-4, steps: 1000 },
};
/** Steps of a tokenizer: on a CPU, about as many as it takes in some minutes. */
const TOKENIZER_STEPS = { wasm: 500, webgpu: 2000 };
/** Most rows of samples. When there are more, every other row is removed. */
const MAX_ROWS = 12;

const form = byId<HTMLFormElement>('training');
const field = (name: string) => form.elements.namedItem(name) as HTMLInputElement;
const [startButton, endButton] = [byId<HTMLButtonElement>('start'), byId<HTMLButtonElement>('stop-training')];
const [status, rate, progress] = [byId('train-status'), byId('train-rate'), byId<HTMLProgressElement>('train-progress')];
const chart = new Chart(byId('chart'));

/** 'over': the run is finished or was ended. It can still be downloaded, until the next start. */
type State = 'idle' | 'opening' | 'training' | 'pausing' | 'ending' | 'paused' | 'over';
let state: State = 'idle';
let training: Training | undefined;
let images: PathFile[] | undefined;
/** A checkpoint that cannot continue before the visitor chooses its data. */
let waiting: PathFile[] | undefined;
/** The latest step of the run. */
let latest: Pick<TrainStep, 'step' | 'steps'> = { step: 0, steps: 0 };
/** The newest step whose figures are not shown yet, and when figures were shown last. */
let unshown: TrainStep | undefined;
let shownAt = 0;

/** What the form says of the model to train. */
const modelAsked = () => ({
  shape: SIZES[field('size').value]!.shape,
  options: { steps: field('steps').valueAsNumber, batchSize: field('batch').valueAsNumber, lr: field('rate').valueAsNumber },
});

/** Starts a run: the continuation of a checkpoint if one is given, else a new run with the settings of the form. */
function start(checkpoint?: PathFile[]): void {
  const own = field('data').value === 'folder';
  if (own && !images && !checkpoint) {
    fail('Choose a folder first. It must have one sub-folder of pictures per class, such as cats and dogs.');
    return;
  }
  end();
  clear('model');
  // The data set of the studio is stored as codes of this model's tokenizer.
  const { from, aim } = own ? opened() : { ...FASHION, aim: undefined };
  const mine: Training = new Training(
    {
      device: (byId<HTMLFormElement>('settings').elements.namedItem('device') as HTMLSelectElement).value as DeviceName,
      model: from,
      config: aim?.config.json,
      codes: new URL('data/fashion-mnist.safetensors.gz', document.baseURI).href,
      images: own ? images : undefined,
      checkpoint,
      ...modelAsked(),
      tokenizer: ownTokenizer()
        ? { side: Number(field('side').value), steps: field('tokenizer-steps').valueAsNumber }
        : undefined,
    },
    {
      phase(text, share = 0) {
        if (mine !== training) return;
        if (state !== 'opening') become('opening');
        showStatus(status, text);
        progress.value = share;
      },
      ready: (facts) => mine === training && ready(facts),
      step: (step) => mine === training && stepped(step),
      samples: (step, drawn) => mine === training && sampled(step, drawn),
    },
  );
  training = mine;
  waiting = undefined;
  become('opening');
  void follow(mine, mine.start(), checkpoint);
}

/** Shows how a stretch of training ends. */
async function follow(mine: Training, stretch: Promise<boolean>, checkpoint?: PathFile[]): Promise<void> {
  try {
    const finished = await stretch;
    if (mine === training) stopped(finished);
  } catch (error) {
    if (mine !== training) return;
    if (error instanceof OtherData) askForData(error.message, checkpoint!);
    else if (!mine.hasCheckpoint) fail(messageOf(error));
    else {
      // It still has the weights of the last step.
      become('over');
      showError(status, messageOf(error));
    }
  }
}

function end(): void {
  training?.dispose();
  training = undefined;
  waiting = undefined;
  become('idle');
}

/** Prepares figures, chart and samples for a stage. */
function clear(stage: Stage): void {
  unshown = undefined;
  chart.clear();
  byId('samples').replaceChildren();
  byId('samples-empty').hidden = false;
  for (const name of ['step', 'loss', 'held']) setText(byId(`figure-${name}`), '–');
  const ofModel = stage === 'model';
  setText(byId('label-loss'), ofModel ? 'Loss, nats per token' : 'Loss of the tokenizer');
  setText(byId('samples-caption'), ofModel ? 'Samples, newest first' : 'What the tokenizer keeps of them, newest first');
}

const isFree = (): boolean => state === 'idle' || state === 'over';
const isRunning = (): boolean => state === 'training' || state === 'pausing' || state === 'ending';

function become(next: State): void {
  state = next;
  const words: Partial<Record<State, string>> = { training: 'Pause', pausing: 'Pausing', ending: 'Ending', opening: 'Opening' };
  startButton.textContent = words[next] ?? (next === 'paused' ? 'Resume' : 'Start training');
  startButton.disabled = next === 'pausing' || next === 'ending' || next === 'opening';
  endButton.hidden = next === 'idle' || next === 'ending' || next === 'over';
  const ofTokenizer = training?.stage === 'tokenizer';
  byId('run-actions').hidden = next === 'idle' || (next === 'opening' && !training?.hasCheckpoint);
  byId('draw-with').hidden = ofTokenizer;
  byId('to-model').hidden = !ofTokenizer || next === 'opening';
  byId<HTMLButtonElement>('to-model').disabled = next === 'pausing' || next === 'ending';
  byId<HTMLFieldSetElement>('setup').disabled = !isFree();
  byId('busy').hidden = true;
  if (isRunning()) return;
  setText(rate, '');
  setText(byId('figure-left'), '–');
}

function stopped(finished: boolean): void {
  // While it was being opened, or a tokenizer was left.
  const ended = state === 'ending' || state === 'opening';
  showLatest();
  if (!training?.hasCheckpoint) {
    end();
    showStatus(status, 'Ended before the first step');
    return;
  }
  become(finished || ended ? 'over' : 'paused');
  const what = training.stage === 'tokenizer' ? ' of the tokenizer' : '';
  const text = `${finished ? 'Finished' : ended ? 'Ended' : 'Paused'} after ${counted(latest.step, 'step')}${what}`;
  showStatus(status, ended && !finished ? `${text}; its checkpoint can be downloaded until the next start` : text);
  announce(`${text}.`);
}

/** What is trained and where, for the status. */
let about = '';

function ready(facts: Ready): void {
  const { stage, device, parameters, classes, images: number, held, skipped, step, steps, run, pictures, seen } = facts;
  const ofTokenizer = stage === 'tokenizer';
  if (run) showRun(run);
  clear(stage);
  latest = { step, steps };
  about = `${ofTokenizer ? 'Training the tokenizer, then the model' : 'Training'} · ${short(parameters)} parameters · ${deviceWords(device)}`;
  showStatus(status, about);
  setText(byId('figure-step'), `${count(step)} of ${count(steps)}`);
  const own = field('data').value === 'folder';
  const both =
    own && !run && !ofTokenizer && (pictures.length > 0 || (isPreview() && byId('data-strip').childElementCount === 2));
  const words = ofTokenizer
    ? 'Your pictures, which the tokenizer learns to cut into tokens'
    : both
      ? 'Your pictures, and below them the same as the model sees them'
      : 'The data as the model sees it';
  setText(
    byId('data-caption'),
    `${words}: ${counted(number, 'image')} of ${counted(classes.length, 'class', 'classes')}` +
      `${held ? `, ${count(held)} held out` : ''}${skipped ? `; ${counted(skipped, 'file')} could not be read` : ''}`,
  );
  const strips = [
    ...(pictures.length ? [strip(pictures.map(pixels), 'Some of your pictures')] : []),
    ...(seen.length ? [strip(seen.map(pixels), 'Some images of the data, as the model sees them')] : []),
  ];
  if (!both || pictures.length) showStrips(false, ...strips);
  become('training');
  const what = ofTokenizer ? 'Training of the tokenizer' : 'Training';
  announce(step ? `${what} continues after ${counted(step, 'step')}.` : `${what} has started.`);
}

/** Copies the settings of a continued run into the form. */
function showRun({ options, shape, own }: NonNullable<Ready['run']>): void {
  const { steps, batchSize: batch, lr } = options;
  for (const [name, value] of Object.entries({ steps, batch, rate: lr })) field(name).value = String(value);
  field('data').value = own ? 'folder' : 'fashion-mnist';
  const is = (other: Shape | undefined) =>
    other?.d_model === shape.d_model && other.n_layer === shape.n_layer && other.ssm_cfg.d_state === shape.d_state;
  const size = Object.keys(SIZES).find((name) => is(SIZES[name]!.shape));
  if (size) field('size').value = size;
  writeUrl(form);
}

/** Asks for the folder of data that a checkpoint was trained on. */
function askForData(message: string, checkpoint: PathFile[]): void {
  fail(message);
  waiting = checkpoint;
  field('data').value = 'folder';
  writeUrl(form);
  showTokenizer();
  byId('open-data').focus();
}

function stepped(step: TrainStep): void {
  chart.add(step, step.eval?.loss);
  if (step.eval) setText(byId('figure-held'), step.eval.loss!.toFixed(3));
  latest = step;
  unshown = step;
  // Steps may be shorter than what it takes to show them.
  if (performance.now() - shownAt > 100) showLatest();
}

function showLatest(): void {
  if (!unshown) return;
  const { step, steps, loss, imagesPerSecond, tokensPerSecond, secondsLeft } = unshown;
  unshown = undefined;
  shownAt = performance.now();
  setText(byId('figure-step'), `${count(step)} of ${count(steps)}`);
  setText(byId('figure-loss'), loss.toFixed(3));
  setText(byId('figure-left'), duration(secondsLeft));
  if (state === 'training') showStatus(status, about);
  setText(rate, `${count(Math.round(imagesPerSecond))} images/s, ${short(Math.round(tokensPerSecond))} tokens/s`);
  progress.value = step / steps;
}

const pixels = (image: AimImage): ImageData => image.toImageData();

function sampled(step: number, drawn: AimImage[]): void {
  const list = byId('samples');
  byId('samples-empty').hidden = true;
  const row = element(
    'li',
    {},
    element('span', { className: 'step' }, count(step)),
    strip(drawn.map(pixels), `Samples after ${step} steps`),
  );
  if (list.firstElementChild?.firstElementChild?.textContent === row.firstElementChild!.textContent)
    list.firstElementChild.remove();
  list.prepend(row);
  // The first and the latest row stay.
  if (list.children.length > MAX_ROWS)
    [...list.children].forEach((li, i, all) => void (i % 2 && i < all.length - 1 && li.remove()));
}

const duration = (seconds: number): string =>
  seconds >= 90 ? `${Math.round(seconds / 60)} min` : seconds >= 1 ? `${Math.round(seconds)} s` : '0 s';

function fail(text: string): void {
  end();
  showError(status, text);
}

/** Takes dropped or chosen files: continues the run of a checkpoint, or uses other files as data for the next run. */
export function take(files: PathFile[]): void {
  if (files.length === 0) return;
  if (!isFree()) {
    byId('busy').hidden = false;
  } else if (isCheckpoint(files)) {
    start(files);
  } else if (kindOf(files) === 'unknown') {
    showError(status, `${nameOf(files)} has no pictures. Choose a folder with one sub-folder of pictures per class.`);
  } else {
    images = files;
    field('data').value = 'folder';
    setText(byId('folder-name'), `${nameOf(files)}: ${counted(files.length, 'file')}`);
    writeUrl(form);
    showTokenizer();
    if (waiting) start(waiting);
    else showStatus(status, `${nameOf(files)} is chosen. See below what becomes of it, then start.`);
  }
}

/** Whether the visitor's pictures get a tokenizer of their own. */
const ownTokenizer = (): boolean => field('data').value === 'folder' && field('tokenizer').value === 'own';

/** Says what the tokenizer will make of the chosen data. Shows the visitor's pictures again. */
export function showTokenizer(): void {
  const own = field('data').value === 'folder';
  const { name, aim } = opened();
  const isFashion = name === FASHION.name;
  byId('tokenizer-choice').hidden = !own;
  for (const id of ['tokenizer-options', 'tokenizer-words']) byId(id).hidden = !ownTokenizer();
  const tune = form.querySelector<HTMLInputElement>('[name=size][value=tune]')!;
  // Weights to fine-tune know no other tokens than their own.
  tune.disabled = ownTokenizer();
  tune.parentElement!.hidden = tune.disabled;
  if (tune.disabled && tune.checked) {
    field('size').value = 'tiny';
    preset();
    writeUrl(form);
  }
  setText(byId('tune-words'), `Starts from the weights of ${own ? name : FASHION.name}`);
  if (!own && isPreview()) byId('data-card').hidden = true;
  if (!own || !aim) return;
  const { image_size: size } = aim.config;
  setText(byId('tokenizer-name'), `That of ${name}`);
  setText(
    byId('tokenizer-note'),
    isFashion
      ? `Your pictures become grey squares of ${size}×${size} pixels: it knows nothing but clothes in grey`
      : `Your pictures become squares of ${size}×${size} pixels and pass through the tokenizer of ${name}`,
  );
  if (images && isFree()) void preview(images);
}

/** Whether the card of the data shows pictures of a folder before training. */
const isPreview = (): boolean => byId('data-strip').dataset.preview === 'true';

/** Counts previews, so that a late one does not replace a newer one. */
let previews = 0;

/** Shows some of the chosen pictures as the tokenizer gets them and, where there is one already, what it keeps of them. */
async function preview(files: PathFile[]): Promise<void> {
  const { aim } = opened();
  const found = pictures(files);
  if (!aim || found.length === 0) return;
  const mine = ++previews;
  const root = element('div');
  const own = ownTokenizer();
  const side = Number(field('side').value);
  if (own) {
    const cut = await squares(found, side);
    if (cut.length) root.append(strip(cut, 'Your pictures'));
  } else {
    // The model may be replaced meanwhile; its successor calls this again.
    await showReconstructions(aim, found, root).catch(() => []);
  }
  if (mine !== previews || !isFree() || root.childElementCount === 0) return;
  setText(
    byId('data-caption'),
    own
      ? `Your pictures as squares of ${side}×${side} pixels, in colour: the tokenizer learns from these, and then the model from its tokens`
      : 'Your pictures, and below them what the tokenizer keeps: the model learns to draw the lower ones',
  );
  showStrips(true, ...root.children);
}

/** Fills the card of the data. */
function showStrips(isPreview: boolean, ...strips: Element[]): void {
  const root = byId('data-strip');
  root.dataset.preview = String(isPreview);
  root.replaceChildren(...strips);
  byId('data-card').hidden = false;
}

/** Does something with the run, and shows a failure in the status. */
async function attempt(work: () => Promise<void>): Promise<void> {
  const mine = training;
  try {
    await work();
  } catch (error) {
    if (mine === training) showError(status, messageOf(error));
  }
}

/** Chooses a size of model that suits the device, unless the URL names one. */
export function suggest(backend: string): void {
  if (state !== 'idle') return;
  suggestValue('tokenizer-steps', TOKENIZER_STEPS[backend === 'webgpu' ? 'webgpu' : 'wasm']);
  if (new URLSearchParams(location.search).has('size')) return;
  const size = backend === 'webgpu' ? 'small' : 'tiny';
  for (const radio of form.querySelectorAll<HTMLInputElement>('input[name=size]')) radio.defaultChecked = radio.value === size;
  preset();
}

/** Sets the options of the chosen size as the defaults of the form. */
function preset(): void {
  const { steps, batch, rate: lr } = SIZES[field('size').value]!;
  for (const [name, value] of Object.entries({ steps, batch, rate: lr })) suggestValue(name, value);
}

/** Makes a number the default of a control. It becomes its value, unless the URL names one. */
function suggestValue(name: string, value: number): void {
  const input = field(name);
  input.defaultValue = String(value);
  if (!new URLSearchParams(location.search).has(name)) input.value = input.defaultValue;
}

export function startTrain(): void {
  bind(form);
  preset();
  showTokenizer();
  form.addEventListener('change', ({ target }) => {
    const { name } = target as HTMLInputElement;
    if (name === 'data' || name === 'tokenizer' || name === 'side') showTokenizer();
    if (name !== 'size') return;
    preset();
    writeUrl(form);
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (state === 'training') {
      training!.pause();
      become('pausing');
    } else if (state === 'paused') {
      become('training');
      void follow(training!, training!.goOn());
    } else start();
  });
  endButton.addEventListener('click', () => {
    if (state === 'opening' && training?.hasCheckpoint) {
      training.cancel();
    } else if (state === 'opening') {
      end();
      showStatus(status, 'Ended before the first step');
    } else if (state === 'paused') {
      become('ending');
      stopped(false);
    } else {
      training!.pause();
      become('ending');
    }
  });
  byId('to-model').addEventListener('click', () => {
    if (state === 'training') {
      training!.endTokenizer();
      become('pausing');
    } else {
      become('opening');
      void follow(training!, training!.toModel(modelAsked()));
    }
  });
  byId('download').addEventListener('click', () =>
    attempt(async () => {
      const { name, zip } = await training!.checkpoint();
      download(zip, name);
      announce('The checkpoint is downloaded.');
    }),
  );
  byId('draw-with').addEventListener('click', () =>
    attempt(async () => {
      const { step, files } = await training!.model();
      showTab('generate');
      await open({ name: `Trained here, ${counted(step, 'step')}`, from: files });
    }),
  );
  for (const id of ['open-data', 'open-zip', 'open-run'])
    byId<HTMLInputElement>(id).addEventListener('change', ({ target }) => {
      take(chosen(target as HTMLInputElement));
      (target as HTMLInputElement).value = '';
    });
  addEventListener('beforeunload', (event) => {
    if (isRunning() || state === 'paused' || (state === 'opening' && training?.hasCheckpoint)) event.preventDefault();
  });
}

/** The Train tab: the choice of data and model, the state of the run, and the messages of the training worker. */
import { AimImage, type DeviceName } from 'aim-js/worker';
import { Chart } from './chart.js';
import { announce, byId, count, counted, deviceWords, download, element, setText, short, showError, showStatus } from './dom.js';
import { chosen, isCheckpoint, kindOf, nameOf, type PathFile, pictures } from './files.js';
import { strip } from './gallery.js';
import { BUILT_IN, open, opened } from './generate.js';
import { showReconstructions } from './reconstruct.js';
import { bind, writeUrl } from './settings.js';
import { showTab } from './tabs.js';
import type { FromTrainer, PlainImage, Run, Shape, Start, ToTrainer } from './train.messages.js';

const mamba2 = (d_model: number, n_layer: number, d_state: number): Shape => ({
  d_model,
  n_layer,
  ssm_cfg: { layer: 'Mamba2', d_state, headdim: 64 },
});

/** The models to choose from, each with options that work well for it. */
const SIZES: Record<string, { shape?: Shape; batch: number; rate: number; steps: number }> = {
  tiny: { shape: mamba2(64, 2, 32), batch: 16, rate: 4e-3, steps: 2000 },
  small: { shape: mamba2(128, 4, 64), batch: 32, rate: 2e-3, steps: 3000 },
  full: { shape: mamba2(256, 8, 128), batch: 64, rate: 1e-3, steps: 5000 },
  tune: { batch: 32, rate: 2e-4, steps: 1000 },
};
/** Most rows of samples. When there are more, every other row is removed. */
const MAX_ROWS = 12;

const form = byId<HTMLFormElement>('training');
const field = (name: string) => form.elements.namedItem(name) as HTMLInputElement;
const [startButton, endButton] = [byId<HTMLButtonElement>('start'), byId<HTMLButtonElement>('stop-training')];
const [status, rate, progress] = [byId('train-status'), byId('train-rate'), byId<HTMLProgressElement>('train-progress')];
const chart = new Chart(byId('chart'));

/** 'over': the run is finished or was ended. Its worker still has it, for downloads, until the next start. */
type State = 'idle' | 'opening' | 'training' | 'pausing' | 'ending' | 'paused' | 'over';
let state: State = 'idle';
let worker: Worker | undefined;
let images: PathFile[] | undefined;
/** A checkpoint that cannot continue before the visitor chooses its data. */
let waiting: PathFile[] | undefined;
/** The latest step of the run. */
let at = 0;

/** Starts a run: the continuation of a checkpoint if one is given, else a new run with the settings of the form. */
function start(checkpoint?: PathFile[]): void {
  const own = field('data').value === 'folder';
  if (own && !images && !checkpoint) {
    fail('Choose a folder first. It must have one sub-folder of pictures per class, such as cats and dogs.');
    return;
  }
  end();
  chart.clear();
  byId('samples').replaceChildren();
  for (const name of ['step', 'loss', 'held']) setText(byId(`figure-${name}`), '–');
  worker = new Worker(new URL('./train.worker.js', import.meta.url), { type: 'module' });
  worker.addEventListener('message', ({ data }: MessageEvent<FromTrainer>) => receive(data));
  worker.addEventListener('error', (event) => {
    event.preventDefault();
    fail(`The training worker failed: ${event.message || 'its script was not loaded'}. Reload the page to try again.`);
  });
  send({
    type: 'start',
    device: (byId<HTMLFormElement>('settings').elements.namedItem('device') as HTMLSelectElement).value as DeviceName,
    // The data set of the studio is stored as codes of the built-in tokenizer.
    model: (own ? opened() : BUILT_IN).from,
    codes: new URL('data/fashion-mnist.safetensors.gz', document.baseURI).href,
    images: own ? images : undefined,
    checkpoint,
    shape: checkpoint ? undefined : SIZES[field('size').value]!.shape,
    options: { steps: field('steps').valueAsNumber, batchSize: field('batch').valueAsNumber, lr: field('rate').valueAsNumber },
  });
  become('opening');
}

const send = (message: ToTrainer | Start): void => worker?.postMessage(message);

function end(): void {
  worker?.terminate();
  worker = undefined;
  waiting = undefined;
  become('idle');
}

const isFree = (): boolean => state === 'idle' || state === 'over';
const isRunning = (): boolean => state === 'training' || state === 'pausing' || state === 'ending';

function become(next: State): void {
  state = next;
  const words: Partial<Record<State, string>> = { training: 'Pause', pausing: 'Pausing', ending: 'Ending', opening: 'Opening' };
  startButton.textContent = words[next] ?? (next === 'paused' ? 'Resume' : 'Start training');
  startButton.disabled = next === 'pausing' || next === 'ending' || next === 'opening';
  endButton.hidden = next === 'idle' || next === 'ending' || next === 'over';
  byId('run-actions').hidden = next === 'idle' || next === 'opening';
  byId<HTMLFieldSetElement>('setup').disabled = !isFree();
  byId('busy').hidden = true;
  if (isRunning()) return;
  setText(rate, '');
  setText(byId('figure-left'), '–');
}

function receive(message: FromTrainer): void {
  switch (message.type) {
    case 'phase':
      showStatus(status, message.text);
      progress.value = message.share ?? 0;
      break;
    case 'ready':
      ready(message);
      break;
    case 'steps':
      stepped(message.steps);
      break;
    case 'samples':
      sampled(message.step, message.images);
      break;
    case 'stopped':
      stopped(message.finished, state === 'ending');
      break;
    case 'other-data':
      askForData(message);
      break;
    case 'checkpoint':
      download(message.zip, message.name);
      announce('The checkpoint is downloaded.');
      break;
    case 'weights': {
      const { config, weights, classes } = message;
      showTab('generate');
      void open({ name: `Trained here, ${message.step} steps`, from: { config, weights, ...(classes.length && { classes }) } });
      break;
    }
    case 'error':
      // The trainer still has the weights of the last step.
      if (isRunning()) become('over');
      if (state === 'opening') fail(message.message);
      else showError(status, message.message);
  }
}

function stopped(finished: boolean, ended: boolean): void {
  become(finished || ended ? 'over' : 'paused');
  const text = `${finished ? 'Finished' : ended ? 'Ended' : 'Paused'} after ${counted(at, 'step')}`;
  showStatus(status, ended && !finished ? `${text}; its checkpoint can be downloaded until the next start` : text);
  announce(`${text}.`);
}

/** The model and the device of the run, for the status. */
let about = '';

function ready(message: FromTrainer & { type: 'ready' }): void {
  const { device, parameters, classes, images: number, held, skipped, step, steps, run, seen } = message;
  if (run) showRun(run);
  at = step;
  about = `${short(parameters)} parameters · ${deviceWords(device)}`;
  showStatus(status, `Training · ${about}`);
  setText(byId('figure-step'), `${count(step)} of ${count(steps)}`);
  const own = field('data').value === 'folder';
  const both = own && !run && isPreview();
  setText(
    byId('data-caption'),
    `${both ? 'Your pictures, and below them the same as the model sees them' : 'The data as the model sees it'}: ${counted(number, 'image')} of ${counted(classes.length, 'class', 'classes')}` +
      `${held ? `, ${count(held)} held out` : ''}${skipped ? `; ${counted(skipped, 'file')} could not be read` : ''}`,
  );
  if (!both) byId('data-strip').replaceChildren(strip(seen.map(pixels), 'The first images of the data'));
  byId('data-card').hidden = false;
  become('training');
  announce(step ? `Training continues after ${count(step)} steps.` : 'Training has started.');
}

/** Copies the settings of a continued run into the form. */
function showRun({ options, shape, own }: Run): void {
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
function askForData({ message, checkpoint }: FromTrainer & { type: 'other-data' }): void {
  fail(message);
  waiting = checkpoint;
  field('data').value = 'folder';
  writeUrl(form);
  byId('open-data').focus();
}

function stepped(steps: Extract<FromTrainer, { type: 'steps' }>['steps']): void {
  for (const { step, loss, held } of steps) {
    chart.add({ step, loss }, held);
    if (held !== undefined) setText(byId('figure-held'), held.toFixed(3));
  }
  const { step, steps: all, loss, imagesPerSecond, tokensPerSecond, secondsLeft } = steps.at(-1)!;
  at = step;
  setText(byId('figure-step'), `${count(step)} of ${count(all)}`);
  setText(byId('figure-loss'), loss.toFixed(3));
  setText(byId('figure-left'), duration(secondsLeft));
  if (state === 'training') showStatus(status, `Training · ${about}`);
  setText(rate, `${count(Math.round(imagesPerSecond))} images/s, ${short(Math.round(tokensPerSecond))} tokens/s`);
  progress.value = step / all;
}

const pixels = (plain: PlainImage): ImageData => new AimImage(plain).toImageData();

function sampled(step: number, drawn: PlainImage[]): void {
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
    else showStatus(status, `${nameOf(files)} is chosen. See below what the tokenizer keeps of it, then start.`);
  }
}

/** Says which tokenizer the chosen data will pass through, and what that means for it. Shows the visitor's pictures again. */
export function showTokenizer(): void {
  const own = field('data').value === 'folder';
  const { name, aim } = opened();
  byId('tokenizer-note').hidden = !own;
  setText(byId('tune-words'), `Starts from the weights of ${own && name !== BUILT_IN.name ? name : 'the built-in model'}`);
  if (!own && isPreview()) byId('data-card').hidden = true;
  if (!own || !aim) return;
  const { image_size: size } = aim.config;
  setText(
    byId('tokenizer-note'),
    name === BUILT_IN.name
      ? `Your pictures become grey squares of ${size}×${size} pixels: the tokenizer of the built-in model knows nothing but clothes ` +
          'in grey. To keep colours and detail, open a model of colour images in Generate first; its tokenizer is used then.'
      : `Your pictures become squares of ${size}×${size} pixels and pass through the tokenizer of ${name}.`,
  );
  if (images && isFree()) void preview(images);
}

/** Whether the card of the data shows pictures of a folder with their reconstructions. */
const isPreview = (): boolean => byId('data-strip').childElementCount === 2;

/** Counts previews, so that a late one does not replace a newer one. */
let previews = 0;

/** Shows some of the chosen pictures before and after the tokenizer. */
async function preview(files: PathFile[]): Promise<void> {
  const { aim } = opened();
  const found = pictures(files);
  if (!aim || found.length === 0) return;
  const mine = ++previews;
  const root = element('div');
  // The model may be replaced meanwhile; its successor calls this again.
  const shown = await showReconstructions(aim, found, root).catch(() => 0);
  if (mine !== previews || !isFree() || shown === 0) return;
  setText(
    byId('data-caption'),
    'Your pictures, and below them what the tokenizer keeps: the model learns to draw the lower ones',
  );
  byId('data-strip').replaceChildren(...root.children);
  byId('data-card').hidden = false;
}

/** Chooses a size of model that suits the device, unless the URL names one. */
export function suggest(backend: string): void {
  if (state !== 'idle' || new URLSearchParams(location.search).has('size')) return;
  const size = backend === 'webgpu' ? 'small' : 'tiny';
  for (const radio of form.querySelectorAll<HTMLInputElement>('input[name=size]')) radio.defaultChecked = radio.value === size;
  preset();
}

/** Sets the options of the chosen size as the defaults of the form. */
function preset(): void {
  const { steps, batch, rate: lr } = SIZES[field('size').value]!;
  for (const [name, value] of Object.entries({ steps, batch, rate: lr })) {
    const input = field(name);
    input.defaultValue = String(value);
    if (!new URLSearchParams(location.search).has(name)) input.value = input.defaultValue;
  }
}

export function startTrain(): void {
  bind(form);
  preset();
  showTokenizer();
  form.addEventListener('change', ({ target }) => {
    if ((target as HTMLInputElement).name === 'data') showTokenizer();
    if ((target as HTMLInputElement).name !== 'size') return;
    preset();
    writeUrl(form);
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (state === 'training') {
      send({ type: 'pause' });
      become('pausing');
    } else if (state === 'paused') {
      send({ type: 'go-on' });
      become('training');
    } else start();
  });
  endButton.addEventListener('click', () => {
    if (state === 'opening') {
      end();
      showStatus(status, 'Ended before the first step');
    } else if (state === 'paused') {
      stopped(false, true);
    } else {
      send({ type: 'pause' });
      become('ending');
    }
  });
  byId('download').addEventListener('click', () => send({ type: 'save' }));
  byId('draw-with').addEventListener('click', () => send({ type: 'weights' }));
  for (const id of ['open-data', 'open-zip', 'open-run'])
    byId<HTMLInputElement>(id).addEventListener('change', ({ target }) => {
      take(chosen(target as HTMLInputElement));
      (target as HTMLInputElement).value = '';
    });
  addEventListener('beforeunload', (event) => {
    if (isRunning() || state === 'paused') event.preventDefault();
  });
}

/** The Train tab: chooses data and model, starts the training worker, and shows what it tells. */
import { AimImage, type DeviceName } from 'aim-js/worker';
import { Chart } from './chart.js';
import { announce, byId, deviceWords, download, element, setText, short } from './dom.js';
import { chosen, isCheckpoint, nameOf, type PathFile } from './files.js';
import { strip } from './gallery.js';
import { BUILT_IN, open } from './generate.js';
import { bind, writeUrl } from './settings.js';
import { showTab } from './tabs.js';
import type { FromTrainer, PlainImage, Run, Shape, Start, ToTrainer } from './train.messages.js';

const mamba2 = (d_model: number, n_layer: number, d_state: number): Shape => ({
  d_model,
  n_layer,
  ssm_cfg: { layer: 'Mamba2', d_state, headdim: 64 },
});

/** The models to choose from, each with options under which it learns well. */
const SIZES: Record<string, { shape?: Shape; batch: number; rate: number; steps: number }> = {
  tiny: { shape: mamba2(64, 2, 32), batch: 16, rate: 4e-3, steps: 2000 },
  small: { shape: mamba2(128, 4, 64), batch: 32, rate: 2e-3, steps: 3000 },
  full: { shape: mamba2(256, 8, 128), batch: 64, rate: 1e-3, steps: 5000 },
  tune: { batch: 32, rate: 2e-4, steps: 1000 },
};
/** Rows of samples kept; when there are more, every other one goes. */
const MOST_ROWS = 12;

const form = byId<HTMLFormElement>('training');
const field = (name: string) => form.elements.namedItem(name) as HTMLInputElement;
const [startButton, endButton] = [byId<HTMLButtonElement>('start'), byId<HTMLButtonElement>('stop-training')];
const [status, rate, progress] = [byId('train-status'), byId('train-rate'), byId<HTMLProgressElement>('train-progress')];
const chart = new Chart(byId('chart'));

/** 'over': the run is finished or ended; its worker keeps it until the next start. */
type State = 'idle' | 'opening' | 'training' | 'pausing' | 'ending' | 'paused' | 'over';
let state: State = 'idle';
let worker: Worker | undefined;
let images: PathFile[] | undefined;
/** A checkpoint whose data is asked for. */
let waiting: PathFile[] | undefined;
/** The newest step of the run. */
let at = 0;

/** Starts a run: from a checkpoint where one is given, else as the form says. */
function start(checkpoint?: PathFile[]): void {
  const own = field('data').value === 'folder';
  if (own && !images && !checkpoint) {
    fail('Choose a folder first: one sub-folder of PNG or JPEG images per class, such as cats/ and dogs/.');
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
    model: BUILT_IN,
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
  status.classList.remove('error');
  if (isRunning()) return;
  setText(rate, '');
  setText(byId('figure-left'), '–');
}

function receive(message: FromTrainer): void {
  switch (message.type) {
    case 'phase':
      setText(status, message.text);
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
      // What has been trained so far is still there.
      if (isRunning()) become('over');
      if (state === 'opening') fail(message.message);
      else complain(message.message);
  }
}

function stopped(finished: boolean, ended: boolean): void {
  become(finished || ended ? 'over' : 'paused');
  const text = `${finished ? 'Finished' : ended ? 'Ended' : 'Paused'} after ${count(at)} ${at === 1 ? 'step' : 'steps'}`;
  setText(status, ended && !finished ? `${text}; its checkpoint can be downloaded until the next start` : text);
  announce(`${text}.`);
}

let about = '';
const count = (n: number): string => n.toLocaleString('en');

function ready(message: FromTrainer & { type: 'ready' }): void {
  const { device, parameters, classes, images: number, held, skipped, step, steps, run, seen } = message;
  if (run) showRun(run);
  at = step;
  about = `${short(parameters)} parameters · ${deviceWords(device)}`;
  setText(status, `Training · ${about}`);
  setText(byId('figure-step'), `${count(step)} of ${count(steps)}`);
  setText(
    byId('data-caption'),
    `The data, as the tokenizer keeps it: ${count(number)} images of ${classes.length} ${classes.length === 1 ? 'class' : 'classes'}` +
      `${held ? `, ${count(held)} held out` : ''}${skipped ? `; ${skipped} files could not be read` : ''}`,
  );
  byId('data-strip').replaceChildren(strip(seen.map(image), 'The first images of the data'));
  byId('data-card').hidden = false;
  become('training');
  announce(step ? `Training goes on after ${count(step)} steps.` : 'Training has begun.');
}

/** Puts what a checkpoint's run has been trained with into the form. */
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

/** A checkpoint's run was trained on data that is not here: asks for its folder. */
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
  if (state === 'training') setText(status, `Training · ${about}`);
  setText(rate, `${count(Math.round(imagesPerSecond))} images/s, ${short(Math.round(tokensPerSecond))} tokens/s`);
  progress.value = step / all;
}

const image = (plain: PlainImage) => new AimImage(plain);

function sampled(step: number, drawn: PlainImage[]): void {
  const list = byId('samples');
  byId('samples-empty').hidden = true;
  const row = element(
    'li',
    {},
    element('span', { className: 'step' }, count(step)),
    strip(drawn.map(image), `Samples after ${step} steps`),
  );
  if (list.firstElementChild?.firstElementChild?.textContent === row.firstElementChild!.textContent)
    list.firstElementChild.remove();
  list.prepend(row);
  // The first and the newest stay.
  if (list.children.length > MOST_ROWS)
    [...list.children].forEach((li, i, all) => void (i % 2 && i < all.length - 1 && li.remove()));
}

const duration = (seconds: number): string =>
  seconds >= 90 ? `${Math.round(seconds / 60)} min` : seconds >= 1 ? `${Math.round(seconds)} s` : '0 s';

function fail(text: string): void {
  end();
  complain(text);
}

function complain(text: string): void {
  status.classList.add('error');
  setText(status, text);
  announce(text);
}

/** Takes what is dropped or chosen: a checkpoint goes on, anything else is data for the next run. */
export function take(files: PathFile[]): void {
  if (files.length === 0) return;
  if (!isFree()) {
    byId('busy').hidden = false;
  } else if (isCheckpoint(files)) {
    start(files);
  } else {
    images = files;
    field('data').value = 'folder';
    setText(byId('folder-name'), `${nameOf(files)}: ${count(files.length)} files`);
    writeUrl(form);
    if (waiting) start(waiting);
    else setText(status, `${nameOf(files)} is chosen. Its images are cut to squares and tokenized when training starts.`);
  }
}

/** The size to begin with where the URL names none: what suits the device. */
export function suggest(backend: string): void {
  if (state !== 'idle' || new URLSearchParams(location.search).has('size')) return;
  const size = backend === 'webgpu' ? 'small' : 'tiny';
  for (const radio of form.querySelectorAll<HTMLInputElement>('input[name=size]')) radio.defaultChecked = radio.value === size;
  preset();
}

/** Puts the options that suit the size into the form, as its defaults. */
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
  form.addEventListener('change', ({ target }) => {
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
      setText(status, 'Ended before it began');
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

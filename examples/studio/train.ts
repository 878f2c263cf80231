/** The Train tab: chooses data and model, starts the training worker, and shows what it tells. */
import { AimImage, type DeviceName } from 'aim-js/worker';
import { Chart } from './chart.js';
import { announce, byId, deviceWords, download, element, setText, short } from './dom.js';
import { chosen, isCheckpoint, nameOf, type PathFile } from './files.js';
import { strip } from './gallery.js';
import { BUILT_IN, open } from './generate.js';
import { bind, writeUrl } from './settings.js';
import { showTab } from './tabs.js';
import type { FromTrainer, PlainImage, Shape, Start, ToTrainer } from './train.messages.js';

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

type State = 'idle' | 'opening' | 'training' | 'pausing' | 'paused' | 'finished';
let state: State = 'idle';
let worker: Worker | undefined;
let images: PathFile[] | undefined;

/** Starts a run: from a checkpoint where one is given, else as the form says. */
function start(checkpoint?: PathFile[]): void {
  const own = field('data').value === 'folder';
  if (own && !images) {
    fail('Choose a folder first: one sub-folder of PNG or JPEG images per class, such as cats/ and dogs/.');
    return;
  }
  end();
  chart.clear();
  byId('samples').replaceChildren();
  for (const name of ['step', 'loss', 'held', 'left']) setText(byId(`figure-${name}`), '–');
  worker = new Worker(new URL('./train.worker.js', import.meta.url), { type: 'module' });
  worker.addEventListener('message', ({ data }: MessageEvent<FromTrainer>) => receive(data));
  worker.addEventListener('error', (event) => {
    event.preventDefault();
    fail(`The training worker failed: ${event.message || 'its script was not loaded'}. Reload the page to try again.`);
  });
  const { shape } = SIZES[field('size').value]!;
  send({
    type: 'start',
    device: (byId<HTMLFormElement>('settings').elements.namedItem('device') as HTMLSelectElement).value as DeviceName,
    model: BUILT_IN,
    codes: new URL('data/fashion-mnist.safetensors.gz', document.baseURI).href,
    images: own ? images : undefined,
    checkpoint,
    shape: checkpoint ? undefined : shape,
    options: { steps: field('steps').valueAsNumber, batchSize: field('batch').valueAsNumber, lr: field('rate').valueAsNumber },
  });
  become('opening');
}

const send = (message: ToTrainer | Start): void => worker?.postMessage(message);

function end(): void {
  worker?.terminate();
  worker = undefined;
  become('idle');
}

function become(next: State): void {
  state = next;
  const running = next === 'training' || next === 'pausing';
  startButton.textContent =
    { training: 'Pause', pausing: 'Pausing', paused: 'Resume', opening: 'Opening' }[next as string] ?? 'Start training';
  startButton.disabled = next === 'pausing' || next === 'opening';
  endButton.hidden = next === 'idle' || next === 'finished';
  byId('run-actions').hidden = !(running || next === 'paused' || next === 'finished');
  byId<HTMLFieldSetElement>('setup').disabled = !(next === 'idle' || next === 'finished');
  status.classList.remove('error');
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
    case 'stopped': {
      become(message.finished ? 'finished' : 'paused');
      const text = message.finished ? `Finished after ${message.step} steps` : `Paused after ${message.step} steps`;
      setText(status, text);
      announce(`${text}.`);
      break;
    }
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
      fail(message.message);
  }
}

let about = '';

function ready({
  device,
  parameters,
  classes,
  images: count,
  held,
  skipped,
  step,
  steps,
  seen,
}: FromTrainer & { type: 'ready' }) {
  about = `${short(parameters)} parameters · ${deviceWords(device)}`;
  setText(status, `Training · ${about}`);
  setText(byId('figure-step'), `${step} of ${steps}`);
  setText(
    byId('data-caption'),
    `The data, as the tokenizer keeps it: ${count.toLocaleString('en')} images of ${classes.length} ${classes.length === 1 ? 'class' : 'classes'}` +
      `${held ? `, ${held.toLocaleString('en')} held out` : ''}${skipped ? `; ${skipped} files could not be read` : ''}`,
  );
  byId('data-strip').replaceChildren(strip(seen.map(image), 'The first images of the data'));
  byId('data-card').hidden = false;
  become('training');
  announce('Training has begun.');
}

function stepped(steps: Extract<FromTrainer, { type: 'steps' }>['steps']): void {
  for (const { step, loss, held } of steps) {
    chart.add({ step, loss }, held);
    if (held !== undefined) setText(byId('figure-held'), held.toFixed(3));
  }
  const { step, steps: all, loss, imagesPerSecond, tokensPerSecond, secondsLeft } = steps.at(-1)!;
  setText(byId('figure-step'), `${step.toLocaleString('en')} of ${all.toLocaleString('en')}`);
  setText(byId('figure-loss'), loss.toFixed(3));
  setText(byId('figure-left'), duration(secondsLeft));
  setText(status, `Training · ${about}`);
  setText(rate, `${Math.round(imagesPerSecond).toLocaleString('en')} images/s, ${short(Math.round(tokensPerSecond))} tokens/s`);
  progress.value = step / all;
}

const image = (plain: PlainImage) => new AimImage(plain);

function sampled(step: number, drawn: PlainImage[]): void {
  const list = byId('samples');
  byId('samples-empty').hidden = true;
  const row = element(
    'li',
    {},
    element('span', { className: 'step' }, step.toLocaleString('en')),
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
  status.classList.add('error');
  setText(status, text);
  announce(text);
}

/** Takes what is dropped or chosen: a checkpoint goes on, anything else is data for the next run. */
export function take(files: PathFile[]): void {
  if (files.length === 0) return;
  if (state !== 'idle' && state !== 'finished') {
    const notice = byId('notice');
    notice.hidden = false;
    setText(notice, 'A run is under way. End it first, then drop these again.');
    return;
  }
  if (isCheckpoint(files)) {
    start(files);
    return;
  }
  images = files;
  field('data').value = 'folder';
  setText(byId('folder-name'), `${nameOf(files)}: ${files.length.toLocaleString('en')} files`);
  setText(status, `${nameOf(files)} is chosen. Its images are cut to squares of 32 pixels and tokenized when training starts.`);
  writeUrl(form);
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
    end();
    setText(status, 'Ended. The run is gone unless you downloaded it.');
  });
  byId('download').addEventListener('click', () => send({ type: 'save' }));
  byId('draw-with').addEventListener('click', () => send({ type: 'weights' }));
  for (const id of ['open-data', 'open-zip', 'open-run'])
    byId<HTMLInputElement>(id).addEventListener('change', ({ target }) => {
      take(chosen(target as HTMLInputElement));
      (target as HTMLInputElement).value = '';
    });
  addEventListener('beforeunload', (event) => {
    if (state === 'training' || state === 'paused') event.preventDefault();
  });
}

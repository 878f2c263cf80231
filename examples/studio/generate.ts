/** The Generate tab: settings, drawing and saving. It also owns the open model, which the other tabs use. */
import { AiM, type DeviceName } from 'aim-js/worker';
import { showChips } from './classes.js';
import {
  announce,
  byId,
  counted,
  deviceWords,
  element,
  messageOf,
  notify,
  setText,
  short,
  showError,
  showStatus,
} from './dom.js';
import { drawTiles, type Report, type Show } from './drawing.js';
import { chosen, nameOf, type PathFile, unpacked, withPaths } from './files.js';
import { Gallery } from './gallery.js';
import { startPad } from './pad.js';
import { bind, isDefault, setDefaults, setParameter, writeUrl } from './settings.js';
import { onTab, openTab } from './tabs.js';
import { arrange, canDraw, orderOf, saveName, startWays, waysFor } from './ways.js';

/** Where a model comes from: an address or repository, or the files of a folder. */
export type ModelSource = string | PathFile[];

export interface OpenedModel {
  name: string;
  from: ModelSource;
}

/** A model that the page brings along, in a folder beside it; `model` of the URL is the folder's name. */
interface BuiltIn extends OpenedModel {
  folder: string;
  label: string;
  /** Classes to draw at first, as the value of their field. */
  classes: string;
}

const builtIn = (label: string, folder: string, classes = 'all'): BuiltIn => ({
  name: `${label}, built in`,
  from: new URL(`${folder}/`, document.baseURI).href,
  folder,
  label,
  classes,
});

/** Drawn best: clock, flower, fruit, happy face, heart, moon, person, plant, sad face, silly face. */
const EMOJI = builtIn('Emoji', 'emoji', '11,18,19,21,22,27,32,33,35,40');
export const FASHION = builtIn('Fashion-MNIST', 'fashion-mnist');
/** The page opens the first, unless the URL names another. */
const BUILT_IN: readonly BuiltIn[] = [EMOJI, FASHION];
const builtInOf = ({ from }: OpenedModel) => BUILT_IN.find((one) => one.from === from);

/** Models to open by a click: those that the page brings along, and others, with the size of their download. */
const MODELS = [
  { ...EMOJI, size: '16 MB' },
  { ...FASHION, size: '12 MB' },
  { name: 'hp-l33/aim-base', from: 'hp-l33/aim-base', label: 'AiM-B', size: '878 MB' },
  { name: 'hp-l33/aim-large', from: 'hp-l33/aim-large', label: 'AiM-L', size: '1.7 GB' },
  { name: 'hp-l33/aim-xlarge', from: 'hp-l33/aim-xlarge', label: 'AiM-XL', size: '3.3 GB' },
];

/** Above this guidance the built-in models draw noise. */
const MAX_GUIDANCE = 3;

const form = byId<HTMLFormElement>('settings');
const field = (name: string) => form.elements.namedItem(name) as HTMLInputElement;
const gallery = new Gallery(byId('gallery'));
const [drawButton, saveAll] = [byId<HTMLButtonElement>('draw'), byId<HTMLButtonElement>('save-all')];
const [address, openAddress] = [byId<HTMLInputElement>('address'), byId<HTMLButtonElement>('open-address')];
const [status, rate, progress] = [byId('status'), byId('rate'), byId<HTMLProgressElement>('progress')];

let model: AiM | undefined;
let source: OpenedModel = BUILT_IN.find(({ folder }) => folder === new URLSearchParams(location.search).get('model')) ?? EMOJI;
let drawing: AbortController | undefined;
/** Resolves at the end of the current drawing. */
let drawn: Promise<void> = Promise.resolve();
/** Whether the model has not drawn yet. */
let fresh = false;
let loading: AbortController | undefined;
/** Stops the loading of a model from an address, which may take long. */
let fetching: AbortController | undefined;
const listeners: ((aim: AiM) => void)[] = [];

/** Calls `listener` with every model that is loaded. */
export const onModel = (listener: (aim: AiM) => void): void => void listeners.push(listener);

/** The open model and where it came from; `aim` is undefined until the first model is loaded. */
export const opened = (): OpenedModel & { aim: AiM | undefined } => ({ ...source, aim: model });

/** Loads a model in place of the open one, and draws with it. */
export async function open(next: OpenedModel = source): Promise<void> {
  loading?.abort();
  drawing?.abort();
  const mine = new AbortController();
  loading = mine;
  const own = typeof next.from === 'string' && builtInOf(next) === undefined;
  fetching = own ? mine : undefined;
  openAddress.textContent = own ? 'Cancel' : 'Open';
  setDrawable(false);
  const what = own ? next.name : 'the model';
  showStatus(status, `Loading ${what}`);
  // The list of models may be far below the status.
  if (model) status.scrollIntoView({ block: 'nearest' });
  setText(rate, '');
  progress.value = 0;
  const before = model;
  try {
    const files = Array.isArray(next.from) ? withPaths(next.from) : next.from;
    const aim = await AiM.fromPretrained(files, {
      device: field('device').value as DeviceName,
      signal: mine.signal,
      onProgress({ loaded, total }) {
        progress.value = total ? loaded / total : 0;
        const megabytes = (n: number) => (n / 1e6).toFixed(1);
        setText(status, `Loading ${what}: ${megabytes(loaded)}${total ? ` of ${megabytes(total)}` : ''} MB`);
      },
    });
    if (mine.signal.aborted) void aim.dispose();
    mine.signal.throwIfAborted();
    source = next;
    model = aim;
    await before?.dispose();
    await drawn;
  } catch (error) {
    if (loading !== mine) return;
    if (mine.signal.aborted) showStatus(status, `Stopped loading ${what}`);
    else fail(error);
    setDrawable(model !== undefined);
    return;
  } finally {
    if (loading === mine) {
      loading = fetching = undefined;
      openAddress.textContent = 'Open';
    }
  }
  showModel(model);
  setDrawable(true);
  for (const listener of listeners) listener(model);
  setText(status, 'Ready');
  fresh = true;
  await drawFresh();
}

/** Loads a checkpoint that was dropped or chosen: a folder, or a zip of one. */
export async function openFiles(files: PathFile[]): Promise<void> {
  try {
    await open({ name: nameOf(files), from: await unpacked(files) });
  } catch (error) {
    fail(error);
  }
}

function showModel(aim: AiM): void {
  setText(byId('device'), deviceWords(aim.device));
  byId('device').dataset.backend = aim.backend;
  setText(byId('model-name'), `${source.name} · ${short(aim.parameters.model + aim.parameters.tokenizer)} parameters`);
  for (const button of byId('models').querySelectorAll('button'))
    button.ariaCurrent = String(button.dataset.from === source.from);
  const { num_tokens, image_size, vocab_size } = aim.config;
  const patch = image_size / Math.sqrt(num_tokens);
  setText(
    byId('token-words'),
    `Here a token stands for ${patch}×${patch} pixels, is one of ${vocab_size.toLocaleString('en')}, and ${num_tokens} make an image.`,
  );
  const from = builtInOf(source);
  setParameter('model', from === EMOJI ? undefined : from?.folder);
  const { cfgScale = 1.5, temperature = 1, topP = 1, topK = 0 } = aim.sampling;
  setDefaults(form, { guidance: cfgScale, temperature, 'top-p': topP, 'top-k': topK, classes: from?.classes ?? 'all' });
  showGuidanceRange();
  void explainDevice(aim);
  showChips(aim);
  waysFor(aim);
}

/** Says which guidance is useful, and warns above that. */
function showGuidanceRange(): void {
  const builtIn = builtInOf(source) !== undefined;
  const range = byId('guidance-range');
  const tooHigh = builtIn && field('guidance').valueAsNumber > MAX_GUIDANCE;
  range.classList.toggle('error', tooHigh);
  setText(
    range,
    tooHigh
      ? `Above ${MAX_GUIDANCE} this model draws noise.`
      : builtIn
        ? `1 to ${MAX_GUIDANCE} suits this model.`
        : '1.5 to 4 is usual.',
  );
}

/** Says why the CPU draws where a visitor may have expected the GPU. */
async function explainDevice({ backend }: AiM): Promise<void> {
  if (backend === 'webgpu' || field('device').value === 'wasm') return notify('');
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  const why = !navigator.gpu
    ? window.isSecureContext
      ? 'This browser has no WebGPU'
      : 'Browsers offer WebGPU on https pages and localhost only'
    : adapter
      ? 'The only WebGPU adapter here is a software one, slower than WebAssembly'
      : 'This browser found no GPU for WebGPU';
  notify(`${why}, so the CPU draws: the same images, only slower.`, { once: true });
}

/** Draws with a new model once the Generate tab is open. */
async function drawFresh(): Promise<void> {
  if (!fresh || openTab() !== 'generate') return;
  fresh = false;
  await drawAnew();
}

/** Draws in place of other images, if there is something to draw. */
async function drawAnew(): Promise<void> {
  if (canDraw()) return draw();
  stop();
  await drawn;
  gallery.clear(1);
  saveAll.disabled = true;
  showStatus(status, 'Ready');
  setText(rate, '');
  progress.value = 0;
}

/** Draws with the current settings. Stops a drawing in progress. */
export async function draw(): Promise<void> {
  drawing?.abort();
  await drawn;
  if (model && !drawing) await (drawn = drawNow(model));
}

async function drawNow(aim: AiM): Promise<void> {
  const abort = new AbortController();
  drawing = abort;
  drawButton.textContent = 'Stop';
  drawButton.classList.add('stop');
  saveAll.disabled = true;
  byId('gallery').ariaBusy = 'true';
  showStatus(status, 'Drawing');
  announce('Drawing.');
  let latest: Report | undefined;
  try {
    const order = await orderOf(aim, {
      cfgScale: field('guidance').valueAsNumber,
      temperature: field('temperature').valueAsNumber,
      topK: field('top-k').valueAsNumber,
      topP: field('top-p').valueAsNumber,
      signal: abort.signal,
    });
    arrange(order);
    // On a phone the images may be below the pad.
    if (byId('gallery').getBoundingClientRect().top > innerHeight - 200) status.scrollIntoView({ block: 'start' });
    const report = await drawTiles(gallery, aim, order, field('show').value as Show, (now) => {
      latest = now;
      const { step, steps, first, batch, count } = now;
      progress.value = (first + (batch * step) / steps) / count;
      const those = batch === 1 ? `image ${first + 1}` : `images ${first + 1} to ${first + batch}`;
      const which = batch < count ? `, ${those} of ${count}` : '';
      setText(status, `Drawing token ${step} of ${steps}${which}`);
      setText(rate, perSecond(now));
    });
    progress.value = 1;
    const text = `${counted(report.count, 'image')} in ${report.seconds.toFixed(report.seconds < 10 ? 2 : 1)} s`;
    setText(status, text);
    setText(rate, perSecond(report));
    announce(`${text}.`);
  } catch (error) {
    if (!abort.signal.aborted) fail(error);
    else if (aim === model) {
      setText(status, latest ? `Stopped at token ${latest.step} of ${latest.steps}` : 'Stopped');
      announce('Stopped.');
    }
  } finally {
    drawing = undefined;
    drawButton.textContent = 'Draw';
    drawButton.classList.remove('stop');
    byId('gallery').ariaBusy = 'false';
    saveAll.disabled = byId('gallery').querySelector('.tile:enabled') === null;
  }
}

export const stop = (): void => drawing?.abort();

const perSecond = ({ done, seconds }: Report): string =>
  seconds > 0 ? `${(done / seconds).toFixed(done / seconds < 10 ? 2 : 0)} images/s` : '';

function fail(error: unknown): void {
  showError(status, messageOf(error));
  setText(rate, '');
  progress.value = 0;
}

function setDrawable(can: boolean): void {
  drawButton.disabled = !can;
  byId<HTMLButtonElement>('compare-draw').disabled = !can;
}

/** Fills the list of models to open by a click. */
function showModels(): void {
  byId('models').append(
    ...MODELS.map(({ name, from, label, size }) => {
      const own = builtInOf({ name, from }) !== undefined;
      const words = own ? `${size}, built in` : size;
      const button = element('button', { type: 'button' }, element('b', {}, label), element('small', {}, words));
      button.dataset.from = from as string;
      button.title = own ? `Draw with the model ${label}` : `Download and open ${name}`;
      button.addEventListener('click', () => void open({ name, from }));
      return element('li', {}, button);
    }),
  );
}

export function startGenerate(): void {
  bind(form);
  startWays(() => void drawAnew());
  startPad();
  showModels();
  const more = byId<HTMLDetailsElement>('more');
  more.open = [...more.querySelectorAll<HTMLInputElement | HTMLSelectElement>('input, select')].some((c) => !isDefault(c));
  field('guidance').addEventListener('input', () => {
    showGuidanceRange();
    gallery.mark();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (drawing) stop();
    else void draw();
  });
  field('device').addEventListener('change', () => void open());
  byId('dice').addEventListener('click', () => {
    field('seed').value = String(Math.floor(Math.random() * 100_000));
    writeUrl(form);
    void draw();
  });
  saveAll.addEventListener('click', () => void gallery.saveAll(...saveName()));
  for (const id of ['open-model', 'open-model-zip'])
    byId<HTMLInputElement>(id).addEventListener('change', ({ target }) => {
      const files = chosen(target as HTMLInputElement);
      if (files.length) void openFiles(files);
      (target as HTMLInputElement).value = '';
    });
  byId('source').addEventListener('submit', (event) => {
    event.preventDefault();
    if (fetching) return fetching.abort();
    const name = address.value.trim();
    if (name) void open({ name, from: name });
    else address.focus();
  });
  document.addEventListener('keydown', ({ key }) => {
    if (key !== 'Escape') return;
    fetching?.abort();
    stop();
  });
  onTab(() => void drawFresh());
  void open();
}

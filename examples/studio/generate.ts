/** The Generate tab: choose, draw, watch, save; and the model that the other tabs look at. */
import { AiM, type CheckpointSource, type DeviceName } from 'aim-js/worker';
import { announce, byId, deviceWords, element, messageOf, setText, short } from './dom.js';
import { classNames, drawInto, type Report, type Show } from './drawing.js';
import { Gallery } from './gallery.js';
import { bind, writeUrl } from './settings.js';
import { onTab, openTab } from './tabs.js';

export const BUILT_IN = new URL('model/', document.baseURI).href;
/** So many classes fit as buttons; more are typed. */
const MOST_CHIPS = 40;

const form = byId<HTMLFormElement>('settings');
const field = (name: string) => form.elements.namedItem(name) as HTMLInputElement;
const gallery = new Gallery(byId('gallery'));
const [drawButton, saveAll] = [byId<HTMLButtonElement>('draw'), byId<HTMLButtonElement>('save-all')];
const [status, rate, progress] = [byId('status'), byId('rate'), byId<HTMLProgressElement>('progress')];

let model: AiM | undefined;
let source: { name: string; from: CheckpointSource } = { name: 'Fashion-MNIST, built in', from: BUILT_IN };
let drawing: AbortController | undefined;
/** Ends with the drawing. */
let drawn: Promise<void> = Promise.resolve();
/** Whether the model has not drawn yet. */
let fresh = false;
let loading: AbortController | undefined;
const listeners: ((aim: AiM) => void)[] = [];

/** Hears of every model that is loaded. */
export const onModel = (listener: (aim: AiM) => void): void => void listeners.push(listener);

/** Loads a model in place of the present one, and draws with it. */
export async function open(next: { name: string; from: CheckpointSource } = source): Promise<void> {
  loading?.abort();
  drawing?.abort();
  const mine = new AbortController();
  loading = mine;
  setDrawable(false);
  setText(status, 'Loading the model');
  setText(rate, '');
  const before = model;
  try {
    const aim = await AiM.fromPretrained(next.from, {
      device: field('device').value as DeviceName,
      signal: mine.signal,
      onProgress({ loaded, total }) {
        progress.value = total ? loaded / total : 0;
        const megabytes = (n: number) => (n / 1e6).toFixed(1);
        setText(status, `Loading the model: ${megabytes(loaded)}${total ? ` of ${megabytes(total)}` : ''} MB`);
      },
    });
    if (mine.signal.aborted) return aim.dispose();
    source = next;
    model = aim;
    await before?.dispose();
    await drawn;
  } catch (error) {
    if (mine.signal.aborted) return;
    fail(error);
    if (before) setDrawable(true);
    return;
  }
  showModel(model);
  setDrawable(true);
  for (const listener of listeners) listener(model);
  setText(status, 'Ready');
  fresh = true;
  await drawFresh();
}

function showModel(aim: AiM): void {
  setText(byId('device'), deviceWords(aim.device));
  byId('device').dataset.backend = aim.backend;
  setText(byId('model-name'), `${source.name} · ${short(aim.parameters.model + aim.parameters.tokenizer)} parameters`);
  byId('built-in').hidden = source.from === BUILT_IN;
  void tellWhy(aim);
  showChips(aim);
}

/** Why the CPU draws, where a visitor may have expected the GPU to. */
async function tellWhy({ backend }: AiM): Promise<void> {
  const notice = byId('notice');
  notice.hidden = backend === 'webgpu' || field('device').value === 'wasm';
  if (notice.hidden) return;
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  const why = !navigator.gpu
    ? window.isSecureContext
      ? 'This browser has no WebGPU'
      : 'Browsers offer WebGPU on https pages and localhost only'
    : adapter
      ? 'The only WebGPU adapter here is a software one, slower than WebAssembly'
      : 'This browser found no GPU for WebGPU';
  setText(notice, `${why}, so the CPU does the work: the same images, at a slower pace.`);
}

function showChips(aim: AiM): void {
  const names = classNames(aim);
  const few = names.length <= MOST_CHIPS;
  byId('chips').hidden = !few;
  byId('class-list').hidden = few;
  byId('chips').replaceChildren();
  if (!few) return;
  const list = field('classes');
  const chosen = new Set(resolve(list.value, names) ?? names.keys());
  const boxes = names.map((_, i) => element('input', { type: 'checkbox', value: String(i), checked: chosen.has(i) }));
  const all = element('button', { type: 'button', className: 'chip-all' }, 'All');
  const changed = () => {
    const on = boxes.filter((box) => box.checked).map((box) => box.value);
    list.value = on.length === 0 || on.length === boxes.length ? 'all' : on.join();
    all.disabled = list.value === 'all' && on.length > 0;
    writeUrl(form);
  };
  for (const box of boxes) box.addEventListener('change', changed);
  all.addEventListener('click', () => {
    for (const box of boxes) box.checked = true;
    changed();
    boxes[0]!.focus();
  });
  byId('chips').append(
    ...boxes.map((box, i) => element('label', { className: 'chip' }, box, element('span', {}, names[i]!))),
    all,
  );
  changed();
}

/** Class numbers of a list such as `9,Bag`, or undefined when one is unknown; all of them for `all`. */
function resolve(list: string, names: readonly string[]): number[] | undefined {
  if (list.trim() === '' || list.trim() === 'all') return [...names.keys()];
  const indices = list.split(',').map((part) => {
    const text = part.trim().toLowerCase();
    const byName = names.findIndex((name) => name.toLowerCase() === text);
    return byName >= 0 ? byName : /^\d+$/.test(text) ? Number(text) : -1;
  });
  return indices.every((i) => i >= 0 && i < names.length) ? indices : undefined;
}

/** Draws with a new model as soon as somebody looks. */
async function drawFresh(): Promise<void> {
  if (!fresh || openTab() !== 'generate') return;
  fresh = false;
  await draw();
}

/** Draws with the settings as they are, in place of what is being drawn. */
export async function draw(): Promise<void> {
  drawing?.abort();
  await drawn;
  if (model && !drawing) await (drawn = drawNow(model));
}

async function drawNow(aim: AiM): Promise<void> {
  const classes = resolve(field('classes').value, classNames(aim));
  if (!classes)
    return fail(new Error(`This model has no such class; use numbers from 0 to ${aim.config.num_classes - 1}, or names.`));
  const abort = new AbortController();
  drawing = abort;
  drawButton.textContent = 'Stop';
  drawButton.classList.add('stop');
  saveAll.disabled = true;
  byId('gallery').ariaBusy = 'true';
  status.classList.remove('error');
  announce('Drawing.');
  let latest: Report | undefined;
  try {
    const report = await drawInto(
      gallery,
      aim,
      {
        classes,
        count: field('count').valueAsNumber,
        seed: field('seed').valueAsNumber,
        cfgScale: field('guidance').valueAsNumber,
        temperature: field('temperature').valueAsNumber,
        topK: field('top-k').valueAsNumber,
        topP: field('top-p').valueAsNumber,
        signal: abort.signal,
      },
      field('show').value as Show,
      (now) => {
        latest = now;
        progress.value = now.done / now.count;
        const { step, steps, first, batch, count } = now;
        const which = batch < count ? `, images ${first + 1} to ${first + batch} of ${count}` : '';
        setText(status, `Drawing token ${step} of ${steps}${which}`);
        setText(rate, perSecond(now));
      },
    );
    progress.value = 1;
    const text = `${report.count} ${report.count === 1 ? 'image' : 'images'} in ${report.seconds.toFixed(report.seconds < 10 ? 2 : 1)} s`;
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
  status.classList.add('error');
  setText(status, messageOf(error));
  setText(rate, '');
  announce(messageOf(error));
}

function setDrawable(can: boolean): void {
  drawButton.disabled = !can;
  byId<HTMLButtonElement>('compare-draw').disabled = !can;
}

export function startGenerate(): void {
  bind(form);
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
  saveAll.addEventListener('click', () => void gallery.saveAll('aim-images'));
  byId<HTMLInputElement>('open-model').addEventListener('change', ({ target }) => {
    const files = [...((target as HTMLInputElement).files ?? [])];
    if (files.length) void open({ name: folderOf(files), from: files });
  });
  byId('built-in').addEventListener('click', () => void open({ name: 'Fashion-MNIST, built in', from: BUILT_IN }));
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') stop();
  });
  onTab(() => void drawFresh());
  void open();
}

const folderOf = (files: readonly File[]): string => files[0]!.webkitRelativePath.split('/')[0] || 'Your checkpoint';

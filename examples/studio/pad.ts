/** A drawing pad: what is drawn on it, or a picture that is put on it, becomes tokens, whose upper rows the model goes on from. */
import type { AiM } from 'aim-js/worker';
import { announce, byId, element, messageOf, setText, showError, showStatus } from './dom.js';
import { squares } from './reconstruct.js';
import { bind, readUrl, setParameter, writeUrl } from './settings.js';
import { inverted, onGrid, paintStrokes, type Stroke, strokesOf, textOf } from './strokes.js';

/** What is on the pad. */
interface Sheet {
  picture?: ImageData;
  strokes: readonly Stroke[];
}

const PENS = {
  grey: { White: 'fff', 'Light grey': 'bbb', Grey: '888', 'Dark grey': '555', Black: '000' },
  colour: {
    Black: '000',
    White: 'fff',
    Red: 'd33',
    Orange: 'f92',
    Yellow: 'fd3',
    Green: '4a4',
    Blue: '27d',
    Brown: '853',
  },
};

/** A shirt, in the colour of the pen. */
const EXAMPLE = 'MfffTJVKYKaLdMgMiMlLnKqKsJ.MfffZJZTZcZmZwZ5.MfffmJmTmcmmmwm5.MfffgMgVgegngwg5.MfffTJRMPONRLTJW.MfffsJuMwOyR0T2W';

/** Drawings whose text is longer are not in the URL, which some programs would cut. */
const LONGEST_TEXT = 6000;

/** After each stroke the picture is shown as the model sees it, unless that takes longer than this, ms. */
const QUICK = 1500;

const form = byId<HTMLFormElement>('pad');
const field = (name: string) => form.elements.namedItem(name) as HTMLInputElement;
const [canvas, seen] = [byId<HTMLCanvasElement>('pad-canvas'), byId<HTMLCanvasElement>('pad-seen')];
const [status, pens] = [byId('pad-status'), byId('pens')];
const context = canvas.getContext('2d')!;

let model: AiM | undefined;
/** Whether the model knows grey pictures only; undefined before it was looked at. */
let grey: boolean | undefined;
let history: Sheet[] = [{ strokes: [] }];
let pen = 'fff';
/** The stroke that is being drawn, by which pointer. */
let current: { stroke: Stroke; pointer: number } | undefined;
/** The tokens of a sheet on a paper. */
let encoded: { of: Sheet; paper: string; aim: AiM; codes: Uint32Array } | undefined;
/** How long the tokenizer took, ms, and whether it works now. */
let cost = 0;
let busy = false;

const sheet = (): Sheet => history.at(-1)!;
const isBlank = ({ picture, strokes }: Sheet) => !picture && strokes.length === 0;
const paper = () => field('paper').value;

/** Whether there is nothing on the pad. */
export const padIsEmpty = (): boolean => isBlank(sheet());

/** The tokens of what is on the pad, and how many rows of them are kept. Throws Error if there is nothing. */
export async function fromPad(aim: AiM): Promise<{ codes: Uint32Array; rows: number }> {
  if (padIsEmpty()) throw new Error('The pad is empty: draw on it, or choose a picture.');
  await prepare();
  return { codes: await codesOf(aim), rows: field('rows').valueAsNumber };
}

/** Takes another model; the drawing stays. */
export function padFor(aim: AiM): void {
  model = aim;
  grey = encoded = undefined;
  cost = 0;
  const side = Math.sqrt(aim.config.num_tokens);
  const rows = field('rows');
  rows.max = String(side);
  rows.defaultValue = rows.value = String(Math.ceil(side / 2));
  readUrl(form);
  rows.dispatchEvent(new Event('input', { bubbles: true }));
  if (!form.hidden) void prepare();
}

/** Looks at the open model once, when the pad is needed: the pens, the paper and the tokens depend on it. */
export async function prepare(): Promise<void> {
  const aim = model;
  if (!aim || grey !== undefined) return;
  try {
    const found = await isGrey(aim);
    if (aim !== model) return;
    grey = found;
  } catch (error) {
    return aim === model ? showError(status, messageOf(error)) : undefined;
  }
  // Grey images of data sets are light on black, pictures in colour mostly dark on white.
  for (const option of byId<HTMLSelectElement>('paper')) option.defaultSelected = (option.value === '000') === grey;
  field('paper').value = grey ? '000' : 'fff';
  readUrl(form);
  setText(byId('pad-words'), grey ? 'This model knows grey pictures only, mostly light ones on black.' : '');
  showPens();
  await show();
}

/** Whether the tokenizer of a model makes grey pictures of any tokens. */
async function isGrey(aim: AiM): Promise<boolean> {
  const { num_tokens, vocab_size } = aim.config;
  const codes = Uint32Array.from({ length: num_tokens }, (_, i) => Math.floor((i * vocab_size) / num_tokens));
  const { data } = (await aim.decode([codes]))[0]!.toImageData();
  let difference = 0;
  for (let i = 0; i < data.length; i += 4)
    difference += Math.max(data[i]!, data[i + 1]!, data[i + 2]!) - Math.min(data[i]!, data[i + 1]!, data[i + 2]!);
  return difference / (data.length / 4) < 8;
}

function showPens(): void {
  const list = Object.entries(PENS[grey ? 'grey' : 'colour']);
  const other = paper() === '000' ? 'fff' : '000';
  const own = element('input', { type: 'color', id: 'pen-colour', ariaLabel: 'Another colour', title: 'Another colour' });
  own.value = `#${[...pen].map((digit) => digit + digit).join('')}`;
  // Four bits of each of red, green and blue.
  for (const event of ['click', 'input']) own.addEventListener(event, () => choose([1, 3, 5].map((i) => own.value[i]).join('')));
  const buttons = list.map(([name, colour]) => {
    const button = element('button', { type: 'button', className: 'pen', ariaLabel: name, title: name });
    button.style.setProperty('--colour', `#${colour}`);
    button.addEventListener('click', () => choose(colour));
    return { button, colour };
  });
  const choose = (colour: string) => {
    pen = colour;
    for (const one of buttons) one.button.ariaPressed = String(one.colour === colour);
    own.classList.toggle('chosen', !list.some(([, one]) => one === colour));
  };
  pens.replaceChildren(...buttons.map(({ button }) => button), ...(grey ? [] : [own]));
  choose(other);
}

/** What the tokenizer gets: paper, picture and strokes on a canvas of this size. */
function paint(on: CanvasRenderingContext2D, { picture, strokes }: Sheet): void {
  const { width } = on.canvas;
  on.fillStyle = `#${paper()}`;
  on.fillRect(0, 0, width, width);
  if (picture) {
    const fitted = element('canvas', { width: picture.width, height: picture.height });
    fitted.getContext('2d')!.putImageData(grey ? greyOn(picture, paper() === '000') : picture, 0, 0);
    on.drawImage(fitted, 0, 0, width, width);
  }
  paintStrokes(on, strokes);
}

/** A picture in grey. Its light and dark are exchanged if its border would not go with the paper. */
function greyOn({ data, width, height }: ImageData, black: boolean): ImageData {
  const made = new ImageData(width, height);
  const light = (i: number) => 0.299 * data[i]! + 0.587 * data[i + 1]! + 0.114 * data[i + 2]!;
  let border = 0;
  for (let x = 0; x < width; x++) border += light(4 * x) + light(4 * (width * height - 1 - x));
  const flip = border / (2 * width) > 127 === black;
  for (let i = 0; i < data.length; i += 4) made.data.set([0, 0, 0, 255].fill(flip ? 255 - light(i) : light(i), 0, 3), i);
  return made;
}

async function codesOf(aim: AiM): Promise<Uint32Array> {
  const of = sheet();
  if (encoded?.of === of && encoded.paper === paper() && encoded.aim === aim) return encoded.codes;
  const size = aim.config.image_size;
  const small = element('canvas', { width: size, height: size }).getContext('2d', { willReadFrequently: true })!;
  paint(small, of);
  const key = { of, paper: paper(), aim };
  const [codes] = await aim.encode([small.getImageData(0, 0, size, size)]);
  encoded = { ...key, codes: codes! };
  return codes!;
}

/** Shows what is on the pad, where the model goes on, and the picture as the model sees it. */
async function show(): Promise<void> {
  paint(context, current ? { ...sheet(), strokes: [...sheet().strokes, current.stroke] } : sheet());
  const { max, valueAsNumber: rows } = field('rows');
  byId('pad-rest').style.setProperty('--kept', `${(100 * rows) / Number(max)}%`);
  byId('pad-rest').hidden = rows === Number(max);
  byId('pad-sheet').dataset.paper = paper();
  byId('pad-empty').hidden = current !== undefined || !padIsEmpty();
  byId<HTMLButtonElement>('pad-undo').disabled = history.length === 1;
  byId<HTMLButtonElement>('pad-clear').disabled = padIsEmpty();
  if (!current) await showSeen();
}

/** Shows the picture after the tokenizer. What is drawn meanwhile is shown afterwards. */
async function showSeen(): Promise<void> {
  const aim = model;
  if (padIsEmpty() || cost > QUICK) byId('pad-figure').hidden = true;
  if (!aim || busy || grey === undefined || padIsEmpty() || cost > QUICK) return;
  busy = true;
  const of = sheet();
  const on = paper();
  try {
    const started = performance.now();
    const [image] = await aim.decode([await codesOf(aim)]);
    cost = performance.now() - started;
    seen.width = seen.height = aim.config.image_size;
    seen.getContext('2d')!.putImageData(image!.toImageData(), 0, 0);
    byId('pad-figure').hidden = padIsEmpty();
  } catch (error) {
    if (aim === model) showError(status, messageOf(error));
  } finally {
    busy = false;
  }
  if (of !== sheet() || on !== paper() || aim !== model) await showSeen();
}

/** Puts a new sheet on the pad, which Undo takes away again. */
function change(next: Sheet): void {
  history.push(next);
  changed();
}

function changed(): void {
  showStatus(status, '');
  const text = textOf(sheet().strokes);
  setParameter('drawing', text && text.length <= LONGEST_TEXT ? text : undefined);
  void show();
}

function undo(): void {
  if (history.length > 1) history.pop();
  changed();
}

/** Puts a picture on the pad, in place of what is there. */
export async function padPicture(file: File): Promise<void> {
  if (!model) return showError(status, 'No model is open yet; try again when it is loaded.');
  const [picture] = await squares([file], model.config.image_size);
  if (!picture) return showError(status, `${file.name} is not a picture that this browser can read.`);
  change({ picture, strokes: [] });
  announce(`${file.name} is on the pad.`);
}

/** Adds the places that a pointer was at to its stroke, without those that did not move. */
function draw(event: PointerEvent): void {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  const { points } = current!.stroke;
  const moves = event.getCoalescedEvents?.() ?? [];
  for (const { clientX, clientY } of moves.length ? moves : [event]) {
    const [x, y] = [onGrid((clientX - left) / width), onGrid((clientY - top) / height)];
    if (points.at(-2) !== x || points.at(-1) !== y) points.push(x, y);
  }
  void show();
}

function startPen(): void {
  canvas.addEventListener('pointerdown', (event) => {
    if (current || event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    current = {
      stroke: { width: byId<HTMLInputElement>('pen-width').valueAsNumber, colour: pen, points: [] },
      pointer: event.pointerId,
    };
    draw(event);
  });
  canvas.addEventListener('pointermove', (event) => event.pointerId === current?.pointer && draw(event));
  const end = (event: PointerEvent) => {
    if (event.pointerId !== current?.pointer) return;
    const { stroke } = current;
    current = undefined;
    change({ ...sheet(), strokes: [...sheet().strokes, stroke] });
  };
  canvas.addEventListener('pointerup', end);
  canvas.addEventListener('pointercancel', end);
}

export function startPad(): void {
  bind(form);
  history = [{ strokes: strokesOf(new URLSearchParams(location.search).get('drawing') ?? '') }];
  startPen();
  showPens();
  form.addEventListener('submit', (event) => event.preventDefault());
  field('rows').addEventListener('input', () => void show());
  field('paper').addEventListener('change', () => {
    // Grey strokes go with the paper, as pictures do.
    if (grey) history = history.map((one) => ({ ...one, strokes: one.strokes.map(inverted) }));
    showPens();
    writeUrl(form);
    changed();
  });
  byId('pad-undo').addEventListener('click', undo);
  byId('pad-clear').addEventListener('click', () => change({ strokes: [] }));
  byId('pad-example').addEventListener('click', () => {
    change({ strokes: strokesOf(EXAMPLE).map((stroke) => ({ ...stroke, colour: pen })) });
    announce('A shirt is on the pad.');
  });
  byId<HTMLInputElement>('pad-picture').addEventListener('change', ({ target }) => {
    const [file] = (target as HTMLInputElement).files ?? [];
    if (file) void padPicture(file);
    (target as HTMLInputElement).value = '';
  });
  document.addEventListener('keydown', (event) => {
    const typing = event.target instanceof HTMLInputElement && event.target.type !== 'range';
    if (form.hidden || typing || event.key !== 'z' || !(event.ctrlKey || event.metaKey) || event.shiftKey) return;
    event.preventDefault();
    undo();
  });
  void show();
}

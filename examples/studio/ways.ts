/**
 * What the Generate tab draws: images of classes, a strip between two classes or seeds, one image at several guidance values, or
 * continuations of what the visitor draws.
 */
import type { AiM, GenerateOptions } from 'aim-js/worker';
import { chosenClasses } from './classes.js';
import { announce, byId, element, setText } from './dom.js';
import { classNames, type Order, tilesOf } from './drawing.js';
import { fromPad, padFor, padIsEmpty, prepare } from './pad.js';
import { readUrl, writeUrl } from './settings.js';

type Way = 'images' | 'between' | 'guidance' | 'drawing';

const form = byId<HTMLFormElement>('settings');
const field = (name: string) => form.elements.namedItem(name) as HTMLInputElement;

const way = () => (form.elements.namedItem('way') as RadioNodeList).value as Way;

/** Options that all ways share. */
type Common = Pick<GenerateOptions, 'cfgScale' | 'temperature' | 'topK' | 'topP' | 'signal'>;

interface WayOfDrawing {
  /** What to draw with the current settings. Throws Error where they make no sense. */
  order(aim: AiM, common: Common): Order | Promise<Order>;
  /** Name of the PNG of all images. */
  file: string;
  /** All images are side by side in one row. */
  row?: boolean;
}

const WAYS: Record<Way, WayOfDrawing> = {
  images: { order: images, file: 'aim-images' },
  between: { order: between, file: 'aim-strip', row: true },
  guidance: { order: guidances, file: 'aim-guidance', row: true },
  drawing: { order: continuations, file: 'aim-continued' },
};

/** Tokens that a CPU draws at once: more would be faster in all, but the first images would be long in coming. */
const TOKENS_AT_ONCE = 1024;

/** Images of the chosen classes in turn. A CPU that takes several batches draws the first image alone, so that there is one soon. */
function images(aim: AiM, common: Common): Order {
  const plan = { classes: chosenClasses(aim), count: field('count').valueAsNumber, seed: field('seed').valueAsNumber };
  const { classes, count, seed } = plan;
  const tiles = tilesOf(aim, plan);
  const batchSize = Math.max(1, Math.min(10, Math.round(TOKENS_AT_ONCE / aim.config.num_tokens)));
  if (aim.backend !== 'wasm' || count <= batchSize) return { tiles, calls: [{ ...common, ...plan }] };
  const others = { classes: [...classes.slice(1), classes[0]!], count: count - 1, seed: seed + 1, batchSize };
  return {
    tiles,
    calls: [
      { ...common, ...plan, count: 1 },
      { ...common, ...others },
    ],
  };
}

/** Images of the chosen classes that begin with the upper rows of what is on the pad. */
async function continuations(aim: AiM, common: Common): Promise<Order> {
  const { tiles, calls } = images(aim, common);
  const from = await fromPad(aim);
  return { tiles, calls: calls.map((call) => ({ ...call, from })) };
}

/** Whether there is something to draw: the pad may be empty. */
export const canDraw = (): boolean => way() !== 'drawing' || !padIsEmpty();

/** Whether pictures go to the pad, since the visitor sees it. */
export const takesPictures = (): boolean => way() === 'drawing';

/** Most guidance values that are compared. */
const MAX_SCALES = 8;

/** The guidance values to compare, ascending; they have the precision of the slider. Undefined if the text is no list of them. */
function scales(): number[] | undefined {
  const { min, max } = field('guidance');
  const parts = field('scales')
    .value.split(/[\s,;]+/)
    .filter(Boolean);
  const values = [...new Set(parts.map((part) => Math.round(10 * Number(part)) / 10))].sort((a, b) => a - b);
  const good = values.every((v) => v >= Number(min) && v <= Number(max));
  return good && values.length > 0 && values.length <= MAX_SCALES ? values : undefined;
}

/** One class and one seed at several guidance values. */
function guidances(aim: AiM, common: Common): Order {
  const values = scales();
  if (!values) throw new Error(noScales());
  const [{ class: label, seed }] = ends();
  const name = classNames(aim)[label]!;
  showEndNames(aim, { class: label, seed });
  return {
    tiles: values.map((v) => ({ name: `${name}, seed ${seed}`, seed, note: String(v), label: `guidance ${v}` })),
    calls: values.map((cfgScale) => ({ ...common, cfgScale, classes: [label], seed, count: 1 })),
    onClick: { verb: 'Take', act: (i) => take(values[i]!), isChosen: (i) => values[i] === field('guidance').valueAsNumber },
  };
}

const noScales = (): string =>
  `Give up to ${MAX_SCALES} guidance values from 0 to ${field('guidance').max}, separated by commas.`;

/** Sets the guidance of all ways to that of the image that was clicked. */
function take(value: number): void {
  field('guidance').value = String(value);
  field('guidance').dispatchEvent(new Event('input', { bubbles: true }));
  announce(`Guidance is ${value} now.`);
}

/** A strip whose ends are exactly the images of two classes, two seeds, or both. */
function between(aim: AiM, common: Common): Order {
  const names = classNames(aim);
  const [from, to] = ends();
  const same = { class: from.class === to.class, seed: from.seed === to.seed };
  if (same.class && same.seed)
    throw new Error('Both ends are the same, and so would be all images between them: choose another class or seed for one end.');
  const count = field('strip').valueAsNumber;
  const shares = Array.from({ length: count }, (_, i) => i / (count - 1));
  const end = (one: End) =>
    [!same.class || same.seed ? names[one.class]! : '', same.seed ? '' : `seed ${one.seed}`].filter(Boolean).join(', ');
  const name = `${same.class ? `${names[from.class]}, ` : ''}${end(from)} to ${end(to)}`;
  showEndNames(aim, from, to);
  return {
    tiles: shares.map((at) => ({ name, seed: at > 0.5 ? to.seed : from.seed, note: `${Math.round(100 * at)}%` })),
    calls: [
      {
        ...common,
        classes: same.class ? [from.class] : shares.map((at) => ({ from: from.class, to: to.class, at })),
        seed: same.seed ? [from.seed] : shares.map((at) => ({ from: from.seed, to: to.seed, at })),
        count,
      },
    ],
  };
}

interface End {
  class: number;
  seed: number;
}

/** The two ends of a strip. An empty second seed is the first one again. */
function ends(): [End, End] {
  const [seed, other] = [field('seed').valueAsNumber, field('to-seed').valueAsNumber];
  return [
    { class: Number(field('class').value), seed },
    { class: Number(field('to-class').value), seed: Number.isNaN(other) ? seed : other },
  ];
}

/** Says above the images what the ends of the strip are, or what all images are of. */
function showEndNames(aim: AiM, from: End, to?: End): void {
  const names = classNames(aim);
  const text = (end: End) => [element('b', {}, names[end.class]!), ' ', element('small', {}, `seed ${end.seed}`)];
  byId('end-from').replaceChildren(...text(from));
  byId('end-to').replaceChildren(...(to ? text(to) : []));
}

/** What is drawn with the current settings. Throws Error where they make no sense. */
export const orderOf = async (aim: AiM, common: Common): Promise<Order> => WAYS[way()].order(aim, common);

/** Lays the gallery out for the images of an order. */
export function arrange({ tiles }: Order): void {
  const root = byId('gallery');
  root.classList.toggle('row', WAYS[way()].row === true);
  root.style.setProperty('--columns', String(tiles.length));
}

/** The name of the PNG of all images, and how many it has in a row. */
export function saveName(): [name: string, columns?: number] {
  const { file, row } = WAYS[way()];
  return row ? [file, Number.POSITIVE_INFINITY] : [file];
}

/** Takes another model: its classes for the two ends of a strip, and its tokens for the pad. */
export function waysFor(aim: AiM): void {
  padFor(aim);
  const names = classNames(aim);
  for (const [name, chosen] of [
    ['class', 0],
    ['to-class', names.length - 1],
  ] as const)
    field(name).replaceChildren(
      ...names.map((text, i) => element('option', { value: String(i), defaultSelected: i === chosen }, text)),
    );
  readUrl(form);
}

/** Shows what belongs to the current way only. What is hidden is disabled, so that it cannot keep the form from being sent. */
function show(): void {
  for (const part of document.querySelectorAll<HTMLElement>('[data-ways]')) {
    part.hidden = !part.dataset.ways!.split(' ').includes(way());
    for (const control of part.querySelectorAll<HTMLInputElement | HTMLSelectElement>('input, select'))
      control.disabled = part.hidden;
  }
  setText(byId('class-label'), way() === 'between' ? 'From' : 'Class');
  if (way() === 'drawing') void prepare();
}

/** Shows the way in the URL, and calls `chosen` whenever another one is chosen. */
export function startWays(chosen: () => void): void {
  show();
  byId('ways').addEventListener('change', () => {
    show();
    writeUrl(form);
    chosen();
  });
}

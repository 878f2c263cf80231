/** What the Generate tab draws: images of classes, or a strip between two classes or seeds. */
import type { AiM, GenerateOptions } from 'aim-js/worker';
import { chosenClasses } from './classes.js';
import { byId, element, setText } from './dom.js';
import { classNames, type Order, tilesOf } from './drawing.js';
import type { Gallery } from './gallery.js';
import { readUrl, writeUrl } from './settings.js';

type Way = 'images' | 'between';

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
  images: {
    order(aim, common) {
      const plan = { classes: chosenClasses(aim), count: field('count').valueAsNumber, seed: field('seed').valueAsNumber };
      return { tiles: tilesOf(aim, plan), calls: [{ ...common, ...plan }] };
    },
    file: 'aim-images',
  },
  between: { order: between, file: 'aim-strip', row: true },
};

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

/** Writes at both ends of the strip what they are. */
function showEndNames(aim: AiM, from: End, to: End): void {
  const names = classNames(aim);
  for (const [id, end] of [
    ['end-from', from],
    ['end-to', to],
  ] as const)
    byId(id).replaceChildren(element('b', {}, names[end.class]!), ' ', element('small', {}, `seed ${end.seed}`));
}

/** What is drawn with the current settings. Throws Error where they make no sense. */
export const orderOf = async (aim: AiM, common: Common): Promise<Order> => WAYS[way()].order(aim, common);

/** The gallery, laid out for the current way. */
export function arranged(gallery: Gallery, { tiles }: Order): Gallery {
  const root = byId('gallery');
  const { row } = WAYS[way()];
  root.classList.toggle('row', row === true);
  root.style.setProperty('--columns', String(tiles.length));
  return gallery;
}

/** The name of the PNG of all images, and how many it has in a row. */
export function saveName(): [name: string, columns?: number] {
  const { file, row } = WAYS[way()];
  return row ? [file, Number.POSITIVE_INFINITY] : [file];
}

/** Fills the lists of classes for the two ends of a strip. */
export function showEnds(aim: AiM): void {
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
}

/** Shows the way in the URL, and calls `draw` whenever another one is chosen. */
export function startWays(draw: () => void): void {
  show();
  byId('ways').addEventListener('change', () => {
    show();
    writeUrl(form);
    draw();
  });
}

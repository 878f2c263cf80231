/** The choice of classes on the Generate tab. */
import type { AiM } from 'aim-js/worker';
import { announce, byId, element } from './dom.js';
import { classNames } from './drawing.js';
import { writeUrl } from './settings.js';

/** Models with more classes than this have a text field for them instead of buttons. */
const MAX_CHIPS = 50;

const form = byId<HTMLFormElement>('settings');
const list = form.elements.namedItem('classes') as HTMLInputElement;

/** The numbers of the chosen classes. Throws Error if the text field names one that the model does not have. */
export function chosenClasses(aim: AiM): number[] {
  const classes = resolve(list.value, classNames(aim));
  if (!classes) throw new Error(noSuchClass(aim));
  return classes;
}

/** Shows the classes of a model: a button for each, or a text field where there are many. */
export function showChips(aim: AiM): void {
  const names = classNames(aim);
  const few = names.length <= MAX_CHIPS;
  byId('chips').hidden = !few;
  byId('class-list').hidden = few;
  byId('chips').replaceChildren();
  const unknown = () => (resolve(list.value, names) ? '' : noSuchClass(aim));
  list.oninput = () => list.setCustomValidity(unknown());
  list.setCustomValidity(few ? '' : unknown());
  if (!few) return;
  const on = new Set(resolve(list.value, names) ?? names.keys());
  const chips = names.map((name) => element('button', { type: 'button', className: 'chip' }, name));
  const all = element('button', { type: 'button', className: 'chip-all' }, 'All');
  const show = () => {
    chips.forEach((chip, i) => {
      chip.ariaPressed = String(on.has(i));
    });
    all.disabled = on.size === names.length;
    list.value = all.disabled ? 'all' : [...on].sort((a, b) => a - b).join();
    writeUrl(form);
  };
  const choose = (now: Iterable<number>) => {
    on.clear();
    for (const i of now) on.add(i);
    show();
    announce(all.disabled ? 'All classes.' : `${on.size} of ${names.length} classes.`);
  };
  chips.forEach((chip, i) => {
    chip.addEventListener('click', () => {
      // While all classes are chosen, a click chooses one. Removing the last one chooses all again.
      if (on.size === names.length) return choose([i]);
      const now = on.has(i) ? [...on].filter((k) => k !== i) : [...on, i];
      choose(now.length ? now : names.keys());
    });
  });
  all.addEventListener('click', () => {
    choose(names.keys());
    chips[0]!.focus();
  });
  byId('chips').append(...chips, all);
  show();
}

const noSuchClass = ({ config }: AiM): string =>
  `This model has no such class; use numbers from 0 to ${config.num_classes - 1}, or names.`;

/** The class numbers of a list such as `9,Bag`; all classes for `all`; undefined if a class is unknown. */
function resolve(list: string, names: readonly string[]): number[] | undefined {
  if (list.trim() === '' || list.trim() === 'all') return [...names.keys()];
  const indices = list.split(',').map((part) => {
    const text = part.trim().toLowerCase();
    const byName = names.findIndex((name) => name.toLowerCase() === text);
    return byName >= 0 ? byName : /^\d+$/.test(text) ? Number(text) : -1;
  });
  return indices.every((i) => i >= 0 && i < names.length) ? indices : undefined;
}

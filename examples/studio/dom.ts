/** Small functions for the elements of the page, shared by all tabs. */

/** The element of index.html with this id. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no #${id}`);
  return found as T;
}

/**
 * Text of a downloaded file or a file name, made safe to show: control characters and marks that change the direction of text
 * become escapes such as \u{202e}, line breaks become spaces.
 */
export const printable = (text: string): string =>
  text
    .replace(/\s/g, ' ')
    .replace(/[\p{Cc}\p{Bidi_Control}]/gu, (character) => `\\u{${character.codePointAt(0)!.toString(16).padStart(4, '0')}}`);

/** Makes an element. Strings become text nodes, never markup. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.map((child) => (typeof child === 'string' ? printable(child) : child)));
  return made;
}

/** Announces a text to screen readers. Do not use it for text that changes many times a second. */
export function announce(text: string): void {
  byId('announcer').textContent = printable(text);
}

/** Sets the text of an element, only if it differs: screen readers would read an unchanged text again. */
export function setText(target: HTMLElement, text: string): void {
  const shown = printable(text);
  if (target.textContent !== shown) target.textContent = shown;
}

/** Shows a text in a status element, in place of an earlier text or error. */
export function showStatus(target: HTMLElement, text: string): void {
  target.classList.remove('error');
  setText(target, text);
}

/** Shows an error in a status element and announces it: a short text, and the whole message folded below if it is longer. */
export function showError(target: HTMLElement, message: string): void {
  const short = shortened(message);
  target.classList.add('error');
  target.replaceChildren(element('span', {}, short));
  if (short !== message) target.append(element('details', {}, element('summary', {}, 'Details'), element('span', {}, message)));
  announce(message);
}

/** Longest error that is shown whole, in characters. */
const LONGEST_ERROR = 120;

/** The first sentence or clause of a long message, at most LONGEST_ERROR characters, without long lists and with short addresses. */
function shortened(message: string): string {
  if (message.length <= LONGEST_ERROR) return message;
  const text = message.replace(/ \([^()]{40,}\)/g, '').replace(/https?:\/\/[^\s),;]{40,}/g, (address) => {
    const parts = address.split('/');
    return `${parts[2]}/…/${parts.at(-1)}`;
  });
  const clause = /^.{20,}?(?=[.;:] )/s.exec(text)?.[0] ?? text;
  return clause.length <= LONGEST_ERROR ? `${clause}.` : `${clause.slice(0, LONGEST_ERROR - 1).replace(/\s+\S*$/, '')}…`;
}

/** Notices that the visitor has dismissed. */
const dismissed = new Set<string>();

/** Shows a notice that can be dismissed; an empty text hides it. With `once`, a dismissed notice is not shown again. */
export function notify(text: string, { once = false } = {}): void {
  const notice = byId('notice');
  notice.hidden = text === '' || (once && dismissed.has(text));
  notice.replaceChildren();
  if (notice.hidden) return;
  const close = element('button', { type: 'button', className: 'close', ariaLabel: 'Dismiss', title: 'Dismiss' }, '×');
  close.addEventListener('click', () => {
    dismissed.add(text);
    notify('');
  });
  notice.replaceChildren(element('span', {}, text), close);
}

export function download(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  element('a', { href: url, download: name }).click();
  // The browser reads the address some time after the click.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** 'webgpu (Apple M2)' → 'WebGPU · Apple M2', 'wasm (SIMD, 4 threads)' → 'WebAssembly · 4 threads' */
export const deviceWords = (device: string): string =>
  device
    .replace(/^webgpu/, 'WebGPU')
    .replace(/^wasm \((SIMD, )?/, 'WebAssembly (')
    .replace(/ \((.*)\)$/, ' · $1');

/** 4812345 → 4.8 M */
export const short = (n: number): string =>
  n >= 1e6 ? `${(n / 1e6).toFixed(1)} M` : n >= 1e4 ? `${(n / 1e3).toFixed(0)} k` : count(n);

/** 10000 → 10,000 */
export const count = (n: number): string => n.toLocaleString('en');

/** (1, 'file') → 1 file, (2000, 'file') → 2,000 files; `many` is an irregular plural. */
export const counted = (n: number, one: string, many = `${one}s`): string => `${count(n)} ${n === 1 ? one : many}`;

/** A class name as a part of a file name. */
export const slug = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');

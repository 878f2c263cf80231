/** The few things every part of the page does with its elements. */

/** The element with this id, which index.html has. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no #${id}`);
  return found as T;
}

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Says something to screen readers; what changes many times a second is not said. */
export function announce(text: string): void {
  byId('announcer').textContent = text;
}

/** Sets text only where it differs, since an unchanged text is read out again too. */
export function setText(target: HTMLElement, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}

/** Says something above the tabs; with nothing to say the line goes. */
export function notify(text: string): void {
  const notice = byId('notice');
  notice.hidden = text === '';
  setText(notice, text);
}

export function download(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  element('a', { href: url, download: name }).click();
  // The browser reads it after the click.
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
  n >= 1e6 ? `${(n / 1e6).toFixed(1)} M` : n >= 1e4 ? `${(n / 1e3).toFixed(0)} k` : n.toLocaleString('en');

/** A file name's worth of a class name. */
export const slug = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');

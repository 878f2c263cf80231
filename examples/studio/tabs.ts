/** Tabs as in the ARIA pattern: only the open tab is in the tab order, and arrow keys move between tabs. The URL names the open tab. */
import { setParameter } from './settings.js';

const tabs = [...document.querySelectorAll<HTMLButtonElement>('[role=tab]')];
const panel = (tab: HTMLElement) => document.getElementById(tab.getAttribute('aria-controls')!)!;

const listeners: ((panel: string) => void)[] = [];

/** Calls `listener` with the id of the panel whenever a tab is opened. */
export const onTab = (listener: (panel: string) => void): void => void listeners.push(listener);

/** Shows the panel with this id. */
export function showTab(id: string): void {
  const open = tabs.find((tab) => panel(tab).id === id) ?? tabs[0]!;
  for (const tab of tabs) {
    tab.ariaSelected = String(tab === open);
    tab.tabIndex = tab === open ? 0 : -1;
    panel(tab).hidden = tab !== open;
  }
  setParameter('tab', open === tabs[0] ? undefined : panel(open).id);
  for (const listener of listeners) listener(panel(open).id);
}

export const openTab = (): string => panel(tabs.find((tab) => tab.ariaSelected === 'true')!).id;

export function startTabs(): void {
  showTab(new URLSearchParams(location.search).get('tab') ?? '');
  tabs.forEach((tab, i) => {
    tab.addEventListener('click', () => showTab(panel(tab).id));
    tab.addEventListener('keydown', ({ key }) => {
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: -1 }[key];
      if (to === undefined) return;
      const next = tabs.at(to % tabs.length)!;
      next.focus();
      showTab(panel(next).id);
    });
  });
}

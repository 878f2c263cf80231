/** Continuations of the visitor's pictures: their upper rows of tokens stay, and the model draws the rest. */
import type { AiM } from 'aim-js/worker';
import { announce, byId, counted, element, messageOf, setText, showError, showStatus } from './dom.js';
import { classNames, drawInto } from './drawing.js';
import { Gallery } from './gallery.js';

/** Images that are drawn from a single picture. */
const VARIATIONS = 5;

const form = byId<HTMLFormElement>('continue');
const field = (name: string) => form.elements.namedItem(name) as HTMLInputElement;
const gallery = new Gallery(byId('continued'));
/** The model, and the codes of the pictures. */
let subject: { aim: AiM; codes: readonly Uint32Array[] } | undefined;
let drawing: AbortController | undefined;

/** Takes no pictures any more, as when another model is opened. */
export function forget(): void {
  drawing?.abort();
  subject = undefined;
  form.hidden = true;
  byId('continued').hidden = true;
}

/** Offers to continue pictures that were encoded. */
export function offer(aim: AiM, codes: readonly Uint32Array[]): void {
  forget();
  subject = { aim, codes };
  const side = Math.sqrt(aim.config.num_tokens);
  const rows = field('continue-rows');
  rows.max = String(side);
  rows.value = String(Math.ceil(side / 2));
  showRows();
  field('continue-class').replaceChildren(...classNames(aim).map((name, i) => element('option', { value: String(i) }, name)));
  setText(byId('continue-status'), '');
  form.hidden = false;
}

const showRows = () => setText(byId('continue-kept'), `${field('continue-rows').value} of ${field('continue-rows').max}`);

async function draw(): Promise<void> {
  if (drawing || !subject) return drawing?.abort();
  const { aim, codes } = subject;
  const mine = new AbortController();
  drawing = mine;
  const [button, status] = [byId('continue-draw'), byId('continue-status')];
  const rows = field('continue-rows').valueAsNumber;
  button.textContent = 'Stop';
  byId('continued').hidden = false;
  showStatus(status, 'Drawing');
  try {
    const options = {
      classes: [Number(field('continue-class').value)],
      count: codes.length === 1 ? VARIATIONS : codes.length,
      seed: field('continue-seed').valueAsNumber,
      cfgScale: 1.5,
      from: codes.map((one) => ({ codes: one, rows })),
      signal: mine.signal,
    };
    await drawInto(gallery, aim, options, 'balanced', ({ step, steps }) => setText(status, `Token ${step} of ${steps}`));
    setText(status, `${counted(rows, 'row')} kept, the rest drawn.`);
    announce('The pictures are continued.');
  } catch (error) {
    if (mine.signal.aborted) showStatus(status, 'Stopped');
    else showError(status, messageOf(error));
  } finally {
    drawing = undefined;
    button.textContent = 'Continue';
  }
}

export function startContinue(): void {
  field('continue-rows').addEventListener('input', showRows);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void draw();
  });
  document.addEventListener('keydown', ({ key }) => key === 'Escape' && drawing?.abort());
}

/** The Inspect tab: the model and the device, pictures as tokens, and a comparison of two ways to add position embeddings. */
import type { AiM } from 'aim-js/worker';
import { forget, offer, startContinue } from './continue.js';
import { announce, byId, counted, deviceWords, element, messageOf, setText, short, showError, showStatus } from './dom.js';
import { classNames, drawInto } from './drawing.js';
import { chosen, pictures } from './files.js';
import { Gallery } from './gallery.js';
import { showReconstructions } from './reconstruct.js';
import { bind, readUrl } from './settings.js';

/** The parts of a model and the names of their tensors. A tensor belongs to the first part that matches. */
const PARTS: [part: string, tensors: RegExp][] = [
  ['Token embedding and head (tied)', /word_embeddings/],
  ['Positions', /position_embeddings/],
  ['Classes', /cls_embed/],
  ['Mamba mixers', /\.mixer\./],
  ['adaLN', /adaln|scale_shift_table/i],
  ['Norms', /^mamba\./],
  ['Tokenizer: codebook', /^vqvae\.quantize/],
  ['Tokenizer: encoder', /^vqvae\.(encoder|quant_conv)/],
  ['Tokenizer: decoder', /^vqvae\./],
];

const form = byId<HTMLFormElement>('compare');
const field = (name: string) => form.elements.namedItem(name) as HTMLInputElement;
const sides = { trained: new Gallery(byId('side-trained')), authors: new Gallery(byId('side-authors')) };
let model: AiM | undefined;
let comparing: AbortController | undefined;

export function inspect(aim: AiM): void {
  comparing?.abort();
  forget();
  model = aim;
  const sizes = new Map(PARTS.map(([part]) => [part, 0]));
  for (const { name, shape } of aim.tensors) {
    const [part] = PARTS.find(([, tensors]) => tensors.test(name)) ?? ['Other'];
    sizes.set(part, (sizes.get(part) ?? 0) + shape.reduce((a, b) => a * b, 1));
  }
  const all = [...sizes.values()].reduce((a, b) => a + b, 0);
  const most = Math.max(...sizes.values());
  setText(
    byId('inspect-total'),
    `${all.toLocaleString('en')} parameters in ${aim.tensors.length} tensors: ${short(aim.parameters.model)} in the model, ` +
      `${short(aim.parameters.tokenizer)} in its tokenizer.`,
  );
  byId('parts').replaceChildren(
    ...[...sizes].map(([part, size]) => {
      const bar = element('span', { className: 'bar' });
      bar.style.width = `${(size / most) * 100}%`;
      return element(
        'tr',
        {},
        element('th', { scope: 'row' }, part),
        element('td', {}, size.toLocaleString('en')),
        element('td', { ariaHidden: 'true' }, bar),
      );
    }),
  );
  facts(byId('config'), configuration(aim));
  void device(aim).then((list) => facts(byId('features'), list));
  const select = field('compare-class');
  select.replaceChildren(...classNames(aim).map((name, i) => element('option', { value: String(i) }, name)));
  readUrl(form);
  for (const gallery of Object.values(sides)) gallery.clear(1);
  compared(false);
}

/** Shows the comparison, or in its place a sentence that describes it. */
function compared(is: boolean): void {
  byId('sides').hidden = !is;
  byId('compare-empty').hidden = is;
}

type Facts = [name: string, value: string][];

function facts(list: HTMLElement, entries: Facts): void {
  list.replaceChildren(...entries.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))));
}

function configuration({ config }: AiM): Facts {
  const { mixer, tokenizer: vq } = config;
  const side = Math.sqrt(config.num_tokens);
  return [
    ['Mixer', mixer.layer.replace(/(?=\d)/, '-')],
    ['Layers', String(config.n_layer)],
    ['d_model', String(config.d_model)],
    ['d_state', 'd_state' in mixer ? String(mixer.d_state) : '–'],
    ['Heads', 'nheads' in mixer ? `${mixer.nheads} of ${mixer.headdim}` : '–'],
    ['adaLN', config.adaln_groups ? `${config.adaln_groups} ${config.adaln_groups === 1 ? 'group' : 'groups'}` : 'per layer'],
    ['Classes', String(config.num_classes)],
    ['Tokens', `${config.num_tokens} (${side}×${side})`],
    ['Vocabulary', config.vocab_size.toLocaleString('en')],
    ['Image', `${config.image_size}×${config.image_size} pixels`],
    ['Tokenizer', `VQ ÷${config.image_size / side}, ${vq.ch} channels × ${vq.ch_mult.join(', ')}`],
    ['Code', `${vq.embed_dim} dimensions`],
  ];
}

async function device(aim: AiM): Promise<Facts> {
  const yes = (is: boolean) => (is ? 'yes' : 'no');
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: 'high-performance' }).catch(() => null);
  const list: Facts = [['In use', deviceWords(aim.device)]];
  if (!navigator.gpu) list.push(['WebGPU', 'not in this browser']);
  else if (!adapter) list.push(['WebGPU', 'no adapter']);
  else {
    const { info, limits, features } = adapter;
    const mebibytes = (n: number) => `${(n / 2 ** 20).toLocaleString('en')} MiB`;
    list.push(
      ['WebGPU adapter', [info.vendor, info.architecture, info.description].filter(Boolean).join(', ') || 'unnamed'],
      ['16-bit floats', yes(features.has('shader-f16'))],
      ['Subgroups', yes(features.has('subgroups'))],
      ['Largest binding', mebibytes(limits.maxStorageBufferBindingSize)],
      ['Workgroup memory', `${(limits.maxComputeWorkgroupStorageSize / 1024).toLocaleString('en')} KiB`],
      ['Invocations', String(limits.maxComputeInvocationsPerWorkgroup)],
    );
  }
  list.push(
    ['CPU threads', String(navigator.hardwareConcurrency)],
    ['WebAssembly threads', crossOriginIsolated ? 'allowed' : 'not on this host'],
  );
  return list;
}

async function compare(): Promise<void> {
  const aim = model;
  if (!aim || comparing) return comparing?.abort();
  const abort = new AbortController();
  comparing = abort;
  const button = byId('compare-draw');
  const status = byId('compare-status');
  button.textContent = 'Stop';
  compared(true);
  showStatus(status, 'Drawing');
  try {
    for (const positions of ['trained', 'authors'] as const) {
      const options = {
        classes: [Number(field('compare-class').value)],
        count: 6,
        seed: field('compare-seed').valueAsNumber,
        cfgScale: 1.5,
        positions,
        signal: abort.signal,
      };
      await drawInto(sides[positions], aim, options, 'balanced', ({ step, steps }) =>
        setText(status, `${positions === 'trained' ? 'Trained' : 'Authors’'}: token ${step} of ${steps}`),
      );
    }
    setText(status, 'Six images each, the same seeds.');
    announce('Both are drawn.');
  } catch (error) {
    if (abort.signal.aborted) showStatus(status, 'Stopped');
    else showError(status, messageOf(error));
  } finally {
    comparing = undefined;
    button.textContent = 'Draw both';
  }
}

/** Shows pictures, at most ten of them, and what the tokenizer of the open model makes of them. */
export async function showPictures(files: readonly File[]): Promise<void> {
  const status = byId('tokens-status');
  const root = byId('tokens-strip');
  root.replaceChildren();
  forget();
  byId('tokens').scrollIntoView({ block: 'nearest' });
  if (!model) return showError(status, 'No model is open yet; try again when it is loaded.');
  const { num_tokens, vocab_size } = model.config;
  try {
    showStatus(status, 'Reading');
    const codes = await showReconstructions(model, files, root);
    const shown = codes.length;
    if (shown === 0) return showError(status, `${files[0]?.name ?? 'The file'} is not a picture that this browser can read.`);
    showStatus(
      status,
      `Top: ${shown === 1 ? 'the picture' : counted(shown, 'picture')}. Bottom: the same from ${num_tokens} tokens, ` +
        `each one of ${vocab_size.toLocaleString('en')}.`,
    );
    offer(model, codes);
    announce('The pictures are shown as tokens.');
  } catch (error) {
    showError(status, messageOf(error));
  }
}

export function startInspect(): void {
  bind(form);
  startContinue();
  byId<HTMLInputElement>('open-pictures').addEventListener('change', ({ target }) => {
    const files = pictures(chosen(target as HTMLInputElement));
    if (files.length) void showPictures(files);
    (target as HTMLInputElement).value = '';
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void compare();
  });
  document.addEventListener('keydown', ({ key }) => key === 'Escape' && comparing?.abort());
}

/** A grid of images that shows tokens one by one, a square (the pen) where the next token will be, and saves finished images. */
import type { AimImage } from 'aim-js/worker';
import { download, element, printable, slug } from './dom.js';

interface Tile {
  button: HTMLButtonElement;
  canvas: HTMLCanvasElement;
  planned: Planned;
  pixels?: ImageData;
  finished?: AimImage;
}

export interface Planned {
  /** Name of the class, or what else the image shows. */
  name: string;
  seed: number;
  /** What the caption says beside the name. Default: the seed. */
  note?: string;
  /** What screen readers call the image. Default: both. */
  label?: string;
}

const noteOf = ({ seed, note = `seed ${seed}` }: Planned): string => note;
const labelOf = (one: Planned): string => one.label ?? `${one.name}, ${noteOf(one)}`;

/** What a click on a finished image does, in place of saving it. */
export interface OnClick {
  /** The beginning of the button's name, such as 'Take'. */
  verb: string;
  act(index: number): void;
  /** Whether this image is the chosen one. */
  isChosen(index: number): boolean;
}

/** Images in a row of the PNG of all images. */
const SHEET_COLUMNS = 10;

const reducedMotion = matchMedia('(prefers-reduced-motion: reduce)');

export class Gallery {
  /** Called with the number of visible tokens of each image of the batch, whenever it changes. */
  onShown: ((shown: number) => void) | undefined;
  /** What a click on an image that is added from now on does; by default it saves the image. */
  onClick: OnClick | undefined;
  private tiles: Tile[] = [];
  private side = 1;
  /**
   * The current batch: its first tile, its number of tiles, and the visible tokens. An animation that starts at time `start` takes
   * `duration` ms to raise `shown` from `from` to `to`.
   */
  private batch = { first: 0, count: 0, shown: 0, from: 0, to: 0, start: 0, duration: 0 };
  /** Time of the last update. */
  private arrived = 0;
  private frame = 0;

  constructor(private readonly root: HTMLElement) {}

  /** Removes all tiles; the next images have side × side tokens. */
  clear(side: number): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.side = side;
    this.tiles = [];
    this.batch = { first: 0, count: 0, shown: 0, from: 0, to: 0, start: 0, duration: 0 };
    this.root.replaceChildren();
  }

  /** Adds tiles for the next batch; images are size × size pixels. */
  add(planned: readonly Planned[], size: number): void {
    this.settle();
    this.batch = { first: this.tiles.length, count: planned.length, shown: 0, from: 0, to: 0, start: 0, duration: 0 };
    this.arrived = performance.now();
    const { onClick } = this;
    const first = this.tiles.length;
    const added = planned.map((one, i): Tile => {
      const canvas = element('canvas', { width: size, height: size });
      const ariaLabel = labelOf(one);
      const button = element('button', { type: 'button', className: 'tile', disabled: true, ariaLabel }, canvas);
      if (onClick) button.ariaPressed = String(onClick.isChosen(first + i));
      const tile: Tile = { button, canvas, planned: one };
      button.addEventListener('click', () => (onClick ? onClick.act(first + i) : void save(tile)));
      const caption = element('span', { className: 'caption' }, element('b', {}, one.name), element('small', {}, noteOf(one)));
      const item = element('li', {}, button, caption);
      this.root.append(item);
      return tile;
    });
    this.tiles.push(...added);
    this.paint(0);
  }

  /** Takes the batch as decoded after `step` tokens. Its new tokens appear one by one until about the time of the next update. */
  update(images: readonly AimImage[], step: number): void {
    const now = performance.now();
    const { batch } = this;
    images.forEach((image, i) => {
      this.tiles[batch.first + i]!.pixels = image.toImageData();
    });
    const duration = reducedMotion.matches ? 0 : Math.min(600, now - this.arrived);
    this.arrived = now;
    Object.assign(batch, { from: batch.shown, to: step, start: now, duration });
    if (!this.frame) this.frame = requestAnimationFrame((time) => this.animate(time));
  }

  /** Takes finished images, beginning at tile `first`, and makes them saveable. */
  finish(first: number, images: readonly AimImage[]): void {
    for (const [i, image] of images.entries()) {
      const tile = this.tiles[first + i]!;
      tile.finished = image;
      tile.pixels = image.toImageData();
      tile.canvas.getContext('2d')!.putImageData(tile.pixels, 0, 0);
      tile.button.disabled = false;
      const what = labelOf(tile.planned);
      tile.button.ariaLabel = this.onClick ? `${this.onClick.verb} ${what}` : `Save ${what}, as PNG`;
      tile.button.title = this.onClick ? '' : 'Save as PNG';
    }
    // The finished images include the current batch.
    this.batch.to = this.side ** 2;
    this.settle();
  }

  /** Ends the animation: shows all tokens that have arrived, without the pens. */
  settle(): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.paint(this.batch.to, false);
  }

  /** Marks the image that is the chosen one now. */
  mark(): void {
    if (this.onClick) for (const [i, { button }] of this.tiles.entries()) button.ariaPressed = String(this.onClick.isChosen(i));
  }

  /** All finished images side by side, as one PNG. */
  async saveAll(name: string, most = SHEET_COLUMNS): Promise<void> {
    const done = this.tiles.filter((t) => t.finished);
    const size = done[0]?.canvas.width;
    if (!size) return;
    const columns = Math.min(most, done.length);
    const gap = Math.max(2, size >> 4);
    const sheet = element('canvas', {
      width: columns * (size + gap) - gap,
      height: Math.ceil(done.length / columns) * (size + gap) - gap,
    });
    const context = sheet.getContext('2d')!;
    context.fillStyle = '#fff';
    context.fillRect(0, 0, sheet.width, sheet.height);
    done.forEach(({ canvas }, i) => {
      context.drawImage(canvas, (i % columns) * (size + gap), Math.floor(i / columns) * (size + gap));
    });
    const blob = await new Promise<Blob | null>((resolve) => sheet.toBlob(resolve));
    if (blob) download(blob, `${name}.png`);
  }

  private animate(now: number): void {
    const { from, to, start, duration } = this.batch;
    const share = duration ? Math.min(1, Math.max(0, (now - start) / duration)) : 1;
    this.paint(Math.floor(from + (to - from) * share));
    this.frame = share < 1 ? requestAnimationFrame((time) => this.animate(time)) : 0;
  }

  /** Paints the first `shown` tokens of every image of the batch, and the pen at the next token. */
  private paint(shown: number, pen = !reducedMotion.matches): void {
    const { batch, side } = this;
    batch.shown = shown;
    const [x, y] = [shown % side, Math.floor(shown / side)];
    const colour = getComputedStyle(this.root).getPropertyValue('--pen');
    for (const { canvas, pixels, finished } of this.tiles.slice(batch.first, batch.first + batch.count)) {
      if (finished) continue;
      const context = canvas.getContext('2d')!;
      const patch = canvas.width / side;
      if (pixels && y) context.putImageData(pixels, 0, 0, 0, 0, canvas.width, y * patch);
      if (pixels && x) context.putImageData(pixels, 0, 0, 0, y * patch, x * patch, patch);
      context.clearRect(x * patch, y * patch, patch, patch);
      context.fillStyle = colour;
      if (pen) context.fillRect(x * patch, y * patch, patch, patch);
    }
    this.onShown?.(shown);
  }
}

async function save({ finished, planned: { name, seed, note } }: Tile): Promise<void> {
  if (!finished) return;
  const png = await finished.toPNG();
  download(new Blob([png], { type: 'image/png' }), `${slug(name)}-${note === undefined ? seed : slug(note)}.png`);
}

const narrow = matchMedia('(max-width: 760px)');

/** Images of one size side by side on one canvas, in rows of ten, or of five in a narrow window. */
export function strip(images: readonly ImageData[], label: string): HTMLCanvasElement {
  const { width, height } = images[0]!;
  const gap = Math.max(1, width >> 4);
  const columns = narrow.matches ? 5 : 10;
  const canvas = element('canvas', {
    // Short rows keep their empty places, so that images have the same size in all strips.
    width: columns * (width + gap) - gap,
    height: Math.ceil(images.length / columns) * (height + gap) - gap,
    role: 'img',
    ariaLabel: printable(label),
  });
  const context = canvas.getContext('2d')!;
  images.forEach((image, i) => {
    context.putImageData(image, (i % columns) * (width + gap), Math.floor(i / columns) * (height + gap));
  });
  return canvas;
}

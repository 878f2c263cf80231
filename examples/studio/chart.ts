/** A chart of the loss: a faint line for the steps, a bold line for their running mean, and dots for held-out losses. */

const SVG = 'http://www.w3.org/2000/svg';
/** Height of the drawing and margins of the plot in CSS pixels. The width follows the page. */
const HEIGHT = 220;
const PLOT = { left: 38, right: 8, top: 10, bottom: 22 };
/** The chart keeps at most twice as many points. It is rarely wider than this in pixels, so more would not be visible. */
const MAX_POINTS = 400;
/** Most horizontal grid lines, whatever the range of the losses. */
const MAX_GRID_LINES = 7;

export interface Point {
  step: number;
  loss: number;
}

const node = (tag: string, attributes: Record<string, string | number>, text = '') => {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.textContent = text;
  return made;
};

/** Points of a run of any length in bounded memory: each is the mean of `size` consecutive points that were added. */
class Series {
  readonly points: Point[] = [];
  private size = 1;
  /** Sums of the points that do not fill a mean yet. */
  private sum = 0;
  private count = 0;

  add({ step, loss }: Point): void {
    this.sum += loss;
    if (++this.count < this.size) return;
    this.points.push({ step, loss: this.sum / this.count });
    this.sum = this.count = 0;
    if (this.points.length === 2 * MAX_POINTS) this.halve();
  }

  private halve(): void {
    const { points } = this;
    for (let i = 0; i < MAX_POINTS; i++) {
      const [a, b] = [points[2 * i]!, points[2 * i + 1]!];
      points[i] = { step: b.step, loss: (a.loss + b.loss) / 2 };
    }
    points.length = MAX_POINTS;
    this.size *= 2;
  }
}

export class Chart {
  private readonly svg = node('svg', { height: HEIGHT, role: 'img' });
  private steps = new Series();
  private held = new Series();
  private first: Point | undefined;
  private last: Point | undefined;
  private scheduled = false;

  constructor(root: HTMLElement) {
    root.append(this.svg);
    new ResizeObserver(() => this.draw()).observe(root);
  }

  clear(): void {
    this.steps = new Series();
    this.held = new Series();
    this.first = this.last = undefined;
    this.schedule();
  }

  /** Adds the loss of a step, and the held-out loss if one was measured. Losses that are not finite are not drawn. */
  add(point: Point, held?: number): void {
    this.first ??= point;
    this.last = point;
    if (Number.isFinite(point.loss)) this.steps.add(point);
    if (held !== undefined && Number.isFinite(held)) this.held.add({ step: point.step, loss: held });
    this.schedule();
  }

  /** Redraws at most five times a second, so that training gets the time. */
  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setTimeout(() => {
      this.scheduled = false;
      this.draw();
    }, 200);
  }

  private draw(): void {
    const { last } = this;
    const [points, held] = [this.steps.points, this.held.points];
    const width = this.svg.clientWidth;
    this.svg.setAttribute('aria-label', last ? `Loss ${last.loss.toFixed(2)} after ${last.step} steps` : 'No steps yet');
    const { low, high, ticks } = grid([...points, ...held]);
    const most = Math.max(10, last?.step ?? 0);
    const first = Math.min(this.first?.step ?? 1, most - 1) - 1;
    const x = (step: number) => PLOT.left + ((step - first) / (most - first)) * (width - PLOT.left - PLOT.right);
    const y = (loss: number) => PLOT.top + ((high - loss) / (high - low)) * (HEIGHT - PLOT.top - PLOT.bottom);
    const path = (list: readonly Point[]) =>
      list.map((p, i) => `${i ? 'L' : 'M'}${x(p.step).toFixed(1)} ${y(p.loss).toFixed(1)}`).join('');
    this.svg.replaceChildren(
      ...ticks.flatMap(({ loss, label }) => [
        node('line', { class: 'grid', x1: PLOT.left, x2: width - PLOT.right, y1: y(loss), y2: y(loss) }),
        node('text', { x: PLOT.left - 8, y: y(loss) + 4, 'text-anchor': 'end' }, label),
      ]),
      node('text', { x: PLOT.left, y: HEIGHT - 4 }, `step ${first + 1}`),
      node('text', { x: width - PLOT.right, y: HEIGHT - 4, 'text-anchor': 'end' }, String(most)),
      node('path', { class: 'raw', d: path(points) }),
      node('path', { class: 'mean', d: path(smoothed(points)) }),
      ...held.map((p) => node('circle', { class: 'held', cx: x(p.step), cy: y(p.loss), r: 3.5 })),
    );
  }
}

interface Grid {
  low: number;
  high: number;
  ticks: { loss: number; label: string }[];
}

/** The range of losses to show, with at most MAX_GRID_LINES lines at multiples of 1, 2 or 5 times a power of ten. */
function grid(points: readonly Point[]): Grid {
  const min = points.reduce((least, { loss }) => Math.min(least, loss), Number.POSITIVE_INFINITY);
  const max = points.reduce((most, { loss }) => Math.max(most, loss), Number.NEGATIVE_INFINITY);
  const [from, to] = points.length ? [min, max] : [2, 7];
  // A range around a single value must not be empty, nor too small for the precision of numbers of that size.
  const range = Math.max(to - from, 1e-3 * Math.max(1, Math.abs(from)));
  // The range may begin and end between two lines, so that it spans up to two intervals more than range / step.
  const least = range / (MAX_GRID_LINES - 3);
  const power = 10 ** Math.floor(Math.log10(least));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= least * (1 - 1e-9))!;
  const [bottom, top] = [Math.floor(from / step), Math.max(Math.floor(from / step) + 1, Math.ceil(to / step))];
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const label = (loss: number) =>
    Math.abs(loss) >= 1e4 ? loss.toLocaleString('en', { notation: 'compact' }) : loss.toFixed(digits);
  const ticks = Array.from({ length: top - bottom + 1 }, (_, i) => (bottom + i) * step);
  return { low: bottom * step, high: top * step, ticks: ticks.map((loss) => ({ loss, label: label(loss) })) };
}

/** The mean over a window of about a tenth of the points, at most 51, around each point. */
function smoothed(points: readonly Point[]): Point[] {
  const reach = Math.min(25, Math.floor(points.length / 20));
  const sums = [0];
  for (const { loss } of points) sums.push(sums.at(-1)! + loss);
  return points.map(({ step }, i) => {
    const [from, to] = [Math.max(0, i - reach), Math.min(points.length, i + reach + 1)];
    return { step, loss: (sums[to]! - sums[from]!) / (to - from) };
  });
}

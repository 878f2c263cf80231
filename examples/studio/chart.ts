/** The loss as it falls: every step faint, their running mean on top, held-out losses as points. */

const SVG = 'http://www.w3.org/2000/svg';
/** Of the drawing, in pixels of the page; it is as wide as its place. */
const HEIGHT = 220;
const PLOT = { left: 34, right: 8, top: 10, bottom: 22 };
/** More points than pixels show nothing more. */
const MOST_POINTS = 400;

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

export class Chart {
  private readonly svg = node('svg', { height: HEIGHT, role: 'img' });
  private points: Point[] = [];
  private held: Point[] = [];
  private due = false;

  constructor(root: HTMLElement) {
    root.append(this.svg);
    new ResizeObserver(() => this.draw()).observe(root);
  }

  clear(): void {
    this.points = [];
    this.held = [];
    this.later();
  }

  add(point: Point, held?: number): void {
    this.points.push(point);
    if (held !== undefined) this.held.push({ step: point.step, loss: held });
    this.later();
  }

  /** At most five times a second: it is not what the visitor waits for. */
  private later(): void {
    if (this.due) return;
    this.due = true;
    setTimeout(() => {
      this.due = false;
      this.draw();
    }, 200);
  }

  private draw(): void {
    const { points, held } = this;
    const width = this.svg.clientWidth;
    const last = points.at(-1);
    this.svg.setAttribute('aria-label', last ? `Loss ${last.loss.toFixed(2)} after ${last.step} steps` : 'No steps yet');
    const losses = [...points, ...held].map((p) => p.loss);
    const [low, high] = losses.length ? [Math.floor(Math.min(...losses)), Math.ceil(Math.max(...losses))] : [2, 7];
    const most = Math.max(10, last?.step ?? 0);
    const first = Math.min(points[0]?.step ?? 1, most - 1) - 1;
    const x = (step: number) => PLOT.left + ((step - first) / (most - first)) * (width - PLOT.left - PLOT.right);
    const y = (loss: number) => PLOT.top + ((high - loss) / (high - low || 1)) * (HEIGHT - PLOT.top - PLOT.bottom);
    const path = (list: readonly Point[]) =>
      list.map((p, i) => `${i ? 'L' : 'M'}${x(p.step).toFixed(1)} ${y(p.loss).toFixed(1)}`).join('');
    const lines: SVGElement[] = [];
    for (let tick = low; tick <= high; tick++) {
      lines.push(node('line', { class: 'grid', x1: PLOT.left, x2: width - PLOT.right, y1: y(tick), y2: y(tick) }) as SVGElement);
      lines.push(node('text', { x: PLOT.left - 8, y: y(tick) + 4, 'text-anchor': 'end' }, String(tick)) as SVGElement);
    }
    lines.push(node('text', { x: PLOT.left, y: HEIGHT - 4 }, `step ${first + 1}`) as SVGElement);
    lines.push(node('text', { x: width - PLOT.right, y: HEIGHT - 4, 'text-anchor': 'end' }, String(most)) as SVGElement);
    this.svg.replaceChildren(
      ...lines,
      node('path', { class: 'raw', d: path(thinned(points)) }),
      node('path', { class: 'mean', d: path(thinned(smoothed(points))) }),
      ...held.map((p) => node('circle', { class: 'held', cx: x(p.step), cy: y(p.loss), r: 3.5 })),
    );
  }
}

/** Mean over a window of about a twentieth of the steps around each. */
function smoothed(points: readonly Point[]): Point[] {
  const reach = Math.min(25, Math.floor(points.length / 20));
  const sums = [0];
  for (const { loss } of points) sums.push(sums.at(-1)! + loss);
  return points.map(({ step }, i) => {
    const [from, to] = [Math.max(0, i - reach), Math.min(points.length, i + reach + 1)];
    return { step, loss: (sums[to]! - sums[from]!) / (to - from) };
  });
}

function thinned(points: readonly Point[]): readonly Point[] {
  const every = Math.ceil(points.length / MOST_POINTS);
  return every > 1 ? points.filter((_, i) => i % every === 0 || i === points.length - 1) : points;
}

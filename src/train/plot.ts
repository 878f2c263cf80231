/** Loss curves as an SVG file, which every browser shows. */

export interface Series {
  name: string;
  /** In order of step; a loss that is not finite leaves a gap. */
  points: readonly { step: number; loss: number }[];
  /** `line`: many values, drawn as a line through their means. `marked`: few values, each drawn as a point. */
  kind: 'line' | 'marked';
}

const WIDTH = 800;
const HEIGHT = 450;
const LEFT = 64;
const RIGHT = 16;
const TOP = 40;
const BOTTOM = 48;
const COLOURS = ['#1f77b4', '#d62728', '#2ca02c', '#9467bd'];
/** A line is drawn through means of so many stretches. */
const STRETCHES = 400;

/** The horizontal axis, where it does not begin at 0, and the text of its numbers. */
interface Axis {
  from: number;
  label: (value: number) => string;
}

/** The text of the SVG file. `yLabel` names the loss and its unit, `xLabel` what stands for the step if it is something else. */
export function plotLoss(
  title: string,
  yLabel: string,
  series: readonly Series[],
  xLabel = 'step',
  axis: Axis = { from: 0, label },
): string {
  const drawn = series.map((s) => ({ ...s, points: s.kind === 'line' ? thin(s.points) : s.points.filter(isFinitePoint) }));
  const all = drawn.flatMap((s) => s.points);
  const [x0, x1] = [axis.from, all.reduce((most, p) => Math.max(most, p.step), axis.from + 1)];
  const { from: y0, to: y1, log } = range(all.map((p) => p.loss));
  const scale = log ? Math.log : (v: number) => v;
  const x = (step: number) => round(LEFT + ((step - x0) / (x1 - x0)) * (WIDTH - LEFT - RIGHT));
  const y = (loss: number) => round(TOP + ((scale(y1) - scale(loss)) / (scale(y1) - scale(y0))) * (HEIGHT - TOP - BOTTOM));

  const grid = [
    ...ticks(x0, x1, 8).map(
      (t) =>
        `<path class="grid" d="M${x(t)} ${TOP}V${HEIGHT - BOTTOM}"/><text x="${x(t)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${axis.label(t)}</text>`,
    ),
    ...(log ? logTicks(y0, y1) : ticks(y0, y1, 6)).map(
      (t) =>
        `<path class="grid" d="M${LEFT} ${y(t)}H${WIDTH - RIGHT}"/><text x="${LEFT - 8}" y="${y(t) + 4}" text-anchor="end">${label(t)}</text>`,
    ),
  ];
  const curves = drawn.map(({ name, points, kind }, i) => {
    const colour = COLOURS[i % COLOURS.length]!;
    const line = points.map((p, k) => `${k ? 'L' : 'M'}${x(p.step)} ${y(p.loss)}`).join('');
    const dots =
      kind === 'marked' ? points.map((p) => `<circle cx="${x(p.step)}" cy="${y(p.loss)}" r="3" fill="${colour}"/>`) : [];
    const last = points.at(-1);
    const key = `${escapeXml(name)}${last ? ` ${last.loss.toPrecision(4)}` : ''}`;
    const at = TOP + 18 + 18 * i;
    return [
      `<path d="${line}" fill="none" stroke="${colour}" stroke-width="1.5"/>`,
      ...dots,
      `<path d="M${WIDTH - 190} ${at - 4}h24" stroke="${colour}" stroke-width="3"/><text x="${WIDTH - 158}" y="${at}">${key}</text>`,
    ].join('\n');
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}">
<style>text{font:13px sans-serif;fill:#333}.grid{stroke:#ddd}</style>
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
<text x="${WIDTH / 2}" y="24" text-anchor="middle" style="font-size:16px">${escapeXml(title)}</text>
<text x="${(WIDTH + LEFT) / 2}" y="${HEIGHT - 10}" text-anchor="middle">${escapeXml(xLabel)}</text>
<text transform="translate(16 ${(HEIGHT - BOTTOM + TOP) / 2}) rotate(-90)" text-anchor="middle">${escapeXml(yLabel)}</text>
${grid.join('\n')}
${curves.join('\n')}
</svg>
`;
}

const isFinitePoint = (p: { loss: number }) => Number.isFinite(p.loss);

/** At most STRETCHES points, each the mean of those that it stands for. */
function thin(points: Series['points']): { step: number; loss: number }[] {
  const finite = points.filter(isFinitePoint);
  const size = Math.ceil(finite.length / STRETCHES) || 1;
  const out: { step: number; loss: number }[] = [];
  for (let at = 0; at < finite.length; at += size) {
    const part = finite.slice(at, at + size);
    const mean = (of: (p: { step: number; loss: number }) => number) => part.reduce((sum, p) => sum + of(p), 0) / part.length;
    out.push({ step: mean((p) => p.step), loss: mean((p) => p.loss) });
  }
  return out;
}

/** The values' range and some room; logarithmic where they fall so far that the end of the curve would look flat. */
function range(values: number[]): { from: number; to: number; log: boolean } {
  if (values.length === 0) return { from: 0, to: 1, log: false };
  const low = values.reduce((a, b) => Math.min(a, b));
  const high = values.reduce((a, b) => Math.max(a, b));
  if (low > 0 && high / low > 8) return { from: low / 1.1, to: high * 1.1, log: true };
  const room = (high - low || Math.abs(high) || 1) * 0.05;
  return { from: low - room, to: high + room, log: false };
}

/** About `count` round numbers (1, 2 or 5 times a power of ten apart) in [from, to]. */
function ticks(from: number, to: number, count: number): number[] {
  const raw = (to - from) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5].find((m) => m * power >= raw) ?? 10);
  const out: number[] = [];
  for (let k = Math.ceil(from / step); k * step <= to; k++) out.push(k * step);
  return out;
}

/** 1, 2 and 5 times powers of ten; powers alone where those would crowd. */
function logTicks(from: number, to: number): number[] {
  const out: number[] = [];
  const digits = to / from > 1e4 ? [1] : [1, 2, 5];
  for (let power = 10 ** Math.floor(Math.log10(from)); power <= to; power *= 10)
    for (const d of digits) if (d * power >= from && d * power <= to) out.push(d * power);
  return out;
}

const label = (value: number) =>
  Math.abs(value) >= 1e4 ? `${Number((value / 1000).toPrecision(4))}k` : String(Number(value.toPrecision(4)));
const round = (value: number) => Math.round(value * 10) / 10;
const escapeXml = (text: string) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/**
 * Strokes of a pen: as text for the URL, and on a canvas. A stroke's text is its width and its colour (three hexadecimal digits),
 * then x and y of each point, all in 64ths of the side, as one character each. Strokes are separated by dots.
 */

export interface Stroke {
  /** In 64ths of the side, from 1 to 63. */
  width: number;
  /** Red, green and blue as three hexadecimal digits, such as 'fff'. */
  colour: string;
  /** x and y of each point, in 64ths of the side from the upper left, from 0 to 63. */
  points: number[];
}

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const GRID = DIGITS.length;

/** A place on the pad, as a share of its side, in 64ths; places beyond the border are on it. */
export const onGrid = (share: number): number => Math.min(GRID - 1, Math.max(0, Math.floor(GRID * share)));

export const textOf = (strokes: readonly Stroke[]): string =>
  strokes.map(({ width, colour, points }) => DIGITS[width] + colour + points.map((p) => DIGITS[p]).join('')).join('.');

/** The strokes of a text; none if the text has another form. */
export function strokesOf(text: string): Stroke[] {
  if (!/^[B-Za-z0-9_-][0-9a-f]{3}([\w-]{2})+(\.[B-Za-z0-9_-][0-9a-f]{3}([\w-]{2})+)*$/.test(text)) return [];
  return text.split('.').map((one) => ({
    width: DIGITS.indexOf(one[0]!),
    colour: one.slice(1, 4),
    points: [...one.slice(4)].map((digit) => DIGITS.indexOf(digit)),
  }));
}

/** Light becomes dark and dark becomes light. */
export const inverted = (stroke: Stroke): Stroke => ({
  ...stroke,
  colour: [...stroke.colour].map((digit) => (15 - Number.parseInt(digit, 16)).toString(16)).join(''),
});

/** Paints strokes on a square canvas, as smooth curves through the middles between their points. */
export function paintStrokes(context: CanvasRenderingContext2D, strokes: readonly Stroke[]): void {
  const unit = context.canvas.width / GRID;
  context.lineCap = context.lineJoin = 'round';
  for (const { width, colour, points } of strokes) {
    const at = (i: number) => [(points[2 * i]! + 0.5) * unit, (points[2 * i + 1]! + 0.5) * unit] as const;
    const last = points.length / 2 - 1;
    context.strokeStyle = `#${colour}`;
    context.lineWidth = width * unit;
    context.beginPath();
    context.moveTo(...at(0));
    for (let i = 1; i < last; i++) {
      const [[x, y], [nextX, nextY]] = [at(i), at(i + 1)];
      context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
    }
    context.lineTo(...at(last));
    context.stroke();
  }
}

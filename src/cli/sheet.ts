/** Many images as one: rows and columns, enlarged, with labels. */
import { OptionError } from '../core/errors.js';
import type { RgbImage } from '../io/images/index.js';

export interface SheetOptions {
  columns: number;
  /** Each pixel becomes scale × scale. */
  scale: number;
  /** Text below each image. */
  labels?: readonly string[] | undefined;
}

/** Pixels between images, before scaling. */
const GAP = 2;
/** Larger sheets take gigabytes to make, and few programs open them. */
const MAX_SHEET = 2 ** 28;

/** Capitals, digits and marks of 3×5 pixels: five rows from above, each an octal digit of three bits. */
const GLYPHS: Record<string, string> = {
  ...Object.fromEntries(
    '25755 65656 34443 65556 74647 74644 34553 55755 72227 11152 55655 44447 57755 65555 25552 65644 25563 65655 34216 72222 55557 55552 55775 55255 55222 71247'
      .split(' ')
      .map((rows, i) => [String.fromCharCode(65 + i), rows]),
  ),
  ...Object.fromEntries(
    '75557 26227 61247 61216 55711 74616 34757 71122 75757 75716'.split(' ').map((rows, i) => [String(i), rows]),
  ),
  ' ': '00000',
  '-': '00700',
  _: '00007',
  '.': '00002',
  ',': '00024',
  "'": '22000',
  '/': '11244',
  '(': '12221',
  ')': '42224',
  '&': '25253',
  '+': '02720',
  ':': '02020',
  '#': '57575',
};
const UNKNOWN = '61202';
const [GLYPH_WIDTH, GLYPH_HEIGHT] = [3, 5];

/** Columns for n images in about a square, without an incomplete last row where a number nearby allows it. */
export function squareColumns(n: number): number {
  const least = Math.max(1, Math.ceil(Math.sqrt(n)));
  for (let columns = least; columns < 2 * least; columns++) if (n % columns === 0) return columns;
  return least;
}

/** Throws OptionError for a sheet that is too large to make. */
export function checkSheet(count: number, width: number, height: number, options: SheetOptions): void {
  const size = layout(count, width, height, options);
  if (size.width * size.height > MAX_SHEET)
    throw new OptionError(
      `one picture of all images would have ${size.width}×${size.height} pixels; draw fewer, lower --scale, or give --out a folder.`,
    );
}

function layout(count: number, width: number, height: number, { columns, scale, labels }: SheetOptions) {
  const wide = Math.min(columns, count);
  const text = labels ? labelScale(width * scale, labels) : 0;
  const below = labels ? (GLYPH_HEIGHT + 2) * text : 0;
  const gap = GAP * scale;
  const [cellWidth, cellHeight] = [width * scale + gap, height * scale + below + gap];
  const size = { width: wide * cellWidth - gap, height: Math.ceil(count / wide) * cellHeight - gap };
  return { ...size, cellWidth, cellHeight, wide, text };
}

/** The images, all of the first's size, in reading order on white. */
export function sheet(images: readonly RgbImage[], options: SheetOptions): RgbImage {
  const { scale, labels } = options;
  const { width: w, height: h } = images[0]!;
  const { width, height, cellWidth, cellHeight, wide, text } = layout(images.length, w, h, options);
  const data = new Uint8Array(width * height * 3).fill(255);
  for (const [i, image] of images.entries()) {
    const [left, top] = [(i % wide) * cellWidth, Math.floor(i / wide) * cellHeight];
    for (let y = 0; y < h * scale; y++) {
      let o = ((top + y) * width + left) * 3;
      const row = Math.floor(y / scale) * w;
      for (let x = 0; x < w * scale; x++) {
        const from = (row + Math.floor(x / scale)) * 3;
        data[o++] = image.data[from]!;
        data[o++] = image.data[from + 1]!;
        data[o++] = image.data[from + 2]!;
      }
    }
    if (labels) write({ width, height, data }, labels[i]!, left, top + h * scale + text, text, w * scale);
  }
  return { width, height, data };
}

const textWidth = (label: string) => [...label].length * (GLYPH_WIDTH + 1) - 1;

/** The largest size of letters, up to a sixteenth of the image, at which the longest label fits below it. */
function labelScale(width: number, labels: readonly string[]): number {
  const longest = Math.max(1, ...labels.map(textWidth));
  return Math.max(1, Math.min(Math.floor(width / longest), Math.round(width / 80)));
}

/** Writes black text at (left, top), cut at `room` pixels. */
function write(image: RgbImage, label: string, left: number, top: number, scale: number, room: number): void {
  const plain = label.normalize('NFD').replace(/\p{M}/gu, '').toUpperCase();
  let x = left;
  for (const letter of plain) {
    if (x + GLYPH_WIDTH * scale > left + room) break;
    const rows = GLYPHS[letter] ?? UNKNOWN;
    for (let r = 0; r < GLYPH_HEIGHT * scale; r++)
      for (let c = 0; c < GLYPH_WIDTH * scale; c++) {
        const bit = (Number(rows[Math.floor(r / scale)]) >> (2 - Math.floor(c / scale))) & 1;
        const at = ((top + r) * image.width + x + c) * 3;
        if (bit) image.data.fill(0, at, at + 3);
      }
    x += (GLYPH_WIDTH + 1) * scale;
  }
}
